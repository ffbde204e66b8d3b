//! The scenarios: their requests, and the checks of the answers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use goose::GooseError;
use goose::prelude::{GooseUser, Scenario, Transaction, TransactionFunction, TransactionResult};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Method, StatusCode};

use crate::check;
use crate::content::Asked;
use crate::exchange::{Answer, LimitedCounts, exchange};
use crate::rankings::{RANKINGS, Ranking};
use crate::routes::{HTML, ROUTES, Route};

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) topic: String,
    /// The number of items in each of the topic's lists.
    pub(crate) size: usize,
    pub(crate) limited: LimitedCounts,
}

/// Topics without repositories. They are always the same, since each new one costs the service a
/// search.
const UNKNOWN_TOPICS: [&str; 2] = ["loadtest-unknown-1", "loadtest-unknown-2"];

/// The shortest and the longest pause of people between two requests.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(9));

/// People, programs without pauses, clients with other kinds of requests, and visitors of other
/// routes. A scenario's weight is its share of the users.
pub(crate) fn all(target: &Target) -> Result<[Scenario; 4], GooseError> {
    Ok([
        reads("people", target)?.set_wait_time(PAUSES.0, PAUSES.1)?.set_weight(20)?,
        reads("programs", target)?.set_weight(6)?,
        clients(target)?.set_weight(4)?,
        visitors(target)?.set_weight(3)?,
    ])
}

/// `/test` and every list.
fn reads(name: &str, target: &Target) -> Result<Scenario, GooseError> {
    let mut scenario = Scenario::new(name)
        .register_transaction(Transaction::new(Arc::new(|user| Box::pin(read_test(user)))));
    let api = RANKINGS.iter().map(|ranking| ("/api", ranking, "gzip", ranking.api_weight));
    let db = RANKINGS.iter().map(|ranking| ("/db", ranking, "identity", ranking.db_weight));
    for (root, ranking, encoding, weight) in api.chain(db) {
        let read = transaction(target, move |user, target| {
            Box::pin(read_list(user, target, root, ranking, encoding))
        });
        scenario = scenario.register_transaction(read.set_weight(weight)?);
    }
    Ok(scenario)
}

/// Conditional requests, both encodings, HEAD, unknown topics.
fn clients(target: &Target) -> Result<Scenario, GooseError> {
    let [popularity, best_match, activity, ..] = &RANKINGS;
    Ok(Scenario::new("clients")
        .register_transaction(
            transaction(target, |user, target| {
                Box::pin(read_conditionally(user, target, popularity))
            })
            .set_weight(6)?,
        )
        .register_transaction(transaction(target, move |user, target| {
            Box::pin(read_list(user, target, "/api", popularity, "gzip"))
        }))
        .register_transaction(transaction(target, move |user, target| {
            Box::pin(read_list(user, target, "/api", activity, "identity"))
        }))
        .register_transaction(
            transaction(target, |user, target| Box::pin(head(user, target, best_match)))
                .set_weight(2)?,
        )
        .register_transaction(transaction(target, |user, target| {
            Box::pin(read_unknown_topic(user, target, best_match))
        })))
}

/// Every route of [`ROUTES`].
fn visitors(target: &Target) -> Result<Scenario, GooseError> {
    let mut scenario = Scenario::new("visitors");
    for route in ROUTES {
        let read = transaction(target, |user, target| Box::pin(read_route(user, target, route)));
        scenario = scenario.register_transaction(read.set_weight(route.weight)?);
    }
    Ok(scenario)
}

type BoxFuture<'r> = Pin<Box<dyn Future<Output = TransactionResult> + Send + 'r>>;

fn transaction(
    target: &Target,
    run: impl for<'r> Fn(&'r mut GooseUser, Target) -> BoxFuture<'r> + Send + Sync + 'static,
) -> Transaction {
    let target = target.clone();
    let function: TransactionFunction = Arc::new(move |user| run(user, target.clone()));
    Transaction::new(function)
}

async fn read_test(user: &mut GooseUser) -> TransactionResult {
    let check = |answer: &Answer| {
        ok(answer)?;
        if *answer.body("identity")? == *b"Oh, Hello World" {
            Ok(())
        } else {
            Err("its text is not that of /test".to_owned())
        }
    };
    exchange(user, None, Method::GET, "/test", "/test", &[], check).await?;
    Ok(())
}

async fn read_list(
    user: &mut GooseUser,
    target: Target,
    root: &str,
    ranking: &Ranking,
    encoding: &str,
) -> TransactionResult {
    let check = |answer: &Answer| {
        ok(answer)?;
        check::list(ranking, target.size, &answer.body(encoding)?)
    };
    let (row, path) = (ranking.path(root, "{topic}"), ranking.path(root, &target.topic));
    exchange(
        user,
        Some(&target.limited),
        Method::GET,
        &row,
        &path,
        &[(ACCEPT_ENCODING, encoding)],
        check,
    )
    .await?;
    Ok(())
}

/// The repository that a visitor asks for, as `owner/name`.
#[derive(Clone)]
struct Chosen(String);

