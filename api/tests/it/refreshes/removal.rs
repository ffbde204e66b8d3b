//! Repositories that a search does not show: dropped by GitHub, deleted, relabelled or private.

use chrono::TimeDelta;
use github_stub::limits::Limit;
use github_stub::{Fault, FaultKind, World};
use reqwest::StatusCode;
use serde_json::json;

use super::{edit, set, world};
use crate::support::{Mirror, assert_lists};

#[tokio::test]
async fn dropped_repository_keeps_its_place_when_its_lookup_finds_it() {
    let mirror = Mirror::refreshed(world()).await;
    let expected = mirror.expected("kubernetes");
    let dropped = set(&expected[1][10..30]);
    mirror.stub.world().settings.drop = dropped.clone();
    for _ in 0..3 {
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["complete"], true, "{report}");
        assert_eq!(mirror.lists("kubernetes").await[1], expected[1]);
    }
    assert!(mirror.stub.world().counters.core >= 20, "each was looked up by its id");
}

#[tokio::test]
async fn list_keeps_dropped_and_loses_gone_repositories_during_refreshes() {
    let mirror = Mirror::refreshed(world()).await;
    let top = mirror.expected("kubernetes")[1].clone();
    let (dropped, deleted, left) = (&top[100..120], &top[200..205], &top[300..305]);
    mirror.stub.world().settings.drop = set(dropped);
    for id in deleted {
        mirror.stub.world().remove(*id);
    }
    for id in left {
        edit(&mut mirror.stub.world(), *id, &json!({ "topics": ["other"] }));
    }
    for _ in 0..3 {
        let refresh = mirror.refresh("kubernetes");
        let watch = async {
            loop {
                let list = mirror.get("/api/popularity/kubernetes").await.ids();
                assert!(
                    list.len() >= 490 && dropped.iter().all(|id| list.contains(id)),
                    "{} are left",
                    list.len()
                );
            }
        };
        let report = tokio::select! { report = refresh => report, never = watch => never };
        assert_eq!(report["complete"], true, "{report}");
        let list = mirror.get("/api/popularity/kubernetes").await.ids();
        assert!(dropped.iter().all(|id| list.contains(id)), "dropped repositories stay");
        assert!(
            !deleted.iter().chain(left).any(|id| list.contains(id)),
            "deleted and relabelled repositories go"
        );
        mirror.clock.advance(TimeDelta::hours(1));
    }
}

#[tokio::test]
async fn deleted_and_relabelled_repositories_are_removed() {
    let mirror = Mirror::refreshed(world()).await;
    let top = mirror.expected("kubernetes")[1].clone();
    let (deleted, left) = (top[3], top[4]);
    mirror.stub.world().remove(deleted);
    edit(&mut mirror.stub.world(), left, &json!({ "topics": ["other"] }));
    let report = mirror.refresh("kubernetes").await;
    assert_eq!(
        (&report["complete"], report["doubts_settled"].as_i64() >= Some(2)),
        (&true.into(), true),
        "{report}"
    );
    let lists = mirror.lists("kubernetes").await;
    assert_lists(&lists, &mirror.expected("kubernetes"), "");
    assert!(lists.iter().all(|list| !list.contains(&deleted) && !list.contains(&left)));
}

#[tokio::test]
async fn repositories_without_an_answer_block_no_other() {
    for kind in [FaultKind::Forbidden, FaultKind::JsonError { status: 500 }] {
        let mirror = Mirror::refreshed(world()).await;
        let top = mirror.expected("kubernetes")[1].clone();
        // 60 dropped ones come first by stars, and GitHub gives no answer about them.
        for id in &top[..60] {
            let path = format!("/repositories/{id}");
            let fault = Fault::from(kind.clone()).at(&path).times(1_000);
            mirror.stub.world().faults.push(fault);
        }
        mirror.stub.world().settings.drop = set(&top[..60]);
        let deleted = &top[100..130];
        for id in deleted {
            mirror.stub.world().remove(*id);
        }
        for (settled, open) in [(0, 90), (30, 60), (0, 60)] {
            let report = mirror.refresh("kubernetes").await;
            assert_eq!(report["complete"], true, "{kind:?}: {report}");
            assert_eq!(
                (&report["doubts_settled"], &report["doubts_open"]),
                (&settled.into(), &open.into()),
                "{kind:?}: {report}"
            );
            mirror.clock.advance(TimeDelta::minutes(1));
        }
        let list = mirror.get("/api/popularity/kubernetes").await.ids();
        assert!(!deleted.iter().any(|id| list.contains(id)), "{kind:?}: deleted ones go");
        assert!(top[..60].iter().all(|id| list.contains(id)), "{kind:?}: the others stay");
    }
}

