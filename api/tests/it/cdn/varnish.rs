//! A real Varnish in front of the service, with the configuration of `deploy/varnish`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use reqwest::{Method, StatusCode};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{edit_star, mirror, purged};
use crate::nginx::free_address;
use crate::support::{Answer, Mirror, eventually, http_client, say_not_run, send};

const KEY: &str = "varnish-Tin-Whistle";

struct Varnish {
    url: String,
    http: reqwest::Client,
    server: Child,
    _folder: TempDir,
}

/// The program, which is not on the path of every user.
fn program() -> Option<&'static str> {
    ["/usr/sbin/varnishd", "/usr/bin/varnishd"].into_iter().find(|path| Path::new(path).exists())
}

impl Varnish {
    /// Starts Varnish on the address.
    async fn start(program: &str, address: SocketAddr, mirror: &Mirror) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/varnish/default.vcl");
        let mut vcl = std::fs::read_to_string(path).expect("the configuration");
        let backend = mirror.url.trim_start_matches("http://").parse::<SocketAddr>();
        let port = format!(".port = \"{}\";", backend.expect("an address").port());
        assert_eq!(vcl.matches(".port = \"8081\";").count(), 1);
        vcl = vcl.replace(".port = \"8081\";", &port);
        let file = folder.path().join("default.vcl");
        std::fs::write(&file, vcl).expect("written");
        let mut command = Command::new(program);
        // The jail's user could not enter the folder.
        command.args(["-F", "-j", "none", "-s", "malloc,64m", "-a", &address.to_string(), "-f"]);
        command.arg(&file).arg("-n").arg(folder.path().join("work")).env("PURGE_KEY", KEY);
        let errors = folder.path().join("errors");
        command.stderr(std::fs::File::create(&errors).expect("made")).stdout(Stdio::null());
        let mut server = command.kill_on_drop(true).spawn().expect("varnishd starts");
        eventually(30, "Varnish listens", async || {
            let ended = server.try_wait().expect("a child");
            assert_eq!(ended, None, "{}", std::fs::read_to_string(&errors).unwrap_or_default());
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self { url: format!("http://{address}"), http: http_client(), server, _folder: folder }
    }

    async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        send(&self.http, method, &format!("{}{path}", self.url), headers).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[]).await
    }
}

impl Drop for Varnish {
    /// SIGTERM lets Varnish stop its worker; SIGKILL would leave that running.
    fn drop(&mut self) {
        if let Some(pid) = self.server.id() {
            let _ = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
        }
        while matches!(self.server.try_wait(), Ok(None)) {
            std::thread::yield_now();
        }
    }
}

/// Varnish names the request that brought the copy beside the present one.
fn is_hit(answer: &Answer) -> bool {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.header("x-varnish").contains(' ')
}

/// A mirror behind a Varnish. If the program is missing, the test says so and gets `None`, or fails
/// if REQUIRE_ALL_BACKENDS is set.
async fn behind_varnish() -> Option<(Mirror, Varnish)> {
    let Some(program) = program() else {
        assert!(std::env::var_os("REQUIRE_ALL_BACKENDS").is_none(), "there is no Varnish");
        say_not_run("there is no Varnish; `make test` installs it");
        return None;
    };
    let address = free_address();
    let settings = [
        ("PURGE_URL", format!("http://{address}")),
        ("PURGE_DIALECT", "varnish".to_owned()),
        ("PURGE_KEY", KEY.to_owned()),
    ];
    let mirror = mirror(&settings).await;
    let varnish = Varnish::start(program, address, &mirror).await;
    Some((mirror, varnish))
}

const LISTS: [&str; 2] = ["/api/popularity/kubernetes", "/api/popularity/mcp"];

#[tokio::test]
async fn varnish_keeps_lists_until_a_refresh_purges_them_and_keeps_others() {
    let Some((mirror, varnish)) = behind_varnish().await else { return };
    for topic in ["kubernetes", "mcp"] {
        mirror.refresh(topic).await;
    }
    purged(&mirror).await;
    for path in LISTS {
        assert!(!is_hit(&varnish.get(path).await), "{path}");
        let kept = varnish.get(path).await;
        assert!(is_hit(&kept), "{path}");
        assert_eq!(kept.body, mirror.get(path).await.body);
        let cache_control = kept.header("cache-control");
        assert_eq!(
            cache_control,
            "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400"
        );
        for name in ["surrogate-key", "cache-tag", "cdn-tag", "age"] {
            assert_eq!(kept.header(name), "", "{name}");
        }
        let csv = varnish.request("GET", path, &[("accept", "text/csv")]).await;
        assert!(csv.header("content-type").starts_with("text/csv"), "{path}");
    }

    let [kubernetes, mcp] = LISTS;
    let old = varnish.get(kubernetes).await.body;
    edit_star(&mirror, "kubernetes");
    mirror.refresh("kubernetes").await;
    purged(&mirror).await;
    let new = varnish.get(kubernetes).await;
    assert_ne!(new.body, old);
    assert_eq!(new.body, mirror.get(kubernetes).await.body);
    assert!(is_hit(&varnish.get(mcp).await), "no refresh has changed it");
}

#[tokio::test]
async fn varnish_keeps_no_answer_about_a_topic_without_a_list() {
    let Some((mirror, varnish)) = behind_varnish().await else { return };
    let [_, mcp] = LISTS;
    assert_eq!(varnish.get(mcp).await.status, StatusCode::NOT_FOUND);
    mirror.refresh("mcp").await;
    assert_eq!(varnish.get(mcp).await.status, StatusCode::OK);
    purged(&mirror).await;
    varnish.get(mcp).await;
    assert!(is_hit(&varnish.get(mcp).await));
    let deleted = varnish.request("DELETE", "/topics/mcp", &[]).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    purged(&mirror).await;
    assert_eq!(varnish.get(mcp).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn varnish_refuses_purges_without_the_key_and_of_other_keys() {
    let Some((mirror, varnish)) = behind_varnish().await else { return };
    mirror.refresh("kubernetes").await;
    purged(&mirror).await;
    let [kubernetes, _] = LISTS;
    varnish.get(kubernetes).await;
    let bearer = format!("Bearer {KEY}");
    for (authorization, keys, status) in [
        ("", "t:kubernetes", 401),
        ("Bearer ", "t:kubernetes", 401),
        ("Bearer other", "t:kubernetes", 401),
        (&*bearer, "", 400),
        (&bearer, ".*", 400),
        (&bearer, "t:kube", 200),
        (&bearer, "r:1 t:kubernetes-2", 200),
    ] {
        let headers = [("authorization", authorization), ("surrogate-key", keys)];
        let answer = varnish.request("PURGE", "/", &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{authorization} {keys}");
        assert!(is_hit(&varnish.get(kubernetes).await), "{authorization} {keys}");
    }
    let headers = [("authorization", &*bearer), ("surrogate-key", "r:1 t:kubernetes")];
    assert_eq!(varnish.request("PURGE", "/", &headers).await.status, StatusCode::OK);
    assert!(!is_hit(&varnish.get(kubernetes).await));
}
