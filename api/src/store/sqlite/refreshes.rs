//! Refreshes on SQLite: the lease, pages, the last transaction, the ledger.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, Sqlite, SqliteConnection, Transaction};

use super::topics::list_revision;
use super::{SqliteStore, json_array, text};
use crate::refresh::report::{Outcome, Refresh, Report, State};
use crate::repository::{Repository, RepositoryId};
use crate::store::{
    ALL_TOPICS, Begun, Finish, Floors, LEASE_TIME, LEDGER_TIME, Lease, NewRefresh, Page, RefreshStore, Result, StoreError, Stored,
};
use crate::topic::Topic;

const ENTRY: &str = "SELECT id, topic, cause, outcome, started_at, finished_at, report FROM refreshes";

#[async_trait]
impl RefreshStore for SqliteStore {
    async fn begin(&self, refresh: &NewRefresh<'_>, now: DateTime<Utc>) -> Result<Begun> {
        let mut transaction = self.write().await?;
        let name = refresh.topic.map_or(ALL_TOPICS, Topic::as_str);
        let held: Option<(i64, DateTime<Utc>)> =
            sqlx::query_as("SELECT refresh_id, expires_at FROM leases WHERE name = $1 AND owner IS NOT NULL")
                .bind(name)
                .fetch_optional(&mut *transaction)
                .await?;
        match held {
            Some((running, expires_at)) if expires_at > now => return Ok(Begun::Running(running)),
            Some((abandoned, _)) => {
                let report = Report { reason: Some("its process ended".to_owned()), ..Report::default() };
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
        Ok(Begun::Started(Lease { name: name.to_owned(), owner: refresh.owner.to_owned(), fence, refresh: id }))
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
    ) -> Result<(Stored, Vec<Topic>)> {
        let mut transaction = self.write_as(lease, now).await?;
        let ids: Vec<RepositoryId> = page.repositories.iter().map(|repository| repository.id).collect();
        let known: i64 = sqlx::query_scalar("SELECT count(*) FROM repositories WHERE id IN (SELECT value FROM json_each($1))")
            .bind(json_array(&ids))
            .fetch_one(&mut *transaction)
            .await?;
        let written = upsert(&mut transaction, page.repositories, now).await?;
        let joined = join(&mut transaction, lease, topic, &ids, page.unreadable, now).await?;
        let touched = touch(&mut transaction, topic, &written, joined).await?;
        let mut progress = report.clone();
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let stored = Stored {
            inserted: count(ids.len()) - known,
            updated: count(written.len()) - (count(ids.len()) - known),
            unchanged: count(ids.len()) - count(written.len()),
        };
        progress.stored(stored);
        sqlx::query("UPDATE refreshes SET report = $2 WHERE id = $1")
            .bind(lease.refresh)
            .bind(sqlx::types::Json(&progress))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((stored, touched))
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

    async fn doubts(&self, lease: &Lease, topic: &Topic, floors: Floors, limit: i64) -> Result<Vec<RepositoryId>> {
        let query = sqlx::query_scalar(
            "SELECT repository_id FROM topic_repositories JOIN repositories ON id = repository_id
             WHERE topic = $1 AND confirmed_in <> $2
               AND ($3 IS NULL OR stargazers_count > $3 OR $4 IS NULL OR updated_at > $4)
             ORDER BY confirmed_in, stargazers_count DESC, id LIMIT $5",
        );
        let query = query.bind(topic.as_str()).bind(lease.refresh).bind(floors.stars).bind(floors.updated_at).bind(limit);
        Ok(query.fetch_all(&self.readers).await?)
    }

    async fn remove(&self, lease: &Lease, topic: &Topic, ids: &[RepositoryId], now: DateTime<Utc>) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        sqlx::query("DELETE FROM topic_repositories WHERE topic = $1 AND repository_id IN (SELECT value FROM json_each($2))")
            .bind(topic.as_str())
            .bind(json_array(ids))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE topics SET revision = revision + 1 WHERE name = $1")
            .bind(topic.as_str())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn finish(&self, lease: &Lease, finish: &Finish<'_>, now: DateTime<Utc>) -> Result<i64> {
        let mut transaction = self.write_as(lease, now).await?;
        let topic = finish.topic.as_str();
        let mut overtaken = 0;
        if let Some(confirmed) = &finish.complete {
            let floors = confirmed.floors;
            let removed = sqlx::query(
                "DELETE FROM topic_repositories WHERE topic = $1 AND confirmed_in <> $2 AND repository_id IN
                     (SELECT id FROM repositories WHERE stargazers_count <= $3 AND updated_at <= $4)",
            );
            let removed = removed.bind(topic).bind(lease.refresh).bind(floors.stars).bind(floors.updated_at);
            overtaken = i64::try_from(removed.execute(&mut *transaction).await?.rows_affected()).unwrap_or(i64::MAX);
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
                "UPDATE topics SET revision = revision + 1, complete = TRUE, refreshed_at = $2, found = $3,
                     total_count = $4, shrunk_to = NULL, shrunk_at = NULL WHERE name = $1",
            )
            .bind(topic)
            .bind(now)
            .bind(confirmed.found)
            .bind(confirmed.total_count)
            .execute(&mut *transaction)
            .await?;
            list_revision(&mut transaction, finish.topic, now).await?;
        } else {
            sqlx::query(
                "UPDATE topics SET revision = revision + CASE WHEN complete THEN 1 ELSE 0 END, complete = FALSE,
                     shrunk_to = $2, shrunk_at = $3 WHERE name = $1",
            )
            .bind(topic)
            .bind(finish.shrunk.map(|(to, _)| to))
            .bind(finish.shrunk.map(|(_, at)| at))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(overtaken)
    }

    async fn end(&self, lease: &Lease, outcome: Outcome, report: &Report, now: DateTime<Utc>) -> Result<()> {
        let mut transaction = self.write_as(lease, now).await?;
        close_entry(&mut transaction, lease.refresh, outcome, report, now).await?;
        sqlx::query("UPDATE leases SET owner = NULL WHERE name = $1").bind(&lease.name).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM refreshes WHERE finished_at < $1").bind(now - LEDGER_TIME).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn refreshes(&self, limit: i64) -> Result<Vec<Refresh>> {
        let query = AssertSqlSafe(format!("{ENTRY} WHERE parent_id IS NULL ORDER BY id DESC LIMIT $1"));
        let rows = sqlx::query(query).bind(limit).fetch_all(&self.readers).await?;
        Ok(rows.iter().map(entry).collect::<sqlx::Result<_>>()?)
    }

    async fn refresh(&self, id: i64) -> Result<Option<Refresh>> {
        let query = AssertSqlSafe(format!("{ENTRY} WHERE id = $1 OR parent_id = $1 ORDER BY id"));
        let rows = sqlx::query(query).bind(id).fetch_all(&self.readers).await?;
        let mut entries = rows.iter().map(entry).collect::<sqlx::Result<Vec<_>>>()?.into_iter();
        let Some(mut refresh) = entries.next().filter(|first| first.id == id) else { return Ok(None) };
        refresh.topics = entries.collect();
        Ok(Some(refresh))
    }

    async fn latest(&self, topic: &Topic) -> Result<Option<Refresh>> {
        let query = AssertSqlSafe(format!("{ENTRY} WHERE topic = $1 ORDER BY id DESC LIMIT 1"));
        let row = sqlx::query(query).bind(topic.as_str()).fetch_optional(&self.readers).await?;
        Ok(row.as_ref().map(entry).transpose()?)
    }
}

impl SqliteStore {
    /// A transaction of a lease's holder, which keeps the lease by it: one that lost it stores nothing.
    async fn write_as(&self, lease: &Lease, now: DateTime<Utc>) -> Result<Transaction<'static, Sqlite>> {
        let mut transaction = self.write().await?;
        let kept = sqlx::query("UPDATE leases SET expires_at = $4 WHERE name = $1 AND owner = $2 AND fence = $3")
            .bind(&lease.name)
            .bind(&lease.owner)
            .bind(lease.fence)
            .bind(now + LEASE_TIME)
            .execute(&mut *transaction)
            .await?;
        if kept.rows_affected() == 1 { Ok(transaction) } else { Err(StoreError::LeaseLost) }
    }
}

/// Stores the repositories that are new or differ, and returns their ids.
async fn upsert(connection: &mut SqliteConnection, repositories: &[Repository], now: DateTime<Utc>) -> Result<Vec<RepositoryId>> {
    let batch: Vec<_> = repositories
        .iter()
        .map(|repository| {
            json!([
                repository.id,
                repository.node_id,
                repository.name,
                repository.full_name,
                repository.owner,
                repository.html_url,
                repository.description,
                repository.homepage,
                repository.language,
                repository.license,
                json!(repository.topics).to_string(),
                repository.default_branch,
                repository.fork,
                repository.archived,
                repository.disabled,
                repository.is_template,
                repository.size,
                repository.stargazers_count,
                repository.forks_count,
                repository.open_issues_count,
                repository.created_at.map(|time| time.to_rfc3339()),
                repository.updated_at.to_rfc3339(),
                repository.pushed_at.map(|time| time.to_rfc3339()),
            ])
        })
        .collect();
    let query = sqlx::query_scalar(
        "INSERT INTO repositories (id, node_id, name, full_name, owner, html_url, description, homepage, language, license,
             topics, default_branch, fork, archived, disabled, is_template, size, stargazers_count, forks_count,
             open_issues_count, created_at, updated_at, pushed_at, stored_at)
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9,
             value->>10, value->>11, value->>12, value->>13, value->>14, value->>15, value->>16, value->>17, value->>18,
             value->>19, value->>20, value->>21, value->>22, $2
         FROM json_each($1) WHERE true
         ON CONFLICT (id) DO UPDATE SET node_id = excluded.node_id, name = excluded.name, full_name = excluded.full_name,
             owner = excluded.owner, html_url = excluded.html_url, description = excluded.description,
             homepage = excluded.homepage, language = excluded.language, license = excluded.license,
             topics = excluded.topics, default_branch = excluded.default_branch, fork = excluded.fork,
             archived = excluded.archived, disabled = excluded.disabled, is_template = excluded.is_template,
             size = excluded.size, stargazers_count = excluded.stargazers_count, forks_count = excluded.forks_count,
             open_issues_count = excluded.open_issues_count, created_at = excluded.created_at,
             updated_at = excluded.updated_at, pushed_at = excluded.pushed_at, stored_at = excluded.stored_at
         WHERE (repositories.node_id, repositories.name, repositories.full_name, repositories.owner, repositories.html_url,
             repositories.description, repositories.homepage, repositories.language, repositories.license,
             repositories.topics, repositories.default_branch, repositories.fork, repositories.archived,
             repositories.disabled, repositories.is_template, repositories.size, repositories.stargazers_count,
             repositories.forks_count, repositories.open_issues_count, repositories.created_at, repositories.updated_at,
             repositories.pushed_at)
           IS NOT (excluded.node_id, excluded.name, excluded.full_name, excluded.owner, excluded.html_url,
             excluded.description, excluded.homepage, excluded.language, excluded.license, excluded.topics,
             excluded.default_branch, excluded.fork, excluded.archived, excluded.disabled, excluded.is_template,
             excluded.size, excluded.stargazers_count, excluded.forks_count, excluded.open_issues_count,
             excluded.created_at, excluded.updated_at, excluded.pushed_at)
         RETURNING id",
    );
    Ok(query.bind(json_array(&batch)).bind(now).fetch_all(connection).await?)
}

/// Makes the repositories members of the topic, confirmed by this run; unreadable ones only where they are already.
/// Returns how many were no members before.
async fn join(
    connection: &mut SqliteConnection,
    lease: &Lease,
    topic: &Topic,
    ids: &[RepositoryId],
    unreadable: &[RepositoryId],
    now: DateTime<Utc>,
) -> Result<i64> {
    let members = "SELECT count(*) FROM topic_repositories WHERE topic = $1";
    let before: i64 = sqlx::query_scalar(members).bind(topic.as_str()).fetch_one(&mut *connection).await?;
    sqlx::query(
        "INSERT INTO topic_repositories (topic, repository_id, confirmed_in, confirmed_at)
         SELECT $1, value, $2, $3 FROM json_each($4) WHERE true
         ON CONFLICT (topic, repository_id) DO UPDATE
         SET confirmed_in = excluded.confirmed_in, confirmed_at = excluded.confirmed_at",
    )
    .bind(topic.as_str())
    .bind(lease.refresh)
    .bind(now)
    .bind(json_array(ids))
    .execute(&mut *connection)
    .await?;
    if !unreadable.is_empty() {
        sqlx::query(
            "UPDATE topic_repositories SET confirmed_in = $2, confirmed_at = $3
             WHERE topic = $1 AND repository_id IN (SELECT value FROM json_each($4))",
        )
        .bind(topic.as_str())
        .bind(lease.refresh)
        .bind(now)
        .bind(json_array(unreadable))
        .execute(&mut *connection)
        .await?;
    }
    let after: i64 = sqlx::query_scalar(members).bind(topic.as_str()).fetch_one(connection).await?;
    Ok(after - before)
}

/// Counts up the revision of every topic whose lists may differ now, and returns those topics.
async fn touch(connection: &mut SqliteConnection, topic: &Topic, written: &[RepositoryId], joined: i64) -> Result<Vec<Topic>> {
    let rows = sqlx::query(
        "UPDATE topics SET revision = revision + 1
         WHERE name = $1 AND $2 > 0
            OR name IN (SELECT topic FROM topic_repositories WHERE repository_id IN (SELECT value FROM json_each($3)))
         RETURNING name",
    )
    .bind(topic.as_str())
    .bind(joined)
    .bind(json_array(written))
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(|row| text(row, "name")).collect::<sqlx::Result<_>>()?)
}

