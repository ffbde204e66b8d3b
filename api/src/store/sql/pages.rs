//! The rows that a refresh changes: a page of repositories, members, ranks.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};

use super::counts::{self, LEFT_JOIN_SPAN, SPAN};
use super::dialect::{Connection, EACH_ID, PLACES};
use super::events::{self, Change};
use super::{history, text};
use crate::model::counts::{Counts, Span, record};
use crate::model::event::{EventKind, LeftReason};
use crate::model::repository::{Repository, RepositoryId};
use crate::model::topic::Topic;
use crate::store::{Lease, Page, Scope};

/// The repositories of a topic, which is the first parameter, with their places in its rankings.
const PLACED: &str = "
    (SELECT id, confirmed_in, confirmed_at, asked_at, stargazers_count, updated_at,
         row_number() OVER (ORDER BY stargazers_count DESC, id) AS by_stars,
         row_number() OVER (ORDER BY updated_at DESC, id) AS by_update
     FROM topic_repositories JOIN repositories ON id = repository_id WHERE topic = $1) AS placed";

/// A repository of a page as the store knew it before.
pub(super) struct Known {
    /// Its name, and whether it was archived; `None` if it was not stored.
    row: Option<(String, bool)>,
    is_member: bool,
    /// The counts of the day, or the last ones before it.
    span: Option<Span>,
}

/// The page's repositories as the store knows them, by their ids.
pub(super) async fn known(
    connection: &mut Connection,
    topic: &Topic,
    ids: &[RepositoryId],
    day: NaiveDate,
) -> sqlx::Result<HashMap<RepositoryId, Known>> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT value, full_name, archived, {SPAN},
             EXISTS (SELECT 1 FROM topic_repositories
                     WHERE topic = $3 AND topic_repositories.repository_id = value) AS is_member
         FROM {EACH_ID} LEFT JOIN repositories ON repositories.id = value {LEFT_JOIN_SPAN}"
    )))
    .bind(Json(ids))
    .bind(day)
    .bind(topic.as_str())
    .fetch_all(connection)
    .await?;
    let known = rows.iter().map(|row| {
        let name: Option<String> = row.try_get("full_name")?;
        let stored = name.zip(row.try_get::<Option<bool>, _>("archived")?);
        let is_member = row.try_get("is_member")?;
        Ok((row.try_get("value")?, Known { row: stored, is_member, span: counts::span(row)? }))
    });
    known.collect()
}

/// The changes of the page's repositories that are events.
pub(super) fn changes(
    repositories: &[Repository],
    known: &HashMap<RepositoryId, Known>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for new in repositories {
        let Some((name, was_archived)) = known.get(&new.id).and_then(|known| known.row.as_ref())
        else {
            continue;
        };
        if *name != new.full_name {
            let former_name = Some(name.clone());
            changes.push(Change { former_name, ..Change::new(new.id, EventKind::Renamed) });
        }
        if *was_archived != new.archived {
            let kind = if new.archived { EventKind::Archived } else { EventKind::Unarchived };
            changes.push(Change::new(new.id, kind));
        }
    }
    changes
}

/// Makes the page's repositories members of the topic, confirmed by this run; unreadable ones only
/// if they are members already, and they have had no answer about their counts. Returns the number
/// that were no members before the run.
pub(super) async fn add_members(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    page: &Page<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    let shown: Vec<RepositoryId> =
        page.repositories.iter().map(|repository| repository.id).collect();
    let added_in: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(format!(
        "INSERT INTO topic_repositories (topic, repository_id, added_in, confirmed_in, confirmed_at)
         SELECT $2, value, $3, $3, $4 FROM {EACH_ID} WHERE true
         ON CONFLICT (topic, repository_id) DO UPDATE
         SET confirmed_in = excluded.confirmed_in, confirmed_at = excluded.confirmed_at,
             asked_at = NULL
         RETURNING added_in"
    )))
    .bind(Json(&shown))
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    if !page.unreadable.is_empty() {
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE topic_repositories SET confirmed_in = $3, confirmed_at = $4, asked_at = $4
             WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})"
        )))
        .bind(Json(page.unreadable))
        .bind(topic.as_str())
        .bind(lease.refresh)
        .bind(now)
        .execute(connection)
        .await?;
    }
    Ok(added_in.iter().filter(|added_in| **added_in == lease.refresh).count())
}

/// Makes a new revision of every topic whose lists may differ now, since these repositories or
/// their counts have changed, and returns those topics.
pub(super) async fn new_revisions(
    connection: &mut Connection,
    topic: &Topic,
    changed: &[RepositoryId],
    added: usize,
) -> sqlx::Result<Vec<Topic>> {
    if changed.is_empty() && added == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(AssertSqlSafe(format!(
        "UPDATE topics SET revision = revision + 1
         WHERE name = $2 AND $3
            OR name IN (SELECT topic FROM topic_repositories
                        WHERE repository_id IN (SELECT value FROM {EACH_ID}))
         RETURNING name"
    )))
    .bind(Json(changed))
    .bind(topic.as_str())
    .bind(added > 0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| text(row, "name")).collect()
}

