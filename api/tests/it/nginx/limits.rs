//! The rate limit, and start.sh, which fills in the settings.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};

use super::harness::{Nginx, Setup, one_replica, problem, refused};
use super::replica::Replica;
use crate::support::eventually;

#[tokio::test]
async fn rate_limit_applies_to_answers_that_a_replica_may_have_to_make() {
    let replica = Replica::start().await;
    let setup = Setup { topics: "kubernetes, mcp:complete ,3d", rate_limit: 1, edits: &[] };
    let Some(nginx) = Nginx::start_with(&[replica.address], setup).await else { return };
    for free in [
        "/api/kubernetes",
        "/api/popularity/mcp",
        "/api/activity/3D/",
        "/api/a-later-ranking/kubernetes",
        "/api/trending/kubernetes",
        "/api/kubernetes?",
        "//api/kubernetes",
        "/t/kubernetes",
        "/t/mcp/newest",
        "/",
        "/docs",
        "/compare",
        "/topics",
        "/topics/x",
        "/topics/x/",
        "/health",
        "/test",
        "/refreshes",
        "/basic_status",
        "/update_cache",
    ] {
        assert_eq!(refused(&nginx, free).await, 0, "{free}");
    }
    for limited in [
        "/api/popularity",
        "/api/kubernete",
        "/api/kubernetes-mcp",
        "/api/activity/x",
        "/api/activity/x?topic=kubernetes",
        "/api/repos/kubernetes",
        "/api/repos/kubernetes/kubernetes",
        "/api/repositories/3d",
        "/api/kubernetes?language=rust",
        "/api/trending/kubernetes?window=1d",
        "/topics/kubernetes/events",
        "/topics/kubernetes/history",
        "/topics/kubernetes/facets",
        "/charts/kubernetes/kubernetes.svg",
        "/badges/kubernetes/o/kubernetes.json",
        "/exports/kubernetes/history.csv",
        "//exports/kubernetes.ndjson",
        "/feeds/kubernetes/new.atom",
        "/db/kubernetes",
        "//db/popularity/mcp",
        "/t/x",
        "/t/x/newest",
        "/t/kubernetes?language=go",
        "/r/kubernetes/kubernetes",
        "/compare?repos=a/b,c/d",
        "/status",
    ] {
        assert!(refused(&nginx, limited).await > 0, "{limited}");
    }
}

#[tokio::test]
async fn queries_exports_and_pictures_have_a_limit_of_their_own() {
    let replica = Replica::start().await;
    let setup = Setup { rate_limit: 1, ..Setup::default() };
    for (one, other) in [
        ("/db/kubernetes", "/charts/kubernetes/kubernetes.svg"),
        ("/feeds/kubernetes/new.atom", "/exports/kubernetes/history.csv"),
        ("/api/x", "/api/kubernetes?page=2"),
        ("/api/kubernetes?page=2", "/api/repos/kubernetes/kubernetes"),
    ] {
        let Some(nginx) = Nginx::start_with(&[replica.address], setup).await else { return };
        assert!(refused(&nginx, one).await > 0, "{one}");
        assert_eq!(nginx.get(other).await.status, StatusCode::OK, "{other} after {one}");
        assert!(refused(&nginx, other).await > 0, "{other}");
    }
    let Some(nginx) = Nginx::start_with(&[replica.address], setup).await else { return };
    assert!(refused(&nginx, "/charts/kubernetes/kubernetes.svg").await > 0);
    let csv = [("accept", "text/csv")];
    let list = nginx.request(Method::GET, "/api/kubernetes", &csv).await;
    problem(&list, 429, "/api/kubernetes");
}

#[tokio::test]
async fn client_reads_one_export_at_a_time() {
    let Some((replica, nginx)) = one_replica(&[]).await else { return };
    let path = "/exports/kubernetes/history.csv";
    // The first export lasts as long as the other requests here take, and not much longer.
    replica.set_delay(Duration::from_secs(2));
    let (first, ()) = tokio::join!(nginx.get(path), async {
        eventually(10, "the export is asked for", async || replica.requests() == 1).await;
        replica.heal();
        let second = nginx.get("/exports/kubernetes.ndjson").await;
        let document = problem(&second, 429, "/exports/kubernetes.ndjson");
        let detail =
            "this client is reading an export; it may read another one when that has ended";
        assert_eq!((&document["detail"], second.header("retry-after")), (&detail.into(), "10"));
        let preflight = [("access-control-request-method", "GET")];
        for (method, path, headers) in
            [(Method::OPTIONS, path, &preflight[..]), (Method::GET, "/charts/a/b.svg", &[])]
        {
            let other = nginx.request(method, path, headers).await;
            assert_eq!(other.status, StatusCode::OK, "{path}");
        }
    });
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(nginx.get(path).await.status, StatusCode::OK);
}

