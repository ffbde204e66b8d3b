//! Refreshes: the lease, pages, the last transaction, the ledger. Compiled for each database with
//! the names that its own module gives.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _, Transaction};

use super::topics::list_revision;
use super::{Connection, Database, EACH_ID, PLACES, Row, SqlStore, WITH_LOCK, ids, text, upsert};
use crate::model::repository::RepositoryId;
use crate::model::run::{Outcome, RefreshRun, Report, RunState, Trigger, UpsertCounts};
use crate::model::slice::Slice;
use crate::model::topic::{Topic, UNKNOWN_TOPIC_TIME};
use crate::store::{
    ALL_TOPICS, BeginOutcome, FinishRun, LEASE_TIME, LEDGER_TIME, Lease, NewRefresh, Page,
    RefreshStore, Result, Scope, StoreError, UpsertedRow,
};

const ENTRY: &str =
    "SELECT id, topic, cause, outcome, started_at, finished_at, report FROM refreshes";

/// The repositories of a topic, which is the first parameter, with their places in its rankings.
const PLACED: &str = "(SELECT id, confirmed_in, confirmed_at, stargazers_count, updated_at,
         row_number() OVER (ORDER BY stargazers_count DESC, id) AS by_stars,
         row_number() OVER (ORDER BY updated_at DESC, id) AS by_update
     FROM topic_repositories JOIN repositories ON id = repository_id WHERE topic = $1) AS placed";

