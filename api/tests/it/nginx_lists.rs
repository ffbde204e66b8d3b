//! Lists that nginx answers itself: as the replicas would, never late, and nothing but lists.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use github_stub::World;
use reqwest::{Method, StatusCode};

use crate::nginx::{Nginx, Replica};
use crate::support::{Answer, Mirror, eventually, http_client};

type Fault = fn(&Replica);
type Headers = &'static [(&'static str, &'static str)];

/// Until nginx counts the next second.
async fn next_second() {
    let gone = Duration::from_millis(Utc::now().timestamp_subsec_millis().into());
    // nginx reads the clock when something happens, and not more often than it must.
    tokio::time::sleep(Duration::from_millis(1_010).saturating_sub(gone)).await;
}

async fn replica_behind_nginx(changes: &[(&str, &str)]) -> Option<(Replica, Nginx)> {
    let replica = Replica::start().await;
    let nginx = Nginx::start_changed(&[replica.address], "kubernetes", 1_000, changes).await?;
    Some((replica, nginx))
}

fn version(answer: &Answer) -> usize {
    answer.header("x-version").parse().unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// A service behind nginx, whose clock is in the past, so that nginx keeps nothing, or in the
/// future, so that it asks once.
async fn service_behind_nginx(kept: bool) -> Option<(Mirror, Nginx)> {
    let mirror = Mirror::refreshed(World::generate(700, 7, "kubernetes")).await;
    if kept {
        mirror.clock.advance(TimeDelta::days(365 * 50));
        mirror.refresh("kubernetes").await;
    }
    let nginx =
        Nginx::start(&[mirror.url.trim_start_matches("http://").parse().expect("an address")])
            .await?;
    Some((mirror, nginx))
}

#[tokio::test]
async fn are_what_the_service_would_answer() {
    for kept in [false, true] {
        let Some((mirror, nginx)) = service_behind_nginx(kept).await else { return };
        let etags: Vec<String> = {
            let mut etags = Vec::new();
            for encoding in ["identity", "gzip", "br"] {
                let answer =
                    mirror.get_with("/api/kubernetes", &[("accept-encoding", encoding)]).await;
                etags.push(answer.header("etag").to_owned());
            }
            etags
        };
        let modified = mirror.get("/api/kubernetes").await.header("last-modified").to_owned();
        let mut conditions: Vec<Vec<(&str, String)>> = vec![
            vec![],
            vec![("if-modified-since", modified.clone())],
            vec![("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT".into())],
            vec![("if-modified-since", "Fri, 01 Jan 2010 00:00:00 GMT".into())],
            vec![("if-modified-since", "yesterday".into())],
            vec![("if-none-match", "*".into())],
            vec![("if-none-match", "\"0123456789abcdef0123456789abcdef-gzip\"".into())],
            vec![("if-none-match", "nonsense".into())],
            vec![("if-none-match", etags.join(", "))],
            vec![("if-none-match", "\"a\"".into()), ("if-modified-since", modified)],
            vec![("if-match", "\"a\"".into())],
            vec![("if-unmodified-since", "Fri, 01 Jan 2010 00:00:00 GMT".into())],
            vec![("range", "bytes=0-9".into())],
        ];
        for etag in &etags {
            conditions.push(vec![("if-none-match", etag.clone())]);
            conditions.push(vec![("if-none-match", format!("W/{etag}"))]);
            conditions.push(vec![
                ("if-none-match", etag.clone()),
                ("if-modified-since", "Fri, 01 Jan 2010 00:00:00 GMT".into()),
            ]);
        }
        for path in [
            "/api/kubernetes",
            "//api/popularity/kubernetes/",
            "/api/activity/kubernetes?a=b",
            "/db/activity/kubernetes",
        ] {
            for encoding in ["", "gzip", "br"] {
                nginx.request(Method::GET, path, &[("accept-encoding", encoding)]).await;
                for condition in &conditions {
                    for method in [Method::GET, Method::HEAD] {
                        let mut headers = vec![("accept-encoding", encoding)];
                        headers.extend(condition.iter().map(|(name, value)| (*name, &**value)));
                        let what = format!("{method} {path} {headers:?}, kept: {kept}");
                        let direct = mirror.request(method.clone(), path, &headers).await;
                        let proxied = nginx.request(method, path, &headers).await;
                        assert_eq!(
                            (proxied.status, &proxied.body),
                            (direct.status, &direct.body),
                            "{what}"
                        );
                        for name in direct.headers.keys().map(|name| name.as_str()) {
                            let mut expected = direct.all(name);
                            match name {
                                "date" | "x-request-id" => continue,
                                // That a 304 has none is for HTTP's libraries to say.
                                "content-length" if direct.status == StatusCode::NOT_MODIFIED => {
                                    continue;
                                }
                                // For nginx itself.
                                "x-accel-expires" => expected.clear(),
                                // nginx tells of itself in a second line, if it was asked for an
                                // answer of its own.
                                "cache-status" if proxied.all(name).len() == 2 => {
                                    expected.push(match kept {
                                        true => "nginx; hit",
                                        false => "nginx; fwd=stale",
                                    })
                                }
                                _ => {}
                            }
                            assert_eq!(proxied.all(name), expected, "{name} of {what}");
                        }
                    }
                }
            }
        }
        let hit = nginx.get("/api/kubernetes").await;
        assert_eq!(
            hit.all("cache-status"),
            ["memory; hit", if kept { "nginx; hit" } else { "nginx; fwd=stale" }]
        );
    }
}

/// Whether an answer is from nginx itself, for these headers.
async fn is_kept(nginx: &Nginx, headers: &[(&str, &str)]) -> bool {
    nginx.request(Method::GET, "/api/kubernetes", headers).await;
    let answer = nginx.request(Method::GET, "/api/kubernetes", headers).await;
    answer.all("cache-status").contains(&"nginx; hit")
}

#[tokio::test]
async fn a_copy_that_nginx_can_judge_is_not_sent_on() {
    let Some((mirror, nginx)) = service_behind_nginx(true).await else { return };
    for encoding in ["identity", "gzip", "br"] {
        let accept = ("accept-encoding", encoding);
        let list = mirror.get_with("/api/kubernetes", &[accept]).await;
        assert!(
            is_kept(&nginx, &[accept, ("if-none-match", list.header("etag"))]).await,
            "{encoding}"
        );
        assert!(
            is_kept(&nginx, &[accept, ("if-modified-since", list.header("last-modified"))]).await,
            "{encoding}"
        );
        let other = if encoding == "br" { "gzip" } else { "br" };
        assert!(
            !is_kept(&nginx, &[("accept-encoding", other), ("if-none-match", list.header("etag"))])
                .await,
            "{encoding}"
        );
    }
}

#[tokio::test]
async fn never_come_in_an_encoding_that_the_client_refused() {
    let Some((mirror, nginx)) = service_behind_nginx(true).await else { return };
    for encoding in ["identity", "gzip", "br"] {
        assert!(is_kept(&nginx, &[("accept-encoding", encoding)]).await);
    }
    for accept in [
        "gzip",
        "GZIP",
        "x-gzip",
        "br",
        "gzip, br",
        "br,gzip",
        "gzip, deflate, br, zstd",
        "gzip\t,\tbr",
        "gzip;q=0, br",
        "br;q=0, gzip",
        "br; q=0, gzip",
        "br;q=0",
        "gzip;q=0",
        "br;q=0.0, gzip;q=0.000",
        "br;Q=0",
        "br;q=0.5, gzip;q=0.9",
        "gzip;q=0.5, br;q=0.5",
        "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
        "br;q=nonsense",
        "br;level=9;q=0",
        "*",
        "*;q=0",
        "br;q=0, *",
        "gzip, *;q=0",
        "identity",
        "identity;q=0, gzip",
        "identity, gzip;q=0.5",
        "deflate",
        "bro, xgzip, gzipx, x-br",
        "br gzip",
        ",,br",
        ";br",
        "",
    ] {
        let headers = [("accept-encoding", accept)];
        let direct = mirror.get_with("/api/kubernetes", &headers).await;
        let proxied = nginx.request(Method::GET, "/api/kubernetes", &headers).await;
        assert_eq!(
            proxied.header("content-encoding"),
            direct.header("content-encoding"),
            "{accept:?}"
        );
        assert_eq!(proxied.body, direct.body, "{accept:?}");
    }
    // Over two lines; an older nginx reads only the first, if it answers itself.
    for (lines, accepted) in [
        (["*", "br;q=0"], &["gzip"][..]),
        (["br;q=0", "*"], &["gzip"]),
        (["gzip", "br"], &["br", "gzip"]),
        (["deflate", "gzip"], &["gzip", ""]),
        (["gzip;q=0", "br"], &["br"]),
    ] {
        let answer = nginx
            .request(Method::GET, "/api/kubernetes", &lines.map(|line| ("accept-encoding", line)))
            .await;
        assert!(accepted.contains(&answer.header("content-encoding")), "{lines:?}: {answer:?}");
    }
}

#[tokio::test]
async fn are_kept_once_for_each_encoding_whatever_clients_send() {
    let Some((mirror, nginx)) = service_behind_nginx(true).await else { return };
    let (before, _) = nginx.kept();
    assert_eq!(before, 0);
    for number in 0..300 {
        let (odd, query) = (format!("x-{number}"), format!("?q={number}&{number}"));
        let spelling = [
            "/api/kubernetes",
            "//api///kubernetes",
            "/api/kubernetes//",
            "/api/x/../kubernetes",
            "/api/%6bubernetes",
        ];
        let path = format!("{}{query}", spelling[number % spelling.len()]);
        for accept in [
            format!("gzip, {odd}"),
            format!("{odd}, br"),
            odd.clone(),
            format!("gzip;q=0.{number}"),
            format!("{odd};q=1, br, *;q=0.{number}"),
        ] {
            let headers: [(&str, &str); 6] = [
                ("accept-encoding", &accept),
                ("cookie", &odd),
                ("accept", &odd),
                ("user-agent", &odd),
                ("vary", &odd),
                ("if-none-match", &odd),
            ];
            let headers = &headers[..if number % 2 == 0 { 5 } else { 6 }];
            let answer = nginx.request(Method::GET, &path, headers).await;
            // What the service itself does not take is still only one of these, since nginx sends
            // one spelling on.
            assert!([StatusCode::OK, StatusCode::NOT_FOUND].contains(&answer.status), "{path}");
        }
    }
    assert_eq!(nginx.kept().0, 3, "identity, gzip and br of one list");
    // Not trusted to be a list of its own.
    for path in [
        "/api/KUBERNETES",
        "/api/kubernetes%0a",
        "/api/kubernetes%00",
        "/api/kubernetes;a",
        "/api/a%2fkubernetes",
    ] {
        let (direct, proxied) = (mirror.get(path).await, nginx.get(path).await);
        assert!(
            proxied.status == direct.status || proxied.status == StatusCode::BAD_REQUEST,
            "{path}: {proxied:?}"
        );
    }
    assert_eq!(nginx.kept().0, 3);
    for path in ["/api/popularity/kubernetes", "/api/popularity%2fkubernetes"] {
        assert_eq!(nginx.get(path).await.status, StatusCode::OK);
    }
    assert_eq!(nginx.kept().0, 4);
}

#[tokio::test]
async fn take_no_more_bytes_than_allowed() {
    let few = [("max_size=64m", "max_size=64k"), ("min_free=32m ", "")];
    let Some((replica, nginx)) = replica_behind_nginx(&few).await else { return };
    for number in 0..200 {
        assert_eq!(nginx.get(&format!("/api/topic{number}")).await.status, StatusCode::OK);
    }
    assert_eq!(replica.requests(), 200);
    // nginx looks every ten seconds.
    eventually(30, "the longest unused are gone", async || {
        // Not to read its folder all the while it is at work in there.
        tokio::time::sleep(Duration::from_millis(50)).await;
        nginx.kept().1 <= 64 * 1_024
    })
    .await;
}

#[tokio::test]
async fn are_asked_for_once_a_second() {
    let Some((replica, nginx)) = replica_behind_nginx(&[]).await else { return };
    let (started, mut answers) = (std::time::Instant::now(), 0);
    while started.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK);
        answers += 1;
    }
    let seconds = usize::try_from(started.elapsed().as_secs()).expect("few") + 2;
    assert!(
        (2..=seconds).contains(&replica.requests()),
        "{} requests for {answers} answers",
        replica.requests()
    );
    assert!(answers > 2 * seconds, "only {answers} answers");
}

