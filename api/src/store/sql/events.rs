//! Events, and former names.

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;

use super::dialect::{AS_INTEGER, Connection, EACH_ID, EACH_ROW};
use crate::model::event::{EventKind, LeftReason};
use crate::model::repository::RepositoryId;
use crate::model::topic::{Coverage, Topic};

/// A change of a repository, which is an event of each topic that has the repository.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) repository: RepositoryId,
    pub(super) kind: EventKind,
    /// Of [`EventKind::Left`].
    pub(super) reason: Option<LeftReason>,
    /// Of [`EventKind::Renamed`].
    pub(super) former_name: Option<String>,
}

impl Change {
    pub(super) fn new(repository: RepositoryId, kind: EventKind) -> Self {
        Self { repository, kind, reason: None, former_name: None }
    }
}

/// Writes the changes as events of every topic that has the repository, or of this one alone. The
/// repositories' rows have their new names already. A topic that no complete run has filled yet has
/// no events.
pub(super) async fn write(
    connection: &mut Connection,
    topic: Option<&Topic>,
    changes: &[Change],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let row = |change: &Change| -> Value {
        let (kind, reason) = (<&str>::from(change.kind), change.reason.map(<&str>::from));
        json!([change.repository, kind, reason, change.former_name])
    };
    let rows: Vec<Value> = changes.iter().map(row).collect();
    let insert = format!(
        "INSERT INTO events (topic, at, kind, repository_id, full_name, reason, old_name, new_name)
         SELECT topic, $2, value->>1, repository_id, full_name, value->>2, value->>3,
             CASE WHEN value->>3 IS NOT NULL THEN full_name END
         FROM {EACH_ROW}
             JOIN topic_repositories ON repository_id = (value->>0){AS_INTEGER}
             JOIN repositories ON repositories.id = repository_id
             JOIN topics ON topics.name = topic AND filled IS NOT NULL
         WHERE $3 IS NULL OR topic = $3
         ON CONFLICT DO NOTHING"
    );
    query!(insert, Json(rows), now.trunc_subsecs(0), topic.map(Topic::as_str))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the names that repositories had until now.
pub(super) async fn write_former_names(
    connection: &mut Connection,
    changes: &[Change],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let renamed =
        |change: &Change| change.former_name.as_ref().map(|name| json!([change.repository, name]));
    let renamed: Vec<Value> = changes.iter().filter_map(renamed).collect();
    if renamed.is_empty() {
        return Ok(());
    }
    let insert = format!(
        "INSERT INTO names (repository_id, until, full_name)
         SELECT (value->>0){AS_INTEGER}, $2, value->>1 FROM {EACH_ROW} WHERE true
         ON CONFLICT DO NOTHING"
    );
    query!(insert, Json(renamed), now.trunc_subsecs(0)).execute(connection).await?;
    Ok(())
}

/// Notes when a topic's new members joined it, and writes the events of those that joined it now.
/// The others had the topic before: it was not filled yet, or they had no place in it.
pub(super) async fn join(
    connection: &mut Connection,
    topic: &Topic,
    coverage: Coverage,
    new: &[RepositoryId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    // mutant in store::history: a repository older than the tracking of its topic did not join it
    //     repositories.created_at >= topics.tracked_at => TRUE
    // mutant in store::history: a repository that left and returns has joined again
    //     OR {LAST_KIND} = 'left' => OR FALSE
    // mutant in store::history: one that had lost its place does not join again
    //     coalesce({LAST_KIND}, '') <> 'joined' => TRUE
    // mutant in store::history: what a change of coverage brings has not joined
    //     filled = 'top' AND $4 = 'top' => filled = 'top' AND $4 = $4
    let update = format!(
        "UPDATE topic_repositories AS member SET joined_at = $3
         WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID}) AND EXISTS
             (SELECT 1 FROM topics, repositories
              WHERE topics.name = $2 AND repositories.id = member.repository_id
                AND coalesce({LAST_KIND}, '') <> 'joined'
                AND (filled = 'complete' OR filled = 'top' AND $4 = 'top'
                     AND (repositories.created_at >= topics.tracked_at OR {LAST_KIND} = 'left')))
         RETURNING repository_id"
    );
    let joined: Vec<RepositoryId> = query_scalar!(
        update,
        Json(new),
        topic.as_str(),
        now.trunc_subsecs(0),
        <&str>::from(coverage)
    )
    .fetch_all(&mut *connection)
    .await?;
    let update = format!(
        "UPDATE topic_repositories AS member SET joined_at =
             (SELECT max(at) FROM events WHERE events.topic = $2 AND kind = 'joined'
                  AND events.repository_id = member.repository_id)
         WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})
           AND joined_at IS NULL AND {LAST_KIND} = 'joined'"
    );
    query!(update, Json(new), topic.as_str()).execute(&mut *connection).await?;
    let joined = joined.into_iter().map(|id| Change::new(id, EventKind::Joined));
    write(connection, Some(topic), &joined.collect::<Vec<_>>(), now).await
}

/// Whether a member came or went last.
const LAST_KIND: &str = "
    (SELECT kind FROM events
     WHERE events.topic = $2 AND events.repository_id = member.repository_id
       AND kind IN ('joined', 'left')
     ORDER BY at DESC LIMIT 1)";
