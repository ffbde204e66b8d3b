//! Refreshes, transaction by transaction.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::dialect::{Connection, SqlStore};
use super::topics::{NEW_HEADERS, allot, new_revision};
use super::{counts, events, history, leases, ledger, pages, repositories, slices};
use crate::model::event::LeftReason;
use crate::model::on_demand::UNKNOWN_TIME;
use crate::model::repository::RepositoryId;
use crate::model::run::{Outcome, RefreshRun, Report, Trigger, UpsertCounts};
use crate::model::slice::Slice;
use crate::model::time::CLOCK_SKEW;
use crate::model::topic::Topic;
use crate::store::{
    BeginOutcome, FinishRun, LEDGER_TIME, Lease, NewRefresh, Page, RefreshStore, Result, Scope,
};

#[async_trait]
impl RefreshStore for SqlStore {
    async fn begin(&self, refresh: &NewRefresh<'_>, now: DateTime<Utc>) -> Result<BeginOutcome> {
        let mut transaction = self.write().await?;
        if let Some(awaited) = refresh.awaited
            && ledger::has_ended(&mut transaction, awaited).await?
        {
            transaction.rollback().await?;
            return Ok(BeginOutcome::Running(awaited));
        }
        if let (Trigger::OnDemand, Some(topic)) = (refresh.trigger, refresh.topic)
            && let Some(id) = just_listed(&mut transaction, topic, now).await?
        {
            transaction.rollback().await?;
            return Ok(BeginOutcome::Running(id));
        }
        match leases::holder(&mut transaction, leases::lease_name(refresh), now).await? {
            Some((running, true)) => {
                if let Some(parent) = refresh.parent {
                    ledger::adopt(&mut transaction, running, parent).await?;
                    transaction.commit().await?;
                } else {
                    transaction.rollback().await?;
                }
                return Ok(BeginOutcome::Running(running));
            }
            Some((abandoned, false)) => ledger::abandon(&mut transaction, abandoned, now).await?,
            None => {}
        }
        let id = ledger::open_entry(&mut transaction, refresh, now).await?;
        let lease = leases::take(&mut transaction, refresh, id, now).await?;
        transaction.commit().await?;
        Ok(BeginOutcome::Started(lease))
    }

    async fn note_progress(
        &self,
        lease: &Lease,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        ledger::note_progress(&mut transaction, lease.refresh, report).await?;
        Ok(transaction.commit().await?)
    }

    async fn renew(&self, lease: &Lease, now: DateTime<Utc>) -> Result<()> {
        Ok(self.write_as(lease, now).await?.commit().await?)
    }

    async fn store_page(
        &self,
        lease: &Lease,
        topic: &Topic,
        page: &Page<'_>,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<(UpsertCounts, Vec<Topic>)> {
        let ids: Vec<RepositoryId> = page.repositories.iter().map(|seen| seen.id).collect();
        let mut transaction = self.write_as(lease, now).await?;
        let known = pages::known(&mut transaction, topic, &ids, now.date_naive()).await?;
        let written = repositories::upsert(&mut transaction, page.repositories, now).await?;
        let changes = pages::changes(page.repositories, &known);
        events::write(&mut transaction, None, &changes, now).await?;
        events::write_former_names(&mut transaction, &changes, now).await?;
        let added = pages::add_members(&mut transaction, lease, topic, page, now).await?;
        let new = pages::new_members(&ids, &known);
        history::begin_memberships(&mut transaction, topic, &new, now).await?;
        events::join(&mut transaction, topic, page.coverage, &new, now).await?;
        let spans = pages::spans(page.repositories, &known, now);
        counts::write(&mut transaction, "counts", &spans).await?;
        let changed = written.iter().map(|row| row.id);
        let changed: Vec<_> = changed.chain(spans.iter().map(|span| span.repository)).collect();
        let changed = pages::new_revisions(&mut transaction, topic, &changed, added).await?;
        let inserted = count(written.iter().filter(|written| written.is_new).count());
        let counts = UpsertCounts {
            inserted,
            updated: count(written.len()) - inserted,
            unchanged: count(page.repositories.len()) - count(written.len()),
        };
        let mut progress = report.clone();
        progress.add_rows(counts);
        ledger::note_progress(&mut transaction, lease.refresh, &progress).await?;
        transaction.commit().await?;
        Ok((counts, changed))
    }

    async fn slices(
        &self,
        topic: &Topic,
        since: DateTime<Utc>,
    ) -> Result<Vec<(Slice, DateTime<Utc>)>> {
        Ok(slices::read_since(&mut self.reader().await?, topic, since).await?)
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
        slices::keep(&mut transaction, lease, topic, slice, began).await?;
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
        let taken = slices::take(&mut transaction, lease, topic, slice, now).await?;
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
        pages::rank(&mut transaction, topic, best_match).await?;
        sqlx::query("UPDATE topics SET total_count = $2 WHERE name = $1")
            .bind(topic.as_str())
            .bind(total_count)
            .execute(&mut transaction)
            .await?;
        new_revision(&mut transaction, topic).await?;
        allot(&mut transaction, topic, true, now).await?;
        Ok(transaction.commit().await?)
    }

