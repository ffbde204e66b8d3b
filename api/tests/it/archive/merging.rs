//! Imports into a database that has data already.

use api::archive;
use api::model::repository::MAX_COUNT;
use api::store::Store;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    add_former_members, assert_same, change_lines, export, export_after_import, foreign_archive,
    import, lines, now, on_each_database, open, world_with_a_past,
};
use crate::databases::{self, Database};
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

#[tokio::test]
async fn history_of_topics_that_are_not_tracked_is_swept_after_90_days() {
    let archive = foreign_archive();
    for table in ["topics", "members"] {
        change_lines(archive.path(), table, |rows| rows.retain(|text| row(text)["topic"] != "mcp"));
    }
    let of_mcp = async |store: &dyn Store| {
        let after = export(store).await;
        let rows = ["topic_days", "events"].map(|table| lines(after.path(), table));
        rows.map(|rows| rows.iter().filter(|text| row(text)["topic"] == "mcp").count())
    };
    on_each_database(async |database| {
        let store = open(&database).await;
        import(&*store, archive.path()).await;
        let before = of_mcp(&*store).await;
        assert!(before.iter().all(|rows| *rows > 0), "{before:?}");
        let forgotten = "SELECT topic FROM forgotten_topics";
        assert_eq!(database.query(forgotten).await, ["mcp"]);
        for day in [0, 1, 89] {
            store.delete_unkept(now() + TimeDelta::days(day)).await.expect("a database");
        }
        assert_eq!(of_mcp(&*store).await, before);
        for day in [91, 92] {
            store.delete_unkept(now() + TimeDelta::days(day)).await.expect("a database");
        }
        assert_eq!(of_mcp(&*store).await, [0, 0]);
        import(&*store, archive.path()).await;
        let mcp = &super::topics()[1];
        assert!(store.delete_topic(mcp, false, now()).await.expect("deleted"), "it was known");
        assert_eq!(of_mcp(&*store).await, [0, 0]);
        assert_eq!(database.query(forgotten).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn rows_of_a_repository_that_the_archive_lacks_are_swept() {
    let (archive, expected) = (foreign_archive(), foreign_archive());
    let lacks = |rows: &mut Vec<String>, more: Value| {
        let mut fields = row(&rows[0]);
        fields["repository_id"] = json!(MAX_COUNT);
        fields.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        rows.push(fields.to_string());
    };
    for table in ["counts", "names"] {
        change_lines(archive.path(), table, |rows| lacks(rows, json!({})));
    }
    add_former_members(archive.path(), &[(MAX_COUNT, "2026-09-01", "2026-09-02")]);
    change_lines(archive.path(), "backfilled", |rows| {
        *rows = vec![r#"{"day":"2026-09-01","stargazers_count":1}"#.to_owned()];
        lacks(rows, json!({}));
        rows.remove(0);
    });
    on_each_database(async |database| {
        let store = open(&database).await;
        import(&*store, archive.path()).await;
        assert_eq!(lines(export(&*store).await.path(), "backfilled").len(), 1);
        for _ in 0..2 {
            store.delete_unkept(now()).await.expect("a database");
        }
        let swept = export(&*store).await;
        for table in ["counts", "names", "backfilled"] {
            let rows = lines(expected.path(), table).len();
            assert_eq!(lines(swept.path(), table).len(), rows, "{table}");
        }
        assert_eq!(lines(swept.path(), "former_members").len(), 0);
    })
    .await;
}

#[tokio::test]
async fn import_does_not_mix_days_of_two_backfills_of_a_repository() {
    let archive = foreign_archive();
    let ids: Vec<Value> = lines(archive.path(), "repositories")[..2]
        .iter()
        .map(|text| row(text)["id"].clone())
        .collect();
    let of = |id: &Value, day: &str, stars: i64| {
        format!(r#"{{"repository_id":{id},"day":"{day}","stargazers_count":{stars}}}"#)
    };
    change_lines(archive.path(), "backfilled", |rows| {
        rows.extend([of(&ids[0], "2026-09-01", 5), of(&ids[0], "2026-09-03", 6)]);
        rows.push(of(&ids[1], "2026-09-01", 7));
    });
    on_each_database(async |database| {
        let store = open(&database).await;
        let own = format!(
            "INSERT INTO backfilled (repository_id, first_day, last_day, stargazers_count)
             VALUES ({}, '2026-09-02', '2026-09-03', 4)",
            ids[0]
        );
        database.query(&own).await;
        import(&*store, archive.path()).await;
        let expected = [
            of(&ids[0], "2026-09-02", 4),
            of(&ids[0], "2026-09-03", 4),
            of(&ids[1], "2026-09-01", 7),
        ];
        assert_eq!(lines(export(&*store).await.path(), "backfilled"), expected);
    })
    .await;
}

#[tokio::test]
async fn import_adds_the_days_of_former_members_that_are_not_known() {
    let archive = foreign_archive();
    let id = row(&lines(archive.path(), "repositories")[0])["id"].as_i64().expect("an id");
    add_former_members(archive.path(), &[(id, "2026-08-01", "2026-08-09")]);
    on_each_database(async |database| {
        let store = open(&database).await;
        let own = format!(
            "INSERT INTO former_members (topic, repository_id, first_day, last_day)
             VALUES ('kubernetes', {id}, '2026-08-05', '2026-08-06'),
                    ('mcp', {id}, '2026-08-01', '2026-08-09')"
        );
        database.query(&own).await;
        import(&*store, archive.path()).await;
        let merged = export(&*store).await;
        let days = |text: &String| {
            let row = row(text);
            [&row["topic"], &row["first_day"], &row["last_day"]].map(|value| value.to_string())
        };
        let rows: Vec<_> = lines(merged.path(), "former_members").iter().map(days).collect();
        let span = |topic: &str, first: &str, last: &str| {
            [topic, first, last].map(|text| format!("\"{text}\""))
        };
        assert_eq!(
            rows,
            [
                span("kubernetes", "2026-08-01", "2026-08-04"),
                span("kubernetes", "2026-08-05", "2026-08-06"),
                span("kubernetes", "2026-08-07", "2026-08-09"),
                span("mcp", "2026-08-01", "2026-08-09"),
            ]
        );
        let other = databases::sqlite();
        assert_same(export_after_import(&other, merged.path()).await.path(), merged.path(), "");
    })
    .await;
}