async fn choose_repository(user: &mut GooseUser, target: Target) -> TransactionResult {
    let [popularity, ..] = &RANKINGS;
    let (row, path) = (popularity.path("/api", "{topic}"), popularity.path("/api", &target.topic));
    let check = |answer: &Answer| {
        ok(answer)?;
        check::list(popularity, target.size, &answer.plain_body()?)
    };
    let limited = Some(&target.limited);
    let answer = exchange(user, limited, Method::GET, &row, &path, &[], check).await?;
    let body = answer.as_ref().and_then(|answer| answer.plain_body().ok()).unwrap_or_default();
    if let Some(name) = fastrand::choice(check::full_names(&body).unwrap_or_default()) {
        user.set_session_data(Chosen(name));
    }
    Ok(())
}

/// Requests a route with the repository that the visitor has chosen. A visitor without one reads
/// the list instead: a transaction that requests nothing would never give way to others.
async fn read_route(
    user: &mut GooseUser,
    target: Target,
    route: &'static Route,
) -> TransactionResult {
    let Some(Chosen(repository)) = user.get_session_data::<Chosen>().cloned() else {
        return choose_repository(user, target).await;
    };
    let asked = Asked { topic: &target.topic, repository: &repository };
    let check = |answer: &Answer| {
        let is_late = answer.status == StatusCode::SERVICE_UNAVAILABLE
            && answer.header(&RETRY_AFTER).is_some();
        if is_late && route.may_be_late {
            return Ok(());
        }
        ok(answer)?;
        let content_type = answer.header(&CONTENT_TYPE).unwrap_or_default();
        if !content_type.starts_with(route.content_type) {
            return Err(format!("its Content-Type is {content_type:?}"));
        }
        (route.check)(&asked, &answer.plain_body()?)
    };
    let accept = if route.content_type == HTML { HTML } else { "*/*" };
    let headers = [(ACCEPT_ENCODING, "gzip"), (ACCEPT, accept)];
    let (limited, path) = (Some(&target.limited), route.path_of(&asked));
    exchange(user, limited, Method::GET, route.path, &path, &headers, check).await?;
    Ok(())
}

/// The ETag of the list that this user received last.
#[derive(Clone)]
struct LastETag(String);

async fn read_conditionally(
    user: &mut GooseUser,
    target: Target,
    ranking: &Ranking,
) -> TransactionResult {
    let last = user.get_session_data::<LastETag>().map(|last| last.0.clone());
    let last = last.as_deref();
    let mut headers = vec![(ACCEPT_ENCODING, "gzip")];
    headers.extend(last.map(|etag| (IF_NONE_MATCH, etag)));
    let check = |answer: &Answer| {
        let unchanged = last.is_some() && answer.header(&ETAG) == last;
        match answer.status {
            StatusCode::NOT_MODIFIED if unchanged && answer.is_empty() => Ok(()),
            StatusCode::OK if !unchanged => {
                check::list(ranking, target.size, &answer.body("gzip")?)
            }
            status => Err(format!(
                "{status} though the ETag in If-None-Match is {}the list's",
                if unchanged { "" } else { "not " }
            )),
        }
    };
    let mut row = ranking.path("/api", "{topic}");
    if last.is_some() {
        row += " (If-None-Match)";
    }
    let path = ranking.path("/api", &target.topic);
    let answer =
        exchange(user, Some(&target.limited), Method::GET, &row, &path, &headers, check).await?;
    if let Some(etag) = answer.as_ref().and_then(|answer| answer.header(&ETAG)) {
        user.set_session_data(LastETag(etag.to_owned()));
    }
    Ok(())
}

async fn head(user: &mut GooseUser, target: Target, ranking: &Ranking) -> TransactionResult {
    let check = |answer: &Answer| {
        ok(answer)?;
        if answer.is_empty() && answer.header(&ETAG).is_some() {
            Ok(())
        } else {
            Err("it has a body or no ETag".to_owned())
        }
    };
    let (row, path) = (ranking.path("/api", "{topic}"), ranking.path("/api", &target.topic));
    exchange(user, Some(&target.limited), Method::HEAD, &row, &path, &[], check).await?;
    Ok(())
}

/// The service may return a list, 503 while it fetches one or refuses to, or 404.
async fn read_unknown_topic(
    user: &mut GooseUser,
    target: Target,
    ranking: &Ranking,
) -> TransactionResult {
    let check = |answer: &Answer| match answer.status {
        StatusCode::OK if answer.body("identity")?.starts_with(b"[") => Ok(()),
        StatusCode::SERVICE_UNAVAILABLE if answer.header(&RETRY_AFTER).is_some() => Ok(()),
        StatusCode::NOT_FOUND => Ok(()),
        status => Err(format!("{status} for an unknown topic")),
    };
    let topic = UNKNOWN_TOPICS[fastrand::usize(..UNKNOWN_TOPICS.len())];
    let (row, path) = (ranking.path("/api", "{unknown}"), ranking.path("/api", topic));
    exchange(user, Some(&target.limited), Method::GET, &row, &path, &[], check).await?;
    Ok(())
}

fn ok(answer: &Answer) -> Result<(), String> {
    if answer.status == StatusCode::OK {
        Ok(())
    } else {
        Err(format!("{} instead of 200", answer.status))
    }
}
