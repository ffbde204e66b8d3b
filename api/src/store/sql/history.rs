//! History: days of topics, former members, and the deletion of history that nothing keeps.

use async_trait::async_trait;
use chrono::{DateTime, Days, Utc};
use sqlx::types::Json;
use sqlx::{Encode, Type};

use super::columns::list;
use super::counts;
use super::dialect::{Connection, DAY_LESS_NUMBER, Database, EACH_ID, SqlStore, day_of};
use crate::model::event::{EVENT_TIME, UNKEPT_TIME};
use crate::model::list::LIST_LENGTH;
use crate::model::repository::RepositoryId;
use crate::model::topic::{Coverage, Topic};
use crate::store::archive::{EVENTS, FORMER_MEMBERS, TOPIC_DAYS, Table};
use crate::store::{FinishRun, HistoryStore, Lease, Result};

/// Repositories handled in one transaction. Other writers wait for it.
const BATCH: usize = 500;

/// Writes what is known of the topic's day at the end of a run, and returns the topics whose lists
/// may differ for it. A complete run of a topic that is kept whole has seen its repositories: those
/// that it did not show have not changed.
pub(super) async fn write_topic_day(
    connection: &mut Connection,
    lease: &Lease,
    finish: &FinishRun<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Topic>> {
    let (topic, day) = (finish.topic, now.date_naive());
    let complete = finish.complete.as_ref();
    let mut changed = Vec::new();
    // mutant in store::history: a complete run of a whole topic has seen its repositories
    //     scope.coverage() == Coverage::Complete => scope.coverage() == Coverage::Top
    if let Some(scope) = complete.map(|complete| complete.scope)
        && scope.coverage() == Coverage::Complete
        && counts::write_unchanged(connection, lease, topic, scope, now).await?
    {
        changed = counts::new_revisions_of_shared(connection, topic).await?;
    }
    // Of those that GitHub showed, the topic has the public ones.
    let ranked = format!(
        "SELECT repository_id FROM topic_repositories WHERE topic = $1 AND rank IS NOT NULL
         ORDER BY rank LIMIT {LIST_LENGTH}"
    );
    let best_match: Vec<RepositoryId> =
        query_scalar!(ranked, topic.as_str()).fetch_all(&mut *connection).await?;
    let insert = "INSERT INTO topic_days (topic, day, total_count, stored, complete, best_match)
         VALUES ($1, $2, $3, (SELECT count(*) FROM topic_repositories WHERE topic = $1), $4, $5)
         ON CONFLICT (topic, day) DO UPDATE
         SET total_count = CASE WHEN excluded.complete OR NOT topic_days.complete
                 THEN coalesce(excluded.total_count, topic_days.total_count)
                 ELSE topic_days.total_count END,
             stored = excluded.stored,
             complete = topic_days.complete OR excluded.complete,
             best_match = coalesce(excluded.best_match, topic_days.best_match)";
    query!(
        insert,
        topic.as_str(),
        day,
        finish.total_count,
        complete.is_some(),
        complete.map(|_| Json(best_match))
    )
    .execute(connection)
    .await?;
    Ok(changed)
}

/// Begins the memberships of new members. One that ended yesterday or today goes on.
pub(super) async fn begin_memberships(
    connection: &mut Connection,
    topic: &Topic,
    new: &[RepositoryId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let (topic, today) = (topic.as_str(), now.date_naive());
    let yesterday = today - Days::new(1);
    let recent = "former.topic = $2 AND former.last_day >= $3";
    let begin = format!(
        "UPDATE topic_repositories AS member SET since = coalesce(
             (SELECT max(first_day) FROM former_members AS former
              WHERE {recent} AND former.repository_id = member.repository_id), $4)
         WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})"
    );
    query!(begin, Json(new), topic, yesterday, today).execute(&mut *connection).await?;
    let goes_on = format!(
        "DELETE FROM former_members AS former
         WHERE {recent} AND former.repository_id IN (SELECT value FROM {EACH_ID})"
    );
    query!(goes_on, Json(new), topic, yesterday).execute(&mut *connection).await?;
    let kept = format!(
        "UPDATE repositories SET unkept_since = NULL
         WHERE id IN (SELECT value FROM {EACH_ID}) AND unkept_since IS NOT NULL"
    );
    query!(kept, Json(new)).execute(connection).await?;
    Ok(())
}

/// Ends memberships: of these repositories, or of all.
pub(super) async fn end_memberships(
    connection: &mut Connection,
    topic: &Topic,
    gone: Option<&[RepositoryId]>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let chosen = format!("topic = $2 AND ($3 OR repository_id IN (SELECT value FROM {EACH_ID}))");
    let keep = format!(
        "INSERT INTO former_members (topic, repository_id, first_day, last_day)
         SELECT topic, repository_id, coalesce(since, $4), $4 FROM topic_repositories
         WHERE {chosen} AND coalesce(since, $4) <= $4
         ON CONFLICT (topic, repository_id, first_day) DO UPDATE SET last_day = excluded.last_day
         WHERE former_members.last_day < excluded.last_day"
    );
    let (ids, topic, all) = (Json(gone.unwrap_or_default()), topic.as_str(), gone.is_none());
    query!(keep, ids, topic, all, now.date_naive()).execute(&mut *connection).await?;
    let delete = format!("DELETE FROM topic_repositories WHERE {chosen}");
    query!(delete, ids, topic, all).execute(connection).await?;
    Ok(())
}