/// Runs the container's start.sh with scripts in place of envsubst and nginx. Returns the exit
/// code, the scripts' output and standard error.
fn run_start(
    settings: &[(&str, &str)],
    resolv_conf: &str,
    envsubst: &str,
    nginx: &str,
) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, script) in [("envsubst", envsubst), ("nginx", nginx)] {
        let program = folder.path().join(name);
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).expect("it is ours");
    }
    let resolver = folder.path().join("resolv.conf");
    std::fs::write(&resolver, resolv_conf).expect("written");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let mut command = std::process::Command::new("sh");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../nginx/start.sh"));
    command.arg(folder.path()).arg(resolver);
    command.env_clear().env("PATH", path).envs(settings.iter().copied());
    let output = command.output().expect("a shell");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// start.sh with a RATE_LIMIT. The output is what is filled into a template.
fn start(rate_limit: Option<&str>, resolv_conf: &str) -> (Option<i32>, String, String) {
    let settings: Vec<_> = rate_limit.map(|value| ("RATE_LIMIT", value)).into_iter().collect();
    let envsubst = "echo \"$RATE_LIMIT $RESOLVER\"";
    run_start(&settings, resolv_conf, envsubst, "cmp limits.conf upstream.conf && cat limits.conf")
}

const DOCKERS: &str = "nameserver 127.0.0.11\noptions ndots:0\n";

#[test]
fn rate_limit_that_is_invalid_stops_the_start_with_one_line() {
    for (rate_limit, expected) in
        [(None, "500"), (Some(""), "500"), (Some("1"), "1"), (Some("100"), "100")]
    {
        let expected = (Some(0), format!("{expected} 127.0.0.11\n"), String::new());
        assert_eq!(start(rate_limit, DOCKERS), expected, "{rate_limit:?}");
    }
    for wrong in ["0", "-1", "1.5", "many", " ", "5r/s", "99999999999999999999"] {
        let (code, _, said) = start(Some(wrong), DOCKERS);
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{wrong:?}: {said}");
        assert!(said.starts_with(&format!("RATE_LIMIT: \"{wrong}\" ")), "{said}");
    }
}

#[test]
fn resolver_is_the_first_nameserver_of_resolv_conf() {
    for (resolv_conf, resolver) in [
        (DOCKERS, "127.0.0.11"),
        ("search dns.podman\nnameserver 10.89.0.1\nnameserver 192.0.2.1\n", "10.89.0.1"),
        ("#nameserver 192.0.2.9\nnameserver\tfd00::1\n", "[fd00::1]"),
        ("nameserver fe80::1%eth0\nnameserver 192.0.2.2", "192.0.2.2"),
    ] {
        let expected = (Some(0), format!("500 {resolver}\n"), String::new());
        assert_eq!(start(None, resolv_conf), expected, "{resolv_conf}");
    }
    for nothing in ["", "search example.com\n", "nameserver\n", "nameserver fe80::1%eth0\n"] {
        let (code, _, said) = start(None, nothing);
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{nothing:?}: {said}");
        assert!(said.contains("resolv.conf names no nameserver"), "{said}");
    }
}

#[test]
fn upstream_conf_names_the_replicas_of_the_setting_when_it_is_set() {
    let nginx = "cat upstream.conf";
    let start = |replicas| run_start(&[("REPLICAS", replicas)], DOCKERS, "cat", nginx);
    let servers = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim).filter(|line| line.starts_with("server "));
        lines.map(str::to_owned).collect()
    };
    let (_, template, _) = start("");
    let stack = servers(&template);
    assert_eq!(stack.len(), 4, "two replicas in two upstreams: {template}");
    for replicas in ["replicas.topics.svc.cluster.local:5000", "replica-1:5000 replica-2:81  r.3:5"]
    {
        let (code, text, said) = start(replicas);
        assert_eq!((code, said), (Some(0), String::new()), "{replicas}");
        let of_first = stack.iter().filter(|line| line.contains("api-a:5000"));
        let expected: Vec<_> = of_first
            .flat_map(|line| {
                replicas.split_whitespace().map(|replica| line.replace("api-a:5000", replica))
            })
            .collect();
        assert_eq!(servers(&text), expected);
        let rest = |text: &str| text.lines().filter(|line| !line.contains("server ")).count();
        assert_eq!(rest(&text), rest(&template), "all other lines stay");
    }
    for wrong in ["a:5000;", "a:5000 {", "$a:5000", "a:5000\nb:5000"] {
        let (code, _, said) = start(wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {said}");
        assert!(said.starts_with("REPLICAS: "), "{said}");
    }
}