#[async_trait]
impl RefreshStore for SqlStore {
    async fn begin(&self, refresh: &NewRefresh<'_>, now: DateTime<Utc>) -> Result<BeginOutcome> {
        let mut transaction = self.write().await?;
        let name = refresh.topic.map_or(ALL_TOPICS, Topic::as_str);
        let held: Option<(i64, DateTime<Utc>)> = sqlx::query_as(
            "SELECT refresh_id, expires_at FROM leases WHERE name = $1 AND owner IS NOT NULL",
        )
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
        if let (Trigger::OnDemand, Some(topic)) = (refresh.cause, refresh.topic) {
            let listed = "SELECT id FROM topics JOIN refreshes ON topic = name WHERE name = $1 AND modified_at > $2
                 ORDER BY id DESC LIMIT 1";
            let listed =
                sqlx::query_scalar(listed).bind(topic.as_str()).bind(now - UNKNOWN_TOPIC_TIME);
            if let Some(id) = listed.fetch_optional(&mut *transaction).await? {
                return Ok(BeginOutcome::Running(id));
            }
        }
        match held {
            // One that lasts far longer than any was taken before the clock was set back; replicas'
            // clocks differ a little.
            Some((running, expires_at))
                if expires_at > now && expires_at <= now + LEASE_TIME * 2 =>
            {
                // A run over several topics shows the ones that it joins as its own.
                if let Some(parent) = refresh.parent {
                    let adopt =
                        "UPDATE refreshes SET parent_id = $2 WHERE id = $1 AND parent_id IS NULL";
                    sqlx::query(adopt)
                        .bind(running)
                        .bind(parent)
                        .execute(&mut *transaction)
                        .await?;
                    transaction.commit().await?;
                }
                return Ok(BeginOutcome::Running(running));
            }
            Some((abandoned, _)) => {
                let report = sqlx::query_scalar("SELECT report FROM refreshes WHERE id = $1")
                    .bind(abandoned);
                let report: Option<Option<Json<Report>>> =
                    report.fetch_optional(&mut *transaction).await?;
                let mut report = report.flatten().map(|report| report.0).unwrap_or_default();
                report.because("its process ended");
                close_entry(&mut transaction, abandoned, Outcome::Failed, &report, now).await?;
            }
            None => {}
        }
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO refreshes (parent_id, topic, cause, started_at) VALUES ($1, $2, $3, $4) RETURNING id",
        )
        .bind(refresh.parent)
        .bind(refresh.topic.map(Topic::as_str))
        .bind(<&str>::from(refresh.cause))
        .bind(now)
        .fetch_one(&mut *transaction)
        .await?;
        let fence: i64 = sqlx::query_scalar(
            "INSERT INTO leases (name, owner, fence, expires_at, refresh_id) VALUES ($1, $2, 1, $3, $4)
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = leases.fence + 1,
                 expires_at = excluded.expires_at, refresh_id = excluded.refresh_id
             RETURNING fence",
        )
        .bind(name)
        .bind(refresh.owner)
        .bind(now + LEASE_TIME)
        .bind(id)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(BeginOutcome::Started(Lease {
            name: name.to_owned(),
            owner: refresh.owner.to_owned(),
            fence,
            refresh: id,
        }))
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>) -> Result<()> {
        let transaction = self.write_as(lease, now).await?;
        Ok(transaction.commit().await?)
    }

    async fn store_page(
        &self,
        lease: &Lease,
        topic: &Topic,
        page: &Page<'_>,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<(UpsertCounts, Vec<Topic>)> {
        let mut transaction = self.write_as(lease, now).await?;
        let written = upsert(&mut transaction, page.repositories, now).await?;
        let joined = join(&mut transaction, lease, topic, page, now).await?;
        let touched = touch(&mut transaction, topic, &written, joined).await?;
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let inserted = count(written.iter().filter(|written| written.is_new).count());
        let stored = UpsertCounts {
            inserted,
            updated: count(written.len()) - inserted,
            unchanged: count(page.repositories.len()) - count(written.len()),
        };
        let mut progress = report.clone();
        progress.stored(stored);
        sqlx::query("UPDATE refreshes SET report = $2 WHERE id = $1")
            .bind(lease.refresh)
            .bind(Json(&progress))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((stored, touched))
    }

    async fn slices(
        &self,
        topic: &Topic,
        since: DateTime<Utc>,
    ) -> Result<Vec<(Slice, DateTime<Utc>)>> {
        let rows: Vec<(DateTime<Utc>, DateTime<Utc>, DateTime<Utc>)> =
            sqlx::query_as("SELECT created_from, created_to, read_at FROM slices WHERE topic = $1 AND read_at > $2")
                .bind(topic.as_str())
                .bind(since)
                .fetch_all(self.reader())
                .await?;
        Ok(rows
            .into_iter()
            .map(|(first, last, read_at)| (Slice::between(first, last), read_at))
            .collect())
    }

    async fn keep_slice(
        &self,
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        began: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        sqlx::query(
            "INSERT INTO slices (topic, created_from, created_to, refresh_id, read_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (topic, created_from, created_to) DO UPDATE
             SET refresh_id = excluded.refresh_id, read_at = excluded.read_at",
        )
        .bind(topic.as_str())
        .bind(slice.first())
        .bind(slice.last())
        .bind(lease.refresh)
        .bind(began)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    async fn take_slice(
        &self,
        lease: &Lease,
        topic: &Topic,
        slice: Slice,
        now: DateTime<Utc>,
    ) -> Result<Vec<RepositoryId>> {
        let mut transaction = self.write_as(lease, now).await?;
        let taken = sqlx::query_scalar(
            "UPDATE topic_repositories SET confirmed_in = $2, confirmed_at = $5
             WHERE topic = $1 AND confirmed_in >=
                     (SELECT refresh_id FROM slices WHERE topic = $1 AND created_from = $3 AND created_to = $4)
               AND repository_id IN (SELECT id FROM repositories WHERE created_at BETWEEN $3 AND $4)
             RETURNING repository_id",
        )
        .bind(topic.as_str())
        .bind(lease.refresh)
        .bind(slice.first())
        .bind(slice.last())
        .bind(now)
        .fetch_all(&mut *transaction)
        .await?;
        sqlx::query("UPDATE slices SET refresh_id = $2 WHERE topic = $1 AND created_from = $3 AND created_to = $4")
            .bind(topic.as_str())
            .bind(lease.refresh)
            .bind(slice.first())
            .bind(slice.last())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(taken)
    }

    async fn first_list(
        &self,
        lease: &Lease,
        topic: &Topic,
        best_match: &[RepositoryId],
        total_count: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        rank(&mut transaction, topic, best_match).await?;
        sqlx::query("UPDATE topics SET revision = revision + 1, total_count = $2 WHERE name = $1")
            .bind(topic.as_str())
            .bind(total_count)
            .execute(&mut *transaction)
            .await?;
        list_revision(&mut transaction, topic, now).await?;
        Ok(transaction.commit().await?)
    }

    async fn doubts(
        &self,
        lease: &Lease,
        topic: &Topic,
        scope: Scope,
        limit: i64,
    ) -> Result<Vec<RepositoryId>> {
        let doubts = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT id FROM {PLACED} WHERE confirmed_in <> $2 AND (by_stars <= $3 OR by_update <= $3)
               AND ($4 IS NULL OR updated_at > $4 OR confirmed_at < $5)
             ORDER BY confirmed_in, stargazers_count DESC, id LIMIT $6"
        )));
        let (updated_at, confirmed_at) = scope.since().unzip();
        let doubts =
            doubts.bind(topic.as_str()).bind(lease.refresh).bind(scope.depth()).bind(updated_at);
        let doubts = doubts.bind(confirmed_at).bind(limit);
        Ok(doubts.fetch_all(self.reader()).await?)
    }

    async fn remove(
        &self,
        lease: &Lease,
        topic: &Topic,
        gone: &[RepositoryId],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        sqlx::query(AssertSqlSafe(format!(
            "DELETE FROM topic_repositories WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})"
        )))
        .bind(ids(gone))
        .bind(topic.as_str())
        .execute(&mut *transaction)
        .await?;
        sqlx::query("UPDATE topics SET revision = revision + 1 WHERE name = $1")
            .bind(topic.as_str())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn finish(
        &self,
        lease: &Lease,
        finish: &FinishRun<'_>,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        let mut transaction = self.write_as(lease, now).await?;
        let topic = finish.topic.as_str();
        let mut overtaken = 0;
        if let Some(confirmed) = &finish.complete {
            // Of a topic that is kept whole nothing is ever overtaken, and finding that out would
            // take long.
            if let Scope::First(depth) = confirmed.scope {
                let removed = sqlx::query(AssertSqlSafe(format!(
                    "DELETE FROM topic_repositories WHERE topic = $1 AND repository_id IN
                         (SELECT id FROM {PLACED} WHERE confirmed_in <> $2 AND by_stars > $3 AND by_update > $3)"
                )));
                let removed = removed.bind(topic).bind(lease.refresh).bind(depth);
                overtaken =
                    i64::try_from(removed.execute(&mut *transaction).await?.rows_affected())
                        .unwrap_or(i64::MAX);
            }
            sqlx::query("DELETE FROM slices WHERE topic = $1")
                .bind(topic)
                .execute(&mut *transaction)
                .await?;
            rank(&mut transaction, finish.topic, confirmed.best_match).await?;
        }
        sqlx::query(
            "INSERT INTO star_snapshots (repository_id, day, stargazers_count)
             SELECT id, $3, stargazers_count FROM topic_repositories JOIN repositories ON id = repository_id
             WHERE topic = $1 AND confirmed_in = $2
             ON CONFLICT (repository_id, day) DO UPDATE SET stargazers_count = excluded.stargazers_count
             WHERE star_snapshots.stargazers_count <> excluded.stargazers_count",
        )
        .bind(topic)
        .bind(lease.refresh)
        .bind(now.date_naive())
        .execute(&mut *transaction)
        .await?;
        if let Some(confirmed) = &finish.complete {
            sqlx::query(
                "UPDATE topics SET revision = revision + 1, complete = TRUE, covered_at = $2, changes_until = $3,
                     refreshed_at = $4, found = $5, total_count = $6, shrunk_to = NULL, shrunk_at = NULL WHERE name = $1",
            )
            .bind(topic)
            .bind(finish.covered.covered_at)
            .bind(finish.covered.changes_until)
            .bind(now)
            .bind(confirmed.found)
            .bind(confirmed.total_count)
            .execute(&mut *transaction)
            .await?;
            list_revision(&mut transaction, finish.topic, now).await?;
        } else {
            sqlx::query(
                "UPDATE topics SET revision = revision + CASE WHEN complete THEN 1 ELSE 0 END, complete = FALSE,
                     covered_at = $2, changes_until = $3, shrunk_to = $4, shrunk_at = $5 WHERE name = $1",
            )
            .bind(topic)
            .bind(finish.covered.covered_at)
            .bind(finish.covered.changes_until)
            .bind(finish.shrunk.map(|(to, _)| to))
            .bind(finish.shrunk.map(|(_, at)| at))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(overtaken)
    }

    async fn end(
        &self,
        lease: &Lease,
        outcome: Outcome,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        close_entry(&mut transaction, lease.refresh, outcome, report, now).await?;
        if outcome == Outcome::Failed {
            sqlx::query("UPDATE topics SET complete = FALSE, revision = revision + 1 WHERE name = $1 AND complete")
                .bind(&lease.name)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("UPDATE leases SET owner = NULL WHERE name = $1")
            .bind(&lease.name)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM refreshes WHERE finished_at < $1")
            .bind(now - LEDGER_TIME)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn refreshes(&self, limit: i64) -> Result<Vec<RefreshRun>> {
        let query =
            AssertSqlSafe(format!("{ENTRY} WHERE parent_id IS NULL ORDER BY id DESC LIMIT $1"));
        let rows = sqlx::query(query).bind(limit).fetch_all(self.reader()).await?;
        Ok(rows.iter().map(entry).collect::<sqlx::Result<_>>()?)
    }

    async fn refresh(&self, id: i64) -> Result<Option<RefreshRun>> {
        let query =
            AssertSqlSafe(format!("{ENTRY} WHERE id = $1 OR parent_id = $1 ORDER BY id <> $1, id"));
        let rows = sqlx::query(query).bind(id).fetch_all(self.reader()).await?;
        let mut entries = rows.iter().map(entry).collect::<sqlx::Result<Vec<_>>>()?.into_iter();
        let Some(mut refresh) = entries.next().filter(|first| first.id == id) else {
            return Ok(None);
        };
        refresh.topics = entries.collect();
        // Its own numbers are written at its end: until then they are those of its topics so far.
        if refresh.state == RunState::Running {
            refresh.topics.iter().for_each(|topic| refresh.report.add(&topic.report));
        }
        Ok(Some(refresh))
    }

    async fn latest(&self, topic: &Topic) -> Result<Option<RefreshRun>> {
        let query = AssertSqlSafe(format!("{ENTRY} WHERE topic = $1 ORDER BY id DESC LIMIT 1"));
        let row = sqlx::query(query).bind(topic.as_str()).fetch_optional(self.reader()).await?;
        Ok(row.as_ref().map(entry).transpose()?)
    }
}

impl SqlStore {
    /// A transaction of a lease's holder, which keeps the lease by it: one that lost it stores
    /// nothing.
    async fn write_as(
        &self,
        lease: &Lease,
        now: DateTime<Utc>,
    ) -> Result<Transaction<'static, Database>> {
        let mut transaction = self.begin().await?;
        let keep =
            "UPDATE leases SET expires_at = $4 WHERE name = $1 AND owner = $2 AND fence = $3";
        let kept = sqlx::query(AssertSqlSafe(format!("{keep}{WITH_LOCK}")))
            .bind(&lease.name)
            .bind(&lease.owner)
            .bind(lease.fence)
            .bind(now + LEASE_TIME)
            .execute(&mut *transaction)
            .await?;
        if kept.rows_affected() == 1 { Ok(transaction) } else { Err(StoreError::LeaseLost) }
    }
}

/// Makes the page's repositories members of the topic, confirmed by this run; unreadable ones only
/// where they are already. Returns how many were no members before the run.
async fn join(
    connection: &mut Connection,
    lease: &Lease,
    topic: &Topic,
    page: &Page<'_>,
    now: DateTime<Utc>,
) -> Result<usize> {
    let shown: Vec<RepositoryId> =
        page.repositories.iter().map(|repository| repository.id).collect();
    let added_in: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(format!(
        "INSERT INTO topic_repositories (topic, repository_id, added_in, confirmed_in, confirmed_at)
         SELECT $2, value, $3, $3, $4 FROM {EACH_ID} WHERE true
         ON CONFLICT (topic, repository_id) DO UPDATE
         SET confirmed_in = excluded.confirmed_in, confirmed_at = excluded.confirmed_at
         RETURNING added_in"
    )))
    .bind(ids(&shown))
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    if !page.unreadable.is_empty() {
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE topic_repositories SET confirmed_in = $3, confirmed_at = $4
             WHERE topic = $2 AND repository_id IN (SELECT value FROM {EACH_ID})"
        )))
        .bind(ids(page.unreadable))
        .bind(topic.as_str())
        .bind(lease.refresh)
        .bind(now)
        .execute(connection)
        .await?;
    }
    Ok(added_in.iter().filter(|added_in| **added_in == lease.refresh).count())
}