/// The repositories that no other topic has or had.
pub(super) async fn own_repositories(
    connection: &mut Connection,
    topic: &Topic,
) -> sqlx::Result<Vec<RepositoryId>> {
    let all = "SELECT topic, repository_id FROM topic_repositories
        UNION SELECT topic, repository_id FROM former_members";
    let own = format!(
        "SELECT DISTINCT repository_id FROM ({all}) AS own
         WHERE topic = $1 AND NOT EXISTS
             (SELECT 1 FROM topic_repositories AS other
              WHERE other.repository_id = own.repository_id AND other.topic <> $1)
           AND NOT EXISTS
             (SELECT 1 FROM former_members AS other
              WHERE other.repository_id = own.repository_id AND other.topic <> $1)"
    );
    query_scalar!(own, topic.as_str()).fetch_all(connection).await
}

/// Ends the memberships of a topic that is deleted, and notes when that was.
pub(super) async fn forget(
    connection: &mut Connection,
    topic: &Topic,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    end_memberships(connection, topic, None, now).await?;
    let has_history = "EXISTS (SELECT 1 FROM former_members WHERE topic = $1)";
    let note = format!(
        "INSERT INTO forgotten_topics (topic, forgotten_at)
         SELECT name, $2 FROM topics WHERE name = $1 AND {has_history}
         ON CONFLICT (topic) DO UPDATE SET forgotten_at = excluded.forgotten_at"
    );
    query!(note, topic.as_str(), now).execute(&mut *connection).await?;
    // A topic that never had a repository is mostly a typing error.
    let delete = format!("DELETE FROM topic_days WHERE topic = $1 AND NOT {has_history}");
    query!(delete, topic.as_str()).execute(connection).await?;
    Ok(())
}

/// Repositories that no topic has.
const UNKEPT: &str =
    "NOT EXISTS (SELECT 1 FROM topic_repositories WHERE repository_id = repositories.id)";

/// Tables whose rows belong to a repository.
const OF_REPOSITORY: [&str; 5] = ["former_members", "counts", "backfilled", "backfills", "names"];

impl SqlStore {
    /// Completes the rows that the release before has written, which knows neither the table of
    /// counts nor the first days of members. Each transaction moves the counts of a few
    /// repositories.
    pub(in crate::store) async fn take_over_old_rows(&self) -> Result<()> {
        let added = day_of("coalesce(started_at, confirmed_at)");
        let mut transaction = self.write().await?;
        let update = format!(
            "UPDATE topic_repositories AS member SET since =
                 (SELECT {added} FROM topic_repositories AS own
                      LEFT JOIN refreshes ON refreshes.id = own.added_in
                  WHERE own.topic = member.topic AND own.repository_id = member.repository_id)
             WHERE since IS NULL"
        );
        query!(update).execute(&mut transaction).await?;
        transaction.commit().await?;
        let select = format!(
            "SELECT DISTINCT repository_id FROM star_snapshots ORDER BY repository_id LIMIT {BATCH}"
        );
        let own = format!("repository_id IN (SELECT value FROM {EACH_ID})");
        let add = format!(
            "INSERT INTO counts (repository_id, first_day, last_day, stargazers_count)
             SELECT repository_id, min(day), max(day), stargazers_count
             FROM (SELECT repository_id, day, stargazers_count,
                       {DAY_LESS_NUMBER} row_number() OVER
                           (PARTITION BY repository_id, stargazers_count ORDER BY day) AS span
                   FROM star_snapshots AS old
                   WHERE {own}
                     AND NOT EXISTS (SELECT 1 FROM counts
                                     WHERE counts.repository_id = old.repository_id
                                       AND first_day <= day AND last_day >= day)) AS numbered
             GROUP BY repository_id, stargazers_count, span"
        );
        let delete = format!("DELETE FROM star_snapshots WHERE {own}");
        loop {
            let mut transaction = self.write().await?;
            let some = query_scalar!(select.as_str());
            let some: Vec<RepositoryId> = some.fetch_all(&mut transaction).await?;
            for statement in [&add, &delete] {
                query!(statement.as_str(), Json(&some)).execute(&mut transaction).await?;
            }
            transaction.commit().await?;
            if some.is_empty() {
                return Ok(());
            }
        }
    }

