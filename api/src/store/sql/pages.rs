//! The rows that a refresh changes: a page of repositories, members, ranks.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::Row as _;
use sqlx::types::Json;

use super::counts::{self, LEFT_JOIN_SPAN, SPAN};
use super::dialect::{Connection, EACH_ID, PLACES};
use super::events::Change;
use super::text;
use crate::model::counts::{Counts, Span, record};
use crate::model::event::EventKind;
use crate::model::repository::{Repository, RepositoryId};
use crate::model::topic::Topic;
use crate::store::{Lease, Page};

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
    let select = format!(
        "SELECT value, full_name, archived, {SPAN},
             EXISTS (SELECT 1 FROM topic_repositories
                     WHERE topic = $3 AND topic_repositories.repository_id = value) AS is_member
         FROM {EACH_ID} LEFT JOIN repositories ON repositories.id = value {LEFT_JOIN_SPAN}"
    );
    let rows = query!(select, Json(ids), day, topic.as_str()).fetch_all(connection).await?;
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
    let insert = format!(
        "INSERT INTO topic_repositories (topic, repository_id, added_in, confirmed_in, confirmed_at)
         SELECT $2, value, $3, $3, $4 FROM {EACH_ID} WHERE true
         ON CONFLICT (topic, repository_id) DO UPDATE
         SET confirmed_in = excluded.confirmed_in, confirmed_at = excluded.confirmed_at,
             asked_at = NULL
         RETURNING added_in"
    );
    let added_in: Vec<i64> =
        query_scalar!(insert, Json(&shown), topic.as_str(), lease.refresh, now)
            .fetch_all(&mut *connection)
            .await?;
    if !page.unreadable.is_empty() {
        let update = format!(
            "UPDATE topic_repositories SET confirmed_in = $3, confirmed_at = $4, asked_at = $4
             WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})"
        );
        query!(update, Json(page.unreadable), topic.as_str(), lease.refresh, now)
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
    let update = format!(
        "UPDATE topics SET revision = revision + 1
         WHERE name = $2 AND $3
            OR name IN (SELECT topic FROM topic_repositories
                        WHERE repository_id IN (SELECT value FROM {EACH_ID}))
         RETURNING name"
    );
    let rows =
        query!(update, Json(changed), topic.as_str(), added > 0).fetch_all(connection).await?;
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
        changed += query!(update, Json(best_match), topic.as_str())
            .execute(&mut *connection)
            .await?
            .rows_affected();
    }
    Ok(changed)
}