/// Counts up the revision of every topic whose lists may differ now, and returns those topics.
async fn touch(
    connection: &mut Connection,
    topic: &Topic,
    written: &[UpsertedRow],
    joined: usize,
) -> Result<Vec<Topic>> {
    if written.is_empty() && joined == 0 {
        return Ok(Vec::new());
    }
    let written: Vec<RepositoryId> = written.iter().map(|written| written.id).collect();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "UPDATE topics SET revision = revision + 1
         WHERE name = $2 AND $3
            OR name IN (SELECT topic FROM topic_repositories WHERE repository_id IN (SELECT value FROM {EACH_ID}))
         RETURNING name"
    )))
    .bind(ids(&written))
    .bind(topic.as_str())
    .bind(joined > 0)
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(|row| text(row, "name")).collect::<sqlx::Result<_>>()?)
}

/// Gives the topic's repositories their places in best match.
async fn rank(
    connection: &mut Connection,
    topic: &Topic,
    best_match: &[RepositoryId],
) -> Result<()> {
    let others = format!(
        "UPDATE topic_repositories SET rank = NULL
         WHERE topic = $2 AND rank IS NOT NULL AND repository_id NOT IN (SELECT value FROM {EACH_ID})"
    );
    let placed = format!(
        "UPDATE topic_repositories SET rank = place FROM {PLACES}
         WHERE topic = $2 AND repository_id = best.value AND rank IS DISTINCT FROM place"
    );
    for update in [others, placed] {
        sqlx::query(AssertSqlSafe(update))
            .bind(ids(best_match))
            .bind(topic.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn close_entry(
    connection: &mut Connection,
    id: i64,
    outcome: Outcome,
    report: &Report,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query("UPDATE refreshes SET outcome = $2, finished_at = $3, report = $4 WHERE id = $1")
        .bind(id)
        .bind(<&str>::from(outcome))
        .bind(now)
        .bind(Json(report))
        .execute(connection)
        .await?;
    Ok(())
}

fn entry(row: &Row) -> sqlx::Result<RefreshRun> {
    let outcome: Option<Outcome> = match row.try_get::<Option<&str>, _>("outcome")? {
        Some(_) => Some(text(row, "outcome")?),
        None => None,
    };
    let started_at: DateTime<Utc> = row.try_get("started_at")?;
    let finished_at: Option<DateTime<Utc>> = row.try_get("finished_at")?;
    let report: Option<Json<Report>> = row.try_get("report")?;
    Ok(RefreshRun {
        id: row.try_get("id")?,
        topic: row.try_get("topic")?,
        cause: text(row, "cause")?,
        state: if finished_at.is_some() { RunState::Finished } else { RunState::Running },
        outcome,
        complete: outcome == Some(Outcome::Complete),
        started_at,
        finished_at,
        seconds_left: None,
        duration_ms: finished_at.map(|finished_at| (finished_at - started_at).num_milliseconds()),
        report: report.map(|report| report.0).unwrap_or_default(),
        topics: Vec::new(),
    })
}