#[tokio::test]
async fn are_never_older_than_a_second() {
    let Some((replica, nginx)) = replica_behind_nginx(&[]).await else { return };
    // nginx reads the clock when something happens, and this machine may have something else to do.
    let late = Duration::from_millis(1_150);
    let mut ended = Vec::new();
    for next in 1..400 {
        let version = version(&nginx.get("/api/kubernetes").await);
        if let Some(ended) = ended.get(version) {
            let age = std::time::Instant::elapsed(ended);
            assert!(age < late, "{age:?} after the replica had a newer one");
        }
        replica.has_version(next);
        ended.push(std::time::Instant::now());
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
}

#[tokio::test]
async fn after_a_time_without_readers_are_new_for_the_first_and_for_all_at_once() {
    let Some((replica, nginx)) = replica_behind_nginx(&[]).await else { return };
    assert_eq!(version(&nginx.get("/api/kubernetes").await), 0);
    for round in 1..=3 {
        replica.has_version(round);
        // So that others come while one is asking.
        replica.takes(Duration::from_millis(30));
        next_second().await;
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (http, url) = (http_client(), format!("{}/api/kubernetes", nginx.url));
            readers.spawn(async move {
                http.get(url).send().await.expect("an answer").headers()["x-version"].clone()
            });
        }
        let versions: BTreeSet<String> = readers
            .join_all()
            .await
            .iter()
            .map(|version| version.to_str().expect("text").to_owned())
            .collect();
        assert_eq!(versions, BTreeSet::from([round.to_string()]));
    }
}

