//! Refreshes, the schema and deletions through nginx.

use std::time::Duration;

use github_stub::World;
use reqwest::{Method, StatusCode};

use super::harness::{Nginx, Setup, free_address, problem, two_replicas};
use super::replica::Replica;
use crate::support::{Mirror, eventually};

#[tokio::test]
async fn refresh_is_sent_once_when_replicas_break() {
    let Some((a, b, nginx)) = two_replicas().await else { return };
    for replica in [&a, &b] {
        replica.break_connections();
    }
    let paths = [
        "/update_cache",
        "//update_cache",
        "/update_cache/",
        "/update_cache?topic=kubernetes",
        "/%75pdate_cache",
    ];
    for (sent, (method, path)) in [Method::GET, Method::POST]
        .iter()
        .flat_map(|method| paths.map(|path| (method.clone(), path)))
        .enumerate()
    {
        // nginx asks a replica again two seconds after it failed.
        eventually(5, "a replica is asked", async || {
            let answer = nginx.request(method.clone(), path, &[]).await;
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{method} {path}");
            a.requests() + b.requests() > sent
        })
        .await;
        assert_eq!(a.requests() + b.requests(), sent + 1, "{method} {path}");
    }
}

#[tokio::test]
async fn schema_and_deletion_are_sent_once_when_replicas_are_slow() {
    let quick = ("proxy_read_timeout 5s;", "proxy_read_timeout 50ms;");
    let patient = ("proxy_read_timeout 10m;", "proxy_read_timeout 50ms;");
    let slow = [
        (Method::GET, "/bootstrap_db"),
        (Method::POST, "//bootstrap_db/"),
        (Method::DELETE, "/topics/x"),
        (Method::DELETE, "//topics/x/"),
    ];
    for (edits, status) in [(&[quick][..], 200), (&[quick, patient], 504)] {
        let (a, b) = (Replica::start().await, Replica::start().await);
        let setup = Setup { edits, ..Setup::default() };
        let Some(nginx) = Nginx::start_with(&[a.address, b.address], setup).await else { return };
        for replica in [&a, &b] {
            replica.set_delay(Duration::from_millis(300));
        }
        for (sent, (method, path)) in slow.iter().enumerate() {
            let answer = nginx.request(method.clone(), path, &[]).await;
            assert_eq!(answer.status, status, "{method} {path}");
            assert_eq!(a.requests() + b.requests(), sent + 1, "{method} {path}");
            if status == 504 {
                problem(&answer, 504, path);
            }
        }
        assert_eq!(
            nginx.get("/topics/x").await.status,
            StatusCode::GATEWAY_TIMEOUT,
            "a read may not last as long"
        );
    }

    let alive = Replica::start().await;
    let Some(nginx) = Nginx::start(&[free_address(), alive.address]).await else { return };
    for (method, path) in slow {
        assert_eq!(
            nginx.request(method.clone(), path, &[]).await.status,
            StatusCode::OK,
            "{method} {path}"
        );
        assert_eq!(alive.last_method(), Some(method));
    }
}

#[tokio::test]
async fn maintenance_without_token_is_refused_in_every_spelling_of_the_path() {
    let settings = [("MAINTENANCE_TOKEN", "correct-horse")];
    let mirror = Mirror::start_with(World::generate(10, 7, "kubernetes"), &settings).await;
    let address = mirror.url.trim_start_matches("http://").parse().expect("an address");
    let Some(nginx) = Nginx::start(&[address]).await else { return };
    for path in ["update_cache", "bootstrap_db"] {
        for spelling in [
            "/PATH",
            "//PATH",
            "/PATH/",
            "/PATH//",
            "/./PATH",
            "/x/../PATH",
            "/%2fPATH",
            "/%2FPATH",
            "/PATH%2f",
            "/PATH;x",
            "/PATH%00",
            "/api/../PATH",
            "/PATH?topic=kubernetes",
            "/%75pdate_cache",
            "/%62ootstrap_db",
            "/api/%2e%2e/PATH",
            "http://x/PATH",
        ] {
            for path in [path.to_owned(), path.to_ascii_uppercase()] {
                let target = spelling.replace("PATH", &path);
                for method in ["GET", "POST", "HEAD", "PUT"] {
                    let answer = nginx
                        .raw(&format!(
                            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                        ))
                        .await;
                    let status = answer.split(' ').nth(1).unwrap_or_default();
                    assert!(
                        ["400", "401", "404", "405"].contains(&status),
                        "{method} {target}: {answer}"
                    );
                }
            }
        }
    }
    assert_eq!(mirror.stub.world().counters.searches, 0, "nobody asked GitHub");
    let token = [("authorization", "Bearer correct-horse")];
    assert_eq!(nginx.request(Method::POST, "//update_cache", &token).await.status, StatusCode::OK);
}