/// Gives the topic's repositories their places in best match.
async fn rank(connection: &mut SqliteConnection, topic: &Topic, best_match: &[RepositoryId]) -> Result<()> {
    sqlx::query(
        "UPDATE topic_repositories SET rank = ranked.key
         FROM (SELECT member.repository_id AS id, place.key AS key FROM topic_repositories AS member
               LEFT JOIN json_each($2) AS place ON place.value = member.repository_id WHERE member.topic = $1) AS ranked
         WHERE topic = $1 AND repository_id = ranked.id AND rank IS NOT ranked.key",
    )
    .bind(topic.as_str())
    .bind(json_array(best_match))
    .execute(connection)
    .await?;
    Ok(())
}

async fn close_entry(
    connection: &mut SqliteConnection,
    id: i64,
    outcome: Outcome,
    report: &Report,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query("UPDATE refreshes SET outcome = $2, finished_at = $3, report = $4 WHERE id = $1")
        .bind(id)
        .bind(<&str>::from(outcome))
        .bind(now)
        .bind(sqlx::types::Json(report))
        .execute(connection)
        .await?;
    Ok(())
}

fn entry(row: &SqliteRow) -> sqlx::Result<Refresh> {
    let outcome: Option<Outcome> = match row.try_get::<Option<&str>, _>("outcome")? {
        Some(_) => Some(text(row, "outcome")?),
        None => None,
    };
    let started_at: DateTime<Utc> = row.try_get("started_at")?;
    let finished_at: Option<DateTime<Utc>> = row.try_get("finished_at")?;
    let report: Option<sqlx::types::Json<Report>> = row.try_get("report")?;
    Ok(Refresh {
        id: row.try_get("id")?,
        topic: row.try_get("topic")?,
        cause: text(row, "cause")?,
        state: if finished_at.is_some() { State::Finished } else { State::Running },
        outcome,
        complete: outcome == Some(Outcome::Complete),
        started_at,
        finished_at,
        duration_ms: finished_at.map(|finished_at| (finished_at - started_at).num_milliseconds()),
        report: report.map(|report| report.0).unwrap_or_default(),
        topics: Vec::new(),
    })
}