#[tokio::test]
async fn repository_that_is_refused_to_the_token_is_looked_up_without_it() {
    for (token, settled) in [("some-token", 20), ("", 20)] {
        let mirror = Mirror::start_with(world(), &[("GITHUB_TOKEN", token)]).await;
        mirror.stub.world().settings.core_limit =
            Some(Limit { with_token: 5_000, without_token: 60 });
        mirror.refresh("kubernetes").await;
        let top = mirror.expected("kubernetes")[1].clone();
        mirror.stub.world().remove(top[0]);
        mirror.stub.world().settings.drop = set(&top[1..20]);
        let policy = Fault::from(FaultKind::TokenPolicy).at("/repositories/").times(1_000);
        mirror.stub.world().faults.push(policy);
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["complete"], true, "{report}");
        assert_eq!(report["doubts_settled"], settled, "{report}");
        let world = mirror.stub.world();
        let refusals = world.counters.faults.get("token_policy").copied().unwrap_or_default();
        assert_eq!(refusals, if token.is_empty() { 0 } else { 20 });
        assert_eq!((world.counters.over_limit, world.counters.impatient), (0, 0));
    }
}

#[tokio::test]
async fn used_up_limit_without_a_token_leaves_the_others_open() {
    let mirror = Mirror::start_with(world(), &[("GITHUB_TOKEN", "some-token")]).await;
    mirror.stub.world().settings.core_limit = Some(Limit { with_token: 5_000, without_token: 10 });
    mirror.refresh("kubernetes").await;
    let top = mirror.expected("kubernetes")[1].clone();
    mirror.stub.world().settings.drop = set(&top[..40]);
    for id in &top[..30] {
        let policy = Fault::from(FaultKind::TokenPolicy);
        let policy = policy.at(&format!("/repositories/{id}")).times(1_000);
        mirror.stub.world().faults.push(policy);
    }
    let report = mirror.refresh("kubernetes").await;
    // One request of ten is kept in reserve.
    assert_eq!(
        (&report["doubts_settled"], &report["doubts_open"]),
        (&19.into(), &21.into()),
        "{report}"
    );
    assert_eq!(mirror.stub.world().counters.over_limit, 0);
}

/// A token can see private repositories that readers of the lists must not see.
#[tokio::test]
async fn private_repository_is_neither_stored_nor_listed() {
    let mirror = Mirror::start(World::generate(400, 7, "kubernetes")).await;
    let top = mirror.expected("kubernetes")[1].clone();
    for hidden in [&top[..5], &top[..10]] {
        for id in hidden {
            edit(&mut mirror.stub.world(), *id, &json!({ "private": true }));
        }
        let report = mirror.refresh("kubernetes").await;
        assert_eq!(report["outcome"], "complete", "{report}");
        let lists = mirror.lists("kubernetes").await;
        assert!(
            lists.iter().all(|list| list.len() == 400 - hidden.len()
                && !list.iter().any(|id| hidden.contains(id)))
        );
    }
    let names = mirror
        .database
        .query(&format!("SELECT name FROM repositories WHERE id = {}", top[0]))
        .await;
    assert_eq!(names, Vec::<String>::new(), "a private repository is not stored");
}

/// Repositories that every member of a GitHub Enterprise may see are private there.
#[tokio::test]
async fn internal_repositories_are_listed_only_if_the_setting_says_so() {
    for keeps in [true, false] {
        let value = keeps.to_string();
        let setting = ("GITHUB_INTERNAL_REPOSITORIES", &*value);
        let world = World::generate(400, 7, "kubernetes");
        let mirror = Mirror::start_with(world, &[setting]).await;
        let top = mirror.expected("kubernetes")[1].clone();
        let internal = json!({ "private": true, "visibility": "internal" });
        let private = json!({ "private": true, "visibility": "private" });
        for id in &top[..10] {
            edit(&mut mirror.stub.world(), *id, &internal);
        }
        for id in &top[10..15] {
            edit(&mut mirror.stub.world(), *id, &private);
        }
        // A look-up by id finds it as a search does.
        for dropped in [0, 5] {
            mirror.stub.world().settings.drop = set(&top[..dropped]);
            let report = mirror.refresh("kubernetes").await;
            assert_eq!(report["outcome"], "complete", "{report}");
            let list = mirror.get("/api/popularity/kubernetes").await.ids();
            let first = if keeps { &top[..10] } else { &top[15..25] };
            assert_eq!(list[..10], *first, "internal ones are kept: {keeps}");
            assert!(!top[10..15].iter().any(|id| list.contains(id)), "private ones are not");
        }
    }
}

#[tokio::test]
async fn topic_of_private_repositories_alone_is_not_told_to_be_nothing() {
    for (count, visibility) in [(3, "internal"), (3, "private"), (700, "internal")] {
        let mirror = Mirror::start(World::generate(count, 7, "kubernetes")).await;
        for id in mirror.expected("kubernetes").concat() {
            let hidden = json!({ "private": true, "visibility": visibility });
            edit(&mut mirror.stub.world(), id, &hidden);
        }
        for path in ["/update_cache", "/api/kubernetes", "/db/kubernetes"] {
            let answer = mirror.get(path).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains("that GitHub showed are private"), "{path}: {detail}");
        }
        let entry = mirror.get("/refreshes").await.json()[0].clone();
        assert_eq!(entry["complete"], false, "{entry}");
        // One of them becomes public.
        let first = mirror.expected("kubernetes")[0][0];
        edit(&mut mirror.stub.world(), first, &json!({ "private": false }));
        assert_eq!(mirror.refresh("kubernetes").await["complete"], true);
        assert_eq!(mirror.get("/api/kubernetes").await.ids(), [first]);
    }
}