#[tokio::test]
async fn that_nobody_has_yet_are_asked_for_by_one_of_many() {
    let patient = [("proxy_cache_lock_timeout 20ms;", "proxy_cache_lock_timeout 5s;")];
    let Some((replica, nginx)) = replica_behind_nginx(&patient).await else { return };
    replica.takes(Duration::from_millis(100));
    // Those who wait look again after half a second, when the list is still of this one.
    next_second().await;
    let many = (0..30).map(|_| nginx.get("/api/kubernetes"));
    let answers = futures_util::future::join_all(many).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(replica.requests(), 1);
}

#[tokio::test]
async fn of_a_slow_replica_keep_nobody_waiting_for_the_first_reader() {
    let Some((replica, nginx)) = replica_behind_nginx(&[]).await else { return };
    replica.takes(Duration::from_secs(4));
    let first = nginx.get("/api/kubernetes");
    let others = async {
        eventually(3, "the first has asked", async || replica.requests() == 1).await;
        replica.takes(Duration::ZERO);
        let asked = std::time::Instant::now();
        assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK);
        asked.elapsed()
    };
    let (first, waited) = tokio::join!(first, others);
    assert_eq!(first.status, StatusCode::OK);
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn that_nginx_has_outlive_their_replicas() {
    let faults: [(&str, Fault); 6] = [
        ("500", |replica| replica.answers_with(500)),
        ("502", |replica| replica.answers_with(502)),
        ("503", |replica| replica.answers_with(503)),
        ("504", |replica| replica.answers_with(504)),
        ("broken connections", Replica::breaks),
        ("a hanging replica", |replica| replica.takes(Duration::from_secs(60))),
    ];
    let quick = [("proxy_read_timeout 5s;", "proxy_read_timeout 500ms;")];
    for (fault, breaks) in faults {
        let Some((replica, nginx)) = replica_behind_nginx(&quick).await else { return };
        replica.has_version(1);
        assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK);
        replica.has_version(2);
        breaks(&replica);
        next_second().await;
        for _ in 0..3 {
            let answer = nginx.get("/api/kubernetes").await;
            assert_eq!((answer.status, version(&answer)), (StatusCode::OK, 1), "{fault}");
            assert_eq!(
                answer.header("cache-status"),
                "nginx; hit; detail=stale-if-error",
                "{fault}"
            );
        }
        replica.heals();
        replica.takes(Duration::ZERO);
        // A replica that failed is left alone for two seconds.
        eventually(5, "the new list", async || version(&nginx.get("/api/kubernetes").await) == 2)
            .await;
    }
}

