//! Imports into a database that has data already.

use api::archive;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    change_lines, export, foreign_archive, import, lines, on_each_database, open, world_with_a_past,
};
use crate::databases::Database;
use crate::support::{Mirror, assert_lists};

fn row(line: &str) -> Value {
    serde_json::from_str(line).expect("JSON")
}

#[tokio::test]
async fn import_keeps_the_counts_of_days_that_are_there() {
    let foreign = foreign_archive();
    on_each_database(async |database| {
        let store = open(&database).await;
        import(&*store, foreign.path()).await;
        let mut expected = lines(foreign.path(), "counts");
        // Other counts of the same days, one day before the first one, and one in a gap.
        let gap = expected.remove(10);
        let changed = foreign_archive();
        let earlier = expected[0].replace(r#""day":"2026-08-22""#, r#""day":"2026-08-20""#);
        assert_ne!(earlier, expected[0]);
        change_lines(changed.path(), "counts", |rows| {
            for row in &mut *rows {
                *row = row.replace(r#""stargazers_count":"#, r#""stargazers_count":1"#);
            }
            rows.insert(0, earlier.clone());
        });
        let store = {
            let id = row(&gap)["repository_id"].clone();
            let day = row(&gap)["day"].as_str().expect("text").to_owned();
            split_span(&database, &id, &day).await;
            store
        };
        import(&*store, changed.path()).await;
        expected.insert(0, earlier);
        expected.insert(11, gap.replace(r#""stargazers_count":"#, r#""stargazers_count":1"#));
        assert_eq!(lines(export(&*store).await.path(), "counts"), expected);
    })
    .await;
}

/// Takes a day out of the counts of a repository.
async fn split_span(database: &Database, id: &Value, day: &str) {
    let of_it = format!("repository_id = {id} AND first_day <= '{day}' AND last_day >= '{day}'");
    let day: chrono::NaiveDate = day.parse().expect("a day");
    let (eve, morrow) = (day - TimeDelta::days(1), day + TimeDelta::days(1));
    for change in [
        format!(
            "INSERT INTO counts (repository_id, first_day, last_day, stargazers_count,
                 forks_count, open_issues_count)
             SELECT repository_id, '{morrow}', last_day, stargazers_count, forks_count,
                 open_issues_count
             FROM counts WHERE {of_it} AND last_day > '{day}'"
        ),
        format!("DELETE FROM counts WHERE {of_it} AND first_day = '{day}'"),
        format!("UPDATE counts SET last_day = '{eve}' WHERE {of_it}"),
    ] {
        database.query(&change).await;
    }
}

#[tokio::test]
async fn import_keeps_the_newer_one_of_two_rows_of_a_repository() {
    let foreign = foreign_archive();
    on_each_database(async |database| {
        let store = open(&database).await;
        import(&*store, foreign.path()).await;
        let changed = foreign_archive();
        let times = [
            ("2001-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),
            ("2030-01-01T00:00:00Z", "2001-01-01T00:00:00Z"),
            ("", "2030-01-01T00:00:00Z"),
            ("", "2001-01-01T00:00:00Z"),
        ];
        change_lines(changed.path(), "repositories", |rows| {
            for (text, (updated_at, stored_at)) in rows.iter_mut().zip(times) {
                let mut fields = row(text);
                fields["description"] = json!("of the archive");
                fields["stored_at"] = json!(stored_at);
                if !updated_at.is_empty() {
                    fields["updated_at"] = json!(updated_at);
                }
                *text = fields.to_string();
            }
        });
        import(&*store, changed.path()).await;
        let rows = lines(export(&*store).await.path(), "repositories");
        let is_replaced = |text: &String| row(text)["description"] == "of the archive";
        let replaced: Vec<bool> = rows.iter().take(5).map(is_replaced).collect();
        assert_eq!(replaced, [false, true, true, false, false]);
    })
    .await;
}

#[tokio::test]
async fn topic_that_was_refreshed_after_the_archive_keeps_its_members() {
    let foreign = foreign_archive();
    on_each_database(async |database| {
        let mut world = world_with_a_past(60, 30);
        let gone = world.ranked("kubernetes", "stars")[3];
        world.remove(gone);
        world.add_generated(1, 99, "kubernetes");
        let mirror = Mirror::start_on(database, world, &[("COVERAGE", "complete")]).await;
        let store = &*mirror.service.store;
        import(store, foreign.path()).await;
        assert!(lines(export(store).await.path(), "members").concat().contains(&gone.to_string()));
        mirror.refresh("kubernetes").await;
        let before = export(store).await;
        let members = lines(before.path(), "members");
        assert!(!members.concat().contains(&gone.to_string()));
        import(store, foreign.path()).await;
        let after = export(store).await;
        for table in ["topics", "members", "topic_days", "events", "names", "former_members"] {
            assert_eq!(lines(after.path(), table), lines(before.path(), table), "{table}");
        }
        assert_lists(&mirror.lists("kubernetes").await, &mirror.expected("kubernetes"), "lists");
    })
    .await;
}

#[tokio::test]
async fn lists_are_served_after_an_import_while_a_service_runs() {
    let foreign = foreign_archive();
    on_each_database(async |database| {
        // The lists of one topic are there already, without some of the archive's repositories.
        let mut world = world_with_a_past(60, 30);
        let ids = world.ranked("kubernetes", "stars");
        for id in &ids[..5] {
            world.remove(*id);
        }
        let mirror = Mirror::start_on(database, world, &[]).await;
        mirror.refresh("kubernetes").await;
        assert_eq!(mirror.get("/api/kubernetes").await.ids().len(), 55);
        mirror.clock.advance(TimeDelta::days(1));
        // The archive is newer than the refresh.
        change_lines(foreign.path(), "topics", |rows| {
            for text in rows {
                let mut fields = row(text);
                fields["refreshed_at"] = json!("2026-09-22T00:00:00Z");
                *text = fields.to_string();
            }
        });
        let other = mirror.replica(&[]).await;
        let (store, now) = (&*other.service.store, other.service.clock.now());
        let imported = archive::import(store, foreign.path(), now, |_, _| {}).await;
        let imported = imported.expect("imported").topics;
        other.service.refresher.publish(&imported).await.expect("published");
        *mirror.stub.world() = world_with_a_past(60, 30);
        // A copy in memory is compared with the database after a minute.
        mirror.clock.advance(TimeDelta::seconds(61));
        for topic in super::TOPICS {
            let expected = mirror.expected(topic);
            assert_lists(&other.lists(topic).await, &expected, topic);
            assert_lists(&mirror.lists(topic).await, &expected, topic);
            for (ranking, expected) in ["", "popularity/", "activity/"].iter().zip(&expected) {
                let stored = mirror.get(&format!("/db/{ranking}{topic}")).await;
                assert_eq!(stored.ids(), *expected, "/db/{ranking}{topic}");
                let cached = mirror.get(&format!("/api/{ranking}{topic}")).await;
                assert_eq!(cached.text(), stored.text(), "{ranking}{topic}");
                let refreshed_at = cached.header("x-refreshed-at");
                assert!(refreshed_at.contains("22 Sep 2026") || refreshed_at.contains("09-22"));
            }
        }
        assert_eq!(mirror.stub.world().counters.searches, 0, "GitHub was not asked");
    })
    .await;
}