    async fn unconfirmed(
        &self,
        lease: &Lease,
        topic: &Topic,
        scope: Scope,
    ) -> Result<Vec<RepositoryId>> {
        let mut connection = self.reader().await?;
        Ok(pages::unconfirmed(&mut connection, lease, topic, scope).await?)
    }

    async fn note_unanswered(
        &self,
        lease: &Lease,
        topic: &Topic,
        ids: &[RepositoryId],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        pages::note_unanswered(&mut transaction, topic, ids, now).await?;
        Ok(transaction.commit().await?)
    }

    async fn remove(
        &self,
        lease: &Lease,
        topic: &Topic,
        gone: &[(RepositoryId, LeftReason)],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        pages::remove(&mut transaction, topic, gone, now).await?;
        new_revision(&mut transaction, topic).await?;
        Ok(transaction.commit().await?)
    }

    async fn finish(
        &self,
        lease: &Lease,
        finish: &FinishRun<'_>,
        now: DateTime<Utc>,
    ) -> Result<(i64, Vec<Topic>)> {
        let mut transaction = self.write_as(lease, now).await?;
        let topic = finish.topic;
        let mut displaced = 0;
        if let Some(complete) = &finish.complete {
            displaced =
                pages::remove_displaced(&mut transaction, lease, topic, complete.scope, now)
                    .await?;
            slices::delete_all(&mut transaction, topic).await?;
            let ranked = pages::rank(&mut transaction, topic, complete.best_match).await?;
            if displaced > 0 || ranked > 0 {
                new_revision(&mut transaction, topic).await?;
            }
        }
        let changed = history::write_topic_day(&mut transaction, lease, finish, now).await?;
        save_result(&mut transaction, finish, now).await?;
        allot(&mut transaction, topic, finish.complete.is_some(), now).await?;
        transaction.commit().await?;
        Ok((count(displaced), changed))
    }

    async fn end(
        &self,
        lease: &Lease,
        outcome: Outcome,
        report: &Report,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        ledger::close_entry(&mut transaction, lease.refresh, outcome, report, now).await?;
        if outcome == Outcome::Failed {
            let failed = format!(
                "UPDATE topics SET complete = FALSE, {NEW_HEADERS} WHERE name = $1 AND complete"
            );
            let failed = sqlx::query(AssertSqlSafe(failed)).bind(&lease.name);
            failed.execute(&mut transaction).await?;
        }
        leases::release(&mut transaction, &lease.name).await?;
        sqlx::query("DELETE FROM refreshes WHERE finished_at < $1")
            .bind(now - LEDGER_TIME)
            .execute(&mut transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn refreshes(&self, limit: i64) -> Result<Vec<RefreshRun>> {
        Ok(ledger::newest(&mut self.reader().await?, limit).await?)
    }

    async fn refresh(&self, id: i64) -> Result<Option<RefreshRun>> {
        Ok(ledger::entry_with_children(&mut self.reader().await?, id).await?)
    }

    async fn latest(&self, topic: &Topic) -> Result<Option<RefreshRun>> {
        Ok(ledger::latest(&mut self.reader().await?, topic).await?)
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The refresh that gave a topic its list within [`UNKNOWN_TIME`], if one did.
async fn just_listed(
    connection: &mut Connection,
    topic: &Topic,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM topics JOIN refreshes ON topic = name
         WHERE name = $1 AND modified_at IS NOT NULL
             AND COALESCE(refreshed_at, modified_at) > $2
             AND COALESCE(refreshed_at, modified_at) <= $3
         ORDER BY id DESC LIMIT 1",
    )
    .bind(topic.as_str())
    .bind(now - UNKNOWN_TIME)
    .bind(now + CLOCK_SKEW)
    .fetch_optional(connection)
    .await
}

/// Saves the result of a run in its topic's row.
async fn save_result(
    connection: &mut Connection,
    finish: &FinishRun<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let cursor = finish.cursor;
    let update = if let Some(complete) = &finish.complete {
        let update = format!(
            "UPDATE topics SET {NEW_HEADERS}, complete = TRUE, covered_at = $2, changes_until = $3,
                 shrunk_to = NULL, shrunk_at = NULL, refreshed_at = $4, found = $5,
                 total_count = $6, filled = $7
             WHERE name = $1"
        );
        let update = sqlx::query(AssertSqlSafe(update)).bind(finish.topic.as_str());
        let update = update.bind(cursor.covered_at).bind(cursor.changes_until);
        let update = update.bind(now).bind(complete.found).bind(finish.total_count);
        update.bind(<&str>::from(complete.scope.coverage()))
    } else {
        let (shrunk_to, shrunk_at) = finish.shrunk.unzip();
        let update = format!(
            "UPDATE topics SET {NEW_HEADERS}, complete = FALSE, covered_at = $2, changes_until = $3,
                 shrunk_to = $4, shrunk_at = $5
             WHERE name = $1"
        );
        let update = sqlx::query(AssertSqlSafe(update)).bind(finish.topic.as_str());
        let update = update.bind(cursor.covered_at).bind(cursor.changes_until);
        update.bind(shrunk_to).bind(shrunk_at)
    };
    update.execute(connection).await?;
    Ok(())
}