#[tokio::test]
async fn refusals_are_not_kept_and_not_hidden() {
    let Some((replica, nginx)) = replica_behind_nginx(&[]).await else { return };
    for status in [503, 404, 400, 429, 500, 301, 204] {
        let path = format!("/api/topic{status}");
        replica.answers_with(status);
        for _ in 0..2 {
            assert_eq!(nginx.get(&path).await.status.as_u16(), status);
        }
        replica.heals();
        assert_eq!(nginx.get(&path).await.status, StatusCode::OK, "at once after {status}");
    }
    assert_eq!(nginx.get("/api/kubernetes").await.status, StatusCode::OK);
    replica.answers_with(404);
    next_second().await;
    assert_eq!(
        nginx.get("/api/kubernetes").await.status,
        StatusCode::NOT_FOUND,
        "the topic was forgotten"
    );
}

#[tokio::test]
async fn and_nothing_else_are_kept() {
    let Some((replica, nginx)) = replica_behind_nginx(&[]).await else { return };
    let paths = [
        "/",
        "/test",
        "/db/kubernetes",
        "/db/popularity/kubernetes",
        "/topics",
        "/topics/kubernetes",
        "/refreshes",
        "/ready",
        "/update_cache",
        "/api",
        "/api/",
        "/api/a/b",
        "/api/popularity/a/b",
        "/API/kubernetes",
    ];
    for path in paths {
        for _ in 0..2 {
            nginx.get(path).await;
        }
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        for _ in 0..2 {
            nginx.request(method.clone(), "/api/kubernetes", &[]).await;
        }
    }
    assert_eq!((replica.requests(), nginx.kept().0), (2 * (paths.len() + 4), 0));
}

