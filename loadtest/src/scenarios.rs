//! Who asks for what, and what must be answered.

use std::sync::Arc;
use std::time::Duration;

use goose::GooseError;
use goose::prelude::{GooseUser, Scenario, Transaction, TransactionFunction, TransactionResult};
use reqwest::header::{ACCEPT_ENCODING, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Method, StatusCode};

use crate::check::{self, Ranking};
use crate::exchange::{Answer, Limited, exchange};

/// The topic that is read, how long its lists are, and how often a proxy refused one.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) topic: String,
    pub(crate) size: usize,
    pub(crate) limited: Limited,
}

/// Topics that nobody has: always the same, since each new one costs the service a search.
const UNKNOWN: [&str; 2] = ["loadtest-unknown-1", "loadtest-unknown-2"];

/// The route's prefix, its order, and how much more often than `/test` it is asked for.
const LISTS: [(&str, Ranking, usize); 6] = [
    ("/api/popularity", Ranking::Popularity, 2),
    ("/api", Ranking::BestMatch, 3),
    ("/api/activity", Ranking::Activity, 4),
    ("/db/popularity", Ranking::Popularity, 5),
    ("/db", Ranking::BestMatch, 6),
    ("/db/activity", Ranking::Activity, 7),
];

/// How long people look at a page.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(9));

/// The three, weighted by users: people, programs without a pause, and clients of all sorts.
pub(crate) fn all(target: &Target) -> Result<[Scenario; 3], GooseError> {
    Ok([
        reads("people", target)?.set_wait_time(WAITS.0, WAITS.1)?.set_weight(20)?,
        reads("programs", target)?.set_weight(6)?,
        clients(target)?.set_weight(4)?,
    ])
}

/// `/test` and the six lists.
fn reads(name: &str, target: &Target) -> Result<Scenario, GooseError> {
    let mut scenario = Scenario::new(name)
        .register_transaction(Transaction::new(Arc::new(|user| Box::pin(hello(user)))));
    for (prefix, ranking, weight) in LISTS {
        let encoding = if prefix.starts_with("/db") { "identity" } else { "gzip" };
        let read = transaction(target, move |user, target| {
            Box::pin(list(user, target, prefix, ranking, encoding))
        });
        scenario = scenario.register_transaction(read.set_weight(weight)?);
    }
    Ok(scenario)
}

/// Conditional requests, both encodings, HEAD, unknown topics.
fn clients(target: &Target) -> Result<Scenario, GooseError> {
    let (popularity, activity) =
        (("/api/popularity", Ranking::Popularity), ("/api/activity", Ranking::Activity));
    Ok(Scenario::new("clients")
        .register_transaction(
            transaction(target, |user, target| Box::pin(conditional(user, target)))
                .set_weight(6)?,
        )
        .register_transaction(transaction(target, move |user, target| {
            Box::pin(list(user, target, popularity.0, popularity.1, "gzip"))
        }))
        .register_transaction(transaction(target, move |user, target| {
            Box::pin(list(user, target, activity.0, activity.1, "identity"))
        }))
        .register_transaction(
            transaction(target, |user, target| Box::pin(head(user, target))).set_weight(2)?,
        )
        .register_transaction(transaction(target, |user, target| Box::pin(unknown(user, target)))))
}

type Doing<'r> = std::pin::Pin<Box<dyn Future<Output = TransactionResult> + Send + 'r>>;

fn transaction(
    target: &Target,
    doing: impl for<'r> Fn(&'r mut GooseUser, Target) -> Doing<'r> + Send + Sync + 'static,
) -> Transaction {
    let target = target.clone();
    let function: TransactionFunction = Arc::new(move |user| doing(user, target.clone()));
    Transaction::new(function)
}

async fn hello(user: &mut GooseUser) -> TransactionResult {
    let check = |answer: &Answer| {
        ok(answer)?;
        if *answer.body("identity")? == *b"Oh, Hello World" {
            Ok(())
        } else {
            Err("another text".to_owned())
        }
    };
    exchange(user, None, Method::GET, "/test", "/test", &[], check).await?;
    Ok(())
}

async fn list(
    user: &mut GooseUser,
    target: Target,
    prefix: &str,
    ranking: Ranking,
    encoding: &str,
) -> TransactionResult {
    let check = |answer: &Answer| {
        ok(answer)?;
        check::list(ranking, target.size, &answer.body(encoding)?)
    };
    let (row, path) = (format!("{prefix}/{{topic}}"), format!("{prefix}/{}", target.topic));
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

/// The tag of the list that this user has.
#[derive(Clone)]
struct Copy(String);

async fn conditional(user: &mut GooseUser, target: Target) -> TransactionResult {
    let copy = user.get_session_data::<Copy>().cloned();
    let mut headers = vec![(ACCEPT_ENCODING, "gzip")];
    headers.extend(copy.as_ref().map(|copy| (IF_NONE_MATCH, copy.0.as_str())));
    let check = |answer: &Answer| {
        let known =
            copy.is_some() && answer.header(&ETAG) == copy.as_ref().map(|copy| copy.0.as_str());
        match answer.status {
            StatusCode::NOT_MODIFIED if known && answer.is_empty() => Ok(()),
            StatusCode::OK if !known => {
                check::list(Ranking::Popularity, target.size, &answer.body("gzip")?)
            }
            status => Err(format!(
                "{status} though the ETag sent is {}the list's",
                if known { "" } else { "not " }
            )),
        }
    };
    let row = if copy.is_some() {
        "/api/popularity/{topic} (If-None-Match)"
    } else {
        "/api/popularity/{topic}"
    };
    let path = format!("/api/popularity/{}", target.topic);
    let answer =
        exchange(user, Some(&target.limited), Method::GET, row, &path, &headers, check).await?;
    if let Some(etag) = answer.as_ref().and_then(|answer| answer.header(&ETAG)) {
        user.set_session_data(Copy(etag.to_owned()));
    }
    Ok(())
}

async fn head(user: &mut GooseUser, target: Target) -> TransactionResult {
    let check = |answer: &Answer| {
        ok(answer)?;
        if answer.is_empty() && answer.header(&ETAG).is_some() {
            Ok(())
        } else {
            Err("a body, or no ETag".to_owned())
        }
    };
    let path = format!("/api/{}", target.topic);
    exchange(user, Some(&target.limited), Method::HEAD, "/api/{topic}", &path, &[], check).await?;
    Ok(())
}

/// A service may fetch it, be busy with that, refuse it, or know that there is nothing.
async fn unknown(user: &mut GooseUser, target: Target) -> TransactionResult {
    let check = |answer: &Answer| match answer.status {
        StatusCode::OK if answer.body("identity")?.starts_with(b"[") => Ok(()),
        StatusCode::SERVICE_UNAVAILABLE if answer.header(&RETRY_AFTER).is_some() => Ok(()),
        StatusCode::NOT_FOUND => Ok(()),
        status => Err(format!("{status} for an unknown topic")),
    };
    let topic = UNKNOWN[fastrand::usize(..UNKNOWN.len())];
    exchange(
        user,
        Some(&target.limited),
        Method::GET,
        "/api/{unknown}",
        &format!("/api/{topic}"),
        &[],
        check,
    )
    .await?;
    Ok(())
}

fn ok(answer: &Answer) -> Result<(), String> {
    if answer.status == StatusCode::OK {
        Ok(())
    } else {
        Err(format!("{} instead of 200", answer.status))
    }
}