    /// Deletes those of the repositories that no topic has, with their history, in small
    /// transactions; also history of repositories that are not there.
    pub(super) async fn delete_repositories(&self, ids: &[RepositoryId]) -> Result<()> {
        for some in ids.chunks(BATCH) {
            let mut transaction = self.write().await?;
            let own = format!("IN (SELECT value FROM {EACH_ID})");
            let unkept = format!("DELETE FROM repositories WHERE id {own} AND {UNKEPT}");
            let mut deletions = vec![unkept];
            deletions.extend(OF_REPOSITORY.map(|table| {
                format!(
                    "DELETE FROM {table} WHERE repository_id {own}
                     AND NOT EXISTS (SELECT 1 FROM repositories WHERE id = repository_id)"
                )
            }));
            for delete in deletions {
                query!(delete, Json(some)).execute(&mut transaction).await?;
            }
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Deletes the rows that a condition on this value chooses, in small transactions.
    async fn delete_rows<T>(&self, table: &Table, condition: &str, value: T) -> Result<()>
    where
        T: for<'q> Encode<'q, Database> + Type<Database> + Clone + Send + 'static,
    {
        let (source, key) = (table.source, list(&table.fields[..table.key], str::to_owned));
        let delete = format!(
            "DELETE FROM {source} WHERE ({key}) IN
                 (SELECT {key} FROM {source} WHERE {condition} LIMIT {BATCH})"
        );
        loop {
            let mut transaction = self.write().await?;
            let deleted = query!(delete.as_str(), value.clone())
                .execute(&mut transaction)
                .await?
                .rows_affected();
            transaction.commit().await?;
            if deleted < BATCH as u64 {
                return Ok(());
            }
        }
    }

    /// Sets since when no topic has had the repositories that the condition chooses, in small
    /// transactions.
    async fn set_unkept(&self, condition: &str, since: Option<DateTime<Utc>>) -> Result<()> {
        let chosen = format!("SELECT id FROM repositories WHERE {condition}");
        let chosen = query_scalar!(chosen);
        let chosen: Vec<RepositoryId> = chosen.fetch_all(&mut self.reader().await?).await?;
        for some in chosen.chunks(BATCH) {
            let update = format!(
                "UPDATE repositories SET unkept_since = $2
                 WHERE id IN (SELECT value FROM {EACH_ID}) AND {condition}"
            );
            let update = query!(update, Json(some), since);
            let mut transaction = self.write().await?;
            update.execute(&mut transaction).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Notes that unkept history is looked for now, and returns the last time before.
    async fn note_sweep(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let mut transaction = self.write().await?;
        let last = "SELECT swept_at FROM database_life";
        let last: Option<Option<DateTime<Utc>>> =
            query_scalar!(last).fetch_optional(&mut transaction).await?;
        query!("UPDATE database_life SET swept_at = $1", now).execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(last.flatten())
    }
}

#[async_trait]
impl HistoryStore for SqlStore {
    async fn delete_topic_history(&self, topic: &Topic) -> Result<()> {
        let is_untracked = "topic = $1 AND NOT EXISTS (SELECT 1 FROM topics WHERE name = $1)";
        for table in [&TOPIC_DAYS, &EVENTS, &FORMER_MEMBERS] {
            self.delete_rows(table, is_untracked, topic.as_str().to_owned()).await?;
        }
        let mut transaction = self.write().await?;
        let delete = format!("DELETE FROM forgotten_topics WHERE {is_untracked}");
        query!(delete, topic.as_str()).execute(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn delete_unkept(&self, now: DateTime<Utc>) -> Result<()> {
        self.set_unkept(&format!("unkept_since IS NULL AND {UNKEPT}"), Some(now)).await?;
        self.set_unkept(&format!("unkept_since IS NOT NULL AND NOT ({UNKEPT})"), None).await?;
        // Only history that was old enough at the last look too is deleted: the clock may be wrong
        // now.
        // mutant in store::history: history is deleted only if it was old enough at two looks
        //     last.min(now) => now
        let Some(last) = self.note_sweep(now).await? else { return Ok(()) };
        let seen = last.min(now);
        let lost = OF_REPOSITORY.map(|table| {
            format!(
                " UNION SELECT repository_id FROM {table}
                  WHERE NOT EXISTS (SELECT 1 FROM repositories WHERE id = repository_id)"
            )
        });
        let old = "SELECT id FROM repositories WHERE unkept_since < $1".to_owned() + &lost.concat();
        let old = query_scalar!(old, seen - UNKEPT_TIME);
        let old: Vec<RepositoryId> = old.fetch_all(&mut self.reader().await?).await?;
        self.delete_repositories(&old).await?;
        let forgotten = "SELECT topic FROM forgotten_topics WHERE forgotten_at < $1";
        let forgotten = query_scalar!(forgotten, seen - UNKEPT_TIME);
        let forgotten: Vec<String> = forgotten.fetch_all(&mut self.reader().await?).await?;
        for topic in forgotten.iter().filter_map(|name| name.parse().ok()) {
            self.delete_topic_history(&topic).await?;
        }
        let mut transaction = self.write().await?;
        query!("DELETE FROM forgotten_topics WHERE topic IN (SELECT name FROM topics)")
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        self.delete_rows(&EVENTS, "at < $1", seen - EVENT_TIME).await
    }
}