#[tokio::test]
async fn carry_their_own_requests_id_and_nobody_elses_headers() {
    let Some((replica, nginx)) = replica_behind_nginx(&[]).await else { return };
    let strange: Headers = &[
        ("x-request-id", "first"),
        ("authorization", "Bearer a"),
        ("cookie", "a=b"),
        ("x-odd", "1"),
    ];
    assert_eq!(
        nginx.request(Method::GET, "/api/kubernetes", strange).await.all("x-request-id"),
        ["first"]
    );
    assert_eq!(replica.last_header("x-request-id").expect("passed on"), "first");
    for name in ["authorization", "cookie", "x-odd"] {
        assert_eq!(replica.last_header(name), None);
    }
    let second = nginx.request(Method::GET, "/api/kubernetes", &[("x-request-id", "second")]).await;
    assert_eq!(second.all("x-request-id"), ["second"]);
    let ids: BTreeSet<String> = {
        let mut ids = BTreeSet::new();
        for _ in 0..3 {
            ids.insert(nginx.get("/api/kubernetes").await.header("x-request-id").to_owned());
        }
        ids
    };
    assert!(ids.len() == 3 && !ids.contains("second"), "{ids:?}");
    let entry = nginx.logged(|entry| entry["cache"] == "HIT").await;
    assert_eq!(entry["uri"], "/api/kubernetes");
}
