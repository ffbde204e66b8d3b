//! Refreshes, transaction by transaction.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::dialect::{Connection, SqlStore};
use super::topics::{NEW_HEADERS, allot, new_revision};
use super::{counts, doubts, events, history, leases, ledger, pages, repositories};
use crate::model::on_demand::UNKNOWN_TIME;
use crate::model::repository::RepositoryId;
use crate::model::run::{Outcome, Report, Trigger, UpsertCounts};
use crate::model::time::CLOCK_SKEW;
use crate::model::topic::Topic;
use crate::store::{
    BeginOutcome, FinishRun, LEDGER_TIME, Lease, NewRefresh, Page, RefreshStore, Result,
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
        query!("UPDATE topics SET total_count = $2 WHERE name = $1", topic.as_str(), total_count)
            .execute(&mut transaction)
            .await?;
        new_revision(&mut transaction, topic).await?;
        allot(&mut transaction, topic, true, now).await?;
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
                doubts::remove_displaced(&mut transaction, lease, topic, complete.scope, now)
                    .await?;
            let ranked = pages::rank(&mut transaction, topic, complete.best_match).await?;
            if displaced > 0 || ranked > 0 {
                new_revision(&mut transaction, topic).await?;
            }
        }
        // mutant in coverage: slices of a reading that was not believed are read again
        //     !finish.keeps_slices => finish.complete.is_some()
        if !finish.keeps_slices {
            let read = query!("DELETE FROM slices WHERE topic = $1", topic.as_str());
            read.execute(&mut transaction).await?;
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
            query!(failed, &lease.name).execute(&mut transaction).await?;
        }
        leases::release(&mut transaction, &lease.name).await?;
        query!("DELETE FROM refreshes WHERE finished_at < $1", now - LEDGER_TIME)
            .execute(&mut transaction)
            .await?;
        Ok(transaction.commit().await?)
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
    let select = "SELECT id FROM topics JOIN refreshes ON topic = name
         WHERE name = $1 AND modified_at IS NOT NULL
             AND COALESCE(refreshed_at, modified_at) > $2
             AND COALESCE(refreshed_at, modified_at) <= $3
         ORDER BY id DESC LIMIT 1";
    query_scalar!(select, topic.as_str(), now - UNKNOWN_TIME, now + CLOCK_SKEW)
        .fetch_optional(connection)
        .await
}

/// Saves the result of a run in its topic's row.
async fn save_result(
    connection: &mut Connection,
    finish: &FinishRun<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (complete, cursor) = (finish.complete.as_ref(), finish.cursor);
    let (shrunk_to, shrunk_at) = finish.shrunk.unzip();
    let update = format!(
        "UPDATE topics SET {NEW_HEADERS}, complete = $2, covered_at = $3, changes_until = $4,
             shrunk_to = $5, shrunk_at = $6, refreshed_at = coalesce($7, refreshed_at),
             found = coalesce($8, found), total_count = coalesce($9, total_count),
             filled = coalesce($10, filled)
         WHERE name = $1"
    );
    query!(update, finish.topic.as_str(), complete.is_some(), cursor.covered_at)
        .bind(cursor.changes_until)
        .bind(shrunk_to)
        .bind(shrunk_at)
        .bind(complete.map(|_| now))
        .bind(complete.map(|complete| complete.found))
        .bind(complete.and(finish.total_count))
        .bind(complete.map(|complete| <&str>::from(complete.scope.coverage())))
        .execute(connection)
        .await?;
    Ok(())
}
