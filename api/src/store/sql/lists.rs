//! Lists: the rows of a ranking, and all of a topic's repositories.

use std::sync::LazyLock;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::Row as _;

use super::dialect::{Connection, EPOCH, Row, SqlStore};
use super::growth;
use super::members;
use super::text;
use super::topics::allot;
use crate::lists::catalogue::Catalogue;
use crate::model::growth::Period;
use crate::model::list::{CurrentVersions, LIST_LENGTH, ListItem, ListMeta, Version};
use crate::model::on_demand::{UNKNOWN_TIME, is_unknown_to_github};
use crate::model::ranking::Ranking;
use crate::model::repository::RepositoryId;
use crate::model::topic::Topic;
use crate::store::{Columns, ListStore, Result, StandbyStore};

/// The headers' facts. It does not count what is stored, which takes longer than a list does when
/// the topic is large.
static META: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {EPOCH} AS epoch, origin, revision, modified_at, refreshed_at, complete,
             total_count, revision > listed_revision AS is_unlisted,
             EXISTS (SELECT 1 FROM topic_repositories WHERE topic = name) AS has_stored
         FROM topics WHERE name = $1 AND modified_at IS NOT NULL"
    )
});

/// The columns of [`item`], in its order.
const ITEM: &str =
    "id, name, full_name, html_url, language, updated_at, pushed_at, stargazers_count";

/// Room for a repository's JSON, which has 270 bytes on average.
const ITEM_BYTES: usize = 320;

#[async_trait]
impl ListStore for SqlStore {
    async fn list(&self, topic: &Topic, ranking: Ranking) -> Result<Option<(ListMeta, Vec<u8>)>> {
        let mut transaction = self.read_behind(Some(topic)).await?;
        let Some(meta) = meta(&mut transaction, topic).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let (condition, order) = order(ranking);
        let select = format!(
            "SELECT {ITEM} FROM topic_repositories JOIN repositories ON id = repository_id
             WHERE topic = $1{condition} ORDER BY {order}, id LIMIT {LIST_LENGTH}"
        );
        let mut rows = query!(select, topic.as_str()).fetch(&mut transaction);
        let mut json = Vec::with_capacity(2 + LIST_LENGTH * ITEM_BYTES);
        json.push(b'[');
        while let Some(row) = rows.try_next().await? {
            append(&mut json, &item(&row)?);
        }
        json.push(b']');
        drop(rows);
        transaction.commit().await?;
        Ok(Some((meta, json)))
    }

    async fn catalogue(
        &self,
        topic: &Topic,
        period: Period,
        columns: Columns,
    ) -> Result<Option<Catalogue>> {
        let mut transaction = self.read().await?;
        let Some(mut meta) = meta(&mut transaction, topic).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
        self.note_version(topic, meta.version());
        let counted = growth::counted(&mut transaction, topic, period).await?;
        if period.day.is_none() {
            meta.history = growth::history_days(&mut transaction, topic, &counted).await?;
        }
        let mut catalogue = Catalogue::new(topic.clone(), meta, counted.last);
        let (connection, own) = (&mut transaction, &mut catalogue);
        match period.day {
            Some(day) => members::past(connection, topic, day, columns, &counted, own).await?,
            None => members::present(connection, topic, columns, &counted, own).await?,
        }
        transaction.commit().await?;
        Ok(Some(catalogue.finish()))
    }

    async fn repositories(&self, topic: &Topic, ids: &[RepositoryId]) -> Result<Option<Catalogue>> {
        let mut transaction = self.read().await?;
        let Some(meta) = meta(&mut transaction, topic).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let mut catalogue = Catalogue::new(topic.clone(), meta, None);
        members::with_ids(&mut transaction, ids, &mut catalogue).await?;
        transaction.rollback().await?;
        Ok(Some(catalogue.finish()))
    }

    async fn current_versions(&self, topic: &Topic) -> Result<Option<CurrentVersions>> {
        let query = format!(
            "SELECT {EPOCH} AS epoch, listed_revision, revision FROM topics
             WHERE name = $1 AND modified_at IS NOT NULL"
        );
        let row =
            query_as!(query, topic.as_str()).fetch_optional(&mut self.reader().await?).await?;
        let versions = |(epoch, published, newest): (i64, i64, i64)| CurrentVersions {
            published: Version { epoch, revision: published },
            newest,
        };
        let versions = row.map(versions);
        if let Some(versions) = &versions {
            self.note_version(topic, versions.published);
        }
        Ok(versions)
    }

    async fn epoch(&self) -> Result<i64> {
        Ok(query_scalar!(format!("SELECT {EPOCH}")).fetch_one(&mut self.reader().await?).await?)
    }

    async fn allot_modified(&self, topic: &Topic, now: DateTime<Utc>) -> Result<()> {
        let unlisted = "SELECT revision > listed_revision FROM topics WHERE name = $1";
        if query_scalar!(unlisted, topic.as_str()).fetch_optional(&mut self.reader().await?).await?
            != Some(true)
        {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        allot(&mut transaction, topic, false, now).await?;
        Ok(transaction.commit().await?)
    }
}

/// A further condition on the rows of a ranking, and their order.
fn order(ranking: Ranking) -> (&'static str, &'static str) {
    match ranking {
        Ranking::BestMatch => (" AND rank IS NOT NULL", "rank"),
        Ranking::Popularity => ("", "stargazers_count DESC"),
        Ranking::Activity => ("", "updated_at DESC"),
    }
}

pub(super) async fn meta(
    connection: &mut Connection,
    topic: &Topic,
) -> sqlx::Result<Option<ListMeta>> {
    let row = query!(META.as_str(), topic.as_str()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let total_count = row.try_get("total_count")?;
    let refreshed_at: Option<DateTime<Utc>> = row.try_get("refreshed_at")?;
    let is_unknown =
        is_unknown_to_github(text(&row, "origin")?, total_count, row.try_get("has_stored")?);
    let modified_at: Option<DateTime<Utc>> = row.try_get("modified_at")?;
    let is_unlisted: bool = row.try_get("is_unlisted")?;
    Ok(Some(ListMeta {
        epoch: row.try_get("epoch")?,
        revision: row.try_get("revision")?,
        modified_at: modified_at.filter(|_| !is_unlisted),
        refreshed_at,
        complete: row.try_get("complete")?,
        total_count,
        valid_until: refreshed_at.filter(|_| is_unknown).map(|at| at + UNKNOWN_TIME),
        history: None,
    }))
}

/// Adds an object to an array that has begun.
#[expect(clippy::expect_used, reason = "plain data is always JSON, and memory takes it")]
fn append(json: &mut Vec<u8>, item: &ListItem<'_>) {
    if json.len() > 1 {
        json.push(b',');
    }
    serde_json::to_writer(json, item).expect("plain data");
}

fn item(row: &Row) -> sqlx::Result<ListItem<'_>> {
    Ok(ListItem {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        full_name: row.try_get(2)?,
        html_url: row.try_get(3)?,
        language: row.try_get(4)?,
        updated_at: row.try_get(5)?,
        pushed_at: row.try_get(6)?,
        stargazers_count: row.try_get(7)?,
    })
}