/// Those of the ids that the topic did not have.
pub(super) fn new_members(
    ids: &[RepositoryId],
    known: &HashMap<RepositoryId, Known>,
) -> Vec<RepositoryId> {
    let is_new = |id: &RepositoryId| known.get(id).is_none_or(|known| !known.is_member);
    ids.iter().copied().filter(is_new).collect()
}

/// The spans to write, since these repositories were seen now.
pub(super) fn spans(
    repositories: &[Repository],
    known: &HashMap<RepositoryId, Known>,
    now: DateTime<Utc>,
) -> Vec<Span> {
    let before = |id| known.get(&id).and_then(|known| known.span);
    let spans =
        |seen: &Repository| record(seen.id, before(seen.id), now.date_naive(), Counts::from(seen));
    repositories.iter().flat_map(spans).collect()
}

/// Takes repositories out of a topic that they have left.
pub(super) async fn remove(
    connection: &mut Connection,
    topic: &Topic,
    gone: &[(RepositoryId, LeftReason)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let left = |&(repository, reason): &(RepositoryId, LeftReason)| Change {
        reason: Some(reason),
        ..Change::new(repository, EventKind::Left)
    };
    let changes: Vec<_> = gone.iter().map(left).collect();
    events::write(connection, Some(topic), &changes, now).await?;
    let ids: Vec<RepositoryId> = gone.iter().map(|(id, _)| *id).collect();
    history::end_memberships(connection, topic, Some(&ids), now).await
}

/// Notes that GitHub gave no answer about these repositories, so that the others come first.
pub(super) async fn note_unanswered(
    connection: &mut Connection,
    topic: &Topic,
    ids: &[RepositoryId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(format!(
        "UPDATE topic_repositories SET asked_at = $3
         WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})"
    )))
    .bind(Json(ids))
    .bind(topic.as_str())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// The repositories of the scope that the run has not shown: first those that were confirmed, or
/// asked for without an answer, longest ago.
pub(super) async fn unconfirmed(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    scope: Scope,
) -> sqlx::Result<Vec<RepositoryId>> {
    let (updated_at, confirmed_at) = scope.since().unzip();
    // mutant in store: a repository with a place in either ranking is unconfirmed
    //     (by_stars <= $3 OR by_update <= $3) => by_stars <= $3
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT id FROM {PLACED}
         WHERE confirmed_in <> $2
           AND (by_stars <= $3 OR by_update <= $3)
           AND ($4 IS NULL OR updated_at > $4 OR confirmed_at < $5)
         ORDER BY coalesce(asked_at, confirmed_at), stargazers_count DESC, id"
    )))
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(scope.depth())
    .bind(updated_at)
    .bind(confirmed_at)
    .fetch_all(connection)
    .await
}

/// Takes repositories that others have displaced out of a topic, and returns their number. In a
/// topic that is kept whole no repository is displaced, and looking for some would take long.
pub(super) async fn remove_displaced(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    scope: Scope,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    // mutant in coverage: no repository of a whole topic is displaced
    //     Scope::First(depth) = scope else { return Ok(0) } => depth = scope.depth().min(500)
    let Scope::First(depth) = scope else { return Ok(0) };
    // mutant in store: only a repository without a place in both rankings is displaced
    //     by_stars > $3 AND by_update > $3 => by_stars > $3
    let displaced: Vec<RepositoryId> = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT id FROM {PLACED} WHERE confirmed_in <> $2 AND by_stars > $3 AND by_update > $3"
    )))
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(depth)
    .fetch_all(&mut *connection)
    .await?;
    if !displaced.is_empty() {
        history::end_memberships(connection, topic, Some(&displaced), now).await?;
    }
    Ok(displaced.len())
}

/// Gives the topic's repositories their places in best match; returns the number of changed places.
pub(super) async fn rank(
    connection: &mut Connection,
    topic: &Topic,
    best_match: &[RepositoryId],
) -> sqlx::Result<u64> {
    let others = format!(
        "UPDATE topic_repositories SET rank = NULL
         WHERE topic = $2 AND rank IS NOT NULL
           AND repository_id NOT IN (SELECT value FROM {EACH_ID})"
    );
    let placed = format!(
        "UPDATE topic_repositories SET rank = place FROM {PLACES}
         WHERE topic = $2 AND repository_id = best.value AND rank IS DISTINCT FROM place"
    );
    let mut changed = 0;
    for update in [others, placed] {
        let update = sqlx::query(AssertSqlSafe(update)).bind(Json(best_match)).bind(topic.as_str());
        changed += update.execute(&mut *connection).await?.rows_affected();
    }
    Ok(changed)
}
