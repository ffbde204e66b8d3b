//! The rows that a refresh changes: a page of repositories, members, ranks, star counts.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use super::dialect::{Connection, EACH_ID, PLACES};
use super::repositories::UpsertedRow;
use super::text;
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;
use crate::store::{Lease, Page, Scope};

/// The repositories of a topic, which is the first parameter, with their places in its rankings.
const PLACED: &str = "
    (SELECT id, confirmed_in, confirmed_at, asked_at, stargazers_count, updated_at,
         row_number() OVER (ORDER BY stargazers_count DESC, id) AS by_stars,
         row_number() OVER (ORDER BY updated_at DESC, id) AS by_update
     FROM topic_repositories JOIN repositories ON id = repository_id WHERE topic = $1) AS placed";

/// Makes the page's repositories members of the topic, confirmed by this run; unreadable ones only
/// if they are members already. Returns the number that were no members before the run.
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
            "UPDATE topic_repositories SET confirmed_in = $3, confirmed_at = $4, asked_at = NULL
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

/// Makes a new revision of every topic whose lists may differ now, and returns those topics.
pub(super) async fn new_revisions(
    connection: &mut Connection,
    topic: &Topic,
    written: &[UpsertedRow],
    added: usize,
) -> sqlx::Result<Vec<Topic>> {
    if written.is_empty() && added == 0 {
        return Ok(Vec::new());
    }
    let written: Vec<RepositoryId> = written.iter().map(|written| written.id).collect();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "UPDATE topics SET revision = revision + 1
         WHERE name = $2 AND $3
            OR name IN (SELECT topic FROM topic_repositories
                        WHERE repository_id IN (SELECT value FROM {EACH_ID}))
         RETURNING name"
    )))
    .bind(Json(&written))
    .bind(topic.as_str())
    .bind(added > 0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| text(row, "name")).collect()
}

/// Takes repositories out of a topic.
pub(super) async fn remove(
    connection: &mut Connection,
    topic: &Topic,
    ids: &[RepositoryId],
) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM topic_repositories
         WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})"
    )))
    .bind(Json(ids))
    .bind(topic.as_str())
    .execute(connection)
    .await?;
    Ok(())
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
) -> sqlx::Result<u64> {
    // mutant in coverage: no repository of a whole topic is displaced
    //     Scope::First(depth) = scope else { return Ok(0) } => depth = scope.depth().min(500)
    let Scope::First(depth) = scope else { return Ok(0) };
    // mutant in store: only a repository without a place in both rankings is displaced
    //     by_stars > $3 AND by_update > $3 => by_stars > $3
    let removed = sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM topic_repositories WHERE topic = $1 AND repository_id IN
             (SELECT id FROM {PLACED}
              WHERE confirmed_in <> $2
                AND by_stars > $3 AND by_update > $3)"
    )))
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(depth)
    .execute(connection)
    .await?;
    Ok(removed.rows_affected())
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

/// Notes the star counts of the repositories that the run has shown as today's.
pub(super) async fn snapshot_stars(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO star_snapshots (repository_id, day, stargazers_count)
         SELECT id, $3, stargazers_count
         FROM topic_repositories JOIN repositories ON id = repository_id
         WHERE topic = $1 AND confirmed_in = $2
         ON CONFLICT (repository_id, day) DO UPDATE SET stargazers_count = excluded.stargazers_count
         WHERE star_snapshots.stargazers_count <> excluded.stargazers_count",
    )
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(now.date_naive())
    .execute(connection)
    .await?;
    Ok(())
}
