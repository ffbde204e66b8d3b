//! The repositories of a topic, now and as of a past day, for a catalogue.

use chrono::{Days, NaiveDate, NaiveTime};
use futures_util::TryStreamExt;
use sqlx::Row as _;
use sqlx::types::Json;

use super::dialect::{Connection, EACH_ID, Row};
use super::growth::{Counted, MEMBERS_ON};
use crate::lists::catalogue::{Catalogue, Entry};
use crate::model::repository::{RepositoryId, address_under};
use crate::model::topic::Topic;
use crate::store::Columns;

/// The columns of [`Columns::Listed`], in the order in which [`entry`] reads them.
const LISTED: &str = "id, full_name, name, html_url, language, stargazers_count, created_at";

/// Those that [`Columns::Stored`] has besides.
const STORED: &str = ", owner, license, description, homepage, default_branch, node_id, topics,
    archived, disabled, fork, is_template, size, forks_count, open_issues_count";

/// The place of the first column behind those.
fn width(columns: Columns) -> usize {
    match columns {
        Columns::Listed => 7,
        Columns::Stored => 21,
    }
}

fn names(columns: Columns) -> String {
    match columns {
        Columns::Listed => LISTED.to_owned(),
        Columns::Stored => format!("{LISTED}{STORED}"),
    }
}

/// Reads the repositories that the topic has.
pub(super) async fn present(
    connection: &mut Connection,
    topic: &Topic,
    columns: Columns,
    counted: &Counted,
    catalogue: &mut Catalogue,
) -> sqlx::Result<()> {
    let select = format!(
        "SELECT {}, updated_at, pushed_at, rank, joined_at
         FROM topic_repositories JOIN repositories ON id = repository_id WHERE topic = $1",
        names(columns)
    );
    let mut rows = query!(select, topic.as_str()).fetch(connection);
    let width = width(columns);
    while let Some(row) = rows.try_next().await? {
        let topics = topics(&row, columns)?;
        let mut entry = entry(&row, columns, topics.as_deref())?;
        entry.spans = counted.spans(entry.id);
        entry.updated_at = row.try_get(width)?;
        entry.pushed_at = row.try_get(width + 1)?;
        entry.best_match = row.try_get(width + 2)?;
        entry.joined_at = row.try_get(width + 3)?;
        catalogue.push(&entry);
    }
    Ok(())
}

/// Reads the repositories with these ids, without what they are in a topic.
pub(super) async fn with_ids(
    connection: &mut Connection,
    ids: &[RepositoryId],
    catalogue: &mut Catalogue,
) -> sqlx::Result<()> {
    let select = format!(
        "SELECT {}, updated_at, pushed_at FROM repositories
         WHERE id IN (SELECT value FROM {EACH_ID})",
        names(Columns::Stored)
    );
    let mut rows = query!(select, Json(ids)).fetch(connection);
    let width = width(Columns::Stored);
    while let Some(row) = rows.try_next().await? {
        let topics = topics(&row, Columns::Stored)?;
        let mut entry = entry(&row, Columns::Stored, topics.as_deref())?;
        entry.updated_at = row.try_get(width)?;
        entry.pushed_at = row.try_get(width + 1)?;
        catalogue.push(&entry);
    }
    Ok(())
}

/// Reads the repositories that the topic had on a day, with the names and the counts that they had
/// then. No past of their other fields is kept.
pub(super) async fn past(
    connection: &mut Connection,
    topic: &Topic,
    day: NaiveDate,
    columns: Columns,
    counted: &Counted,
    catalogue: &mut Catalogue,
) -> sqlx::Result<()> {
    let select = format!(
        "SELECT {},
             (SELECT names.full_name FROM names
              WHERE names.repository_id = repositories.id AND until >= $3
              ORDER BY until LIMIT 1) AS former_name
         FROM {MEMBERS_ON} JOIN repositories ON repositories.id = member.repository_id",
        names(columns)
    );
    let end = (day + Days::new(1)).and_time(NaiveTime::MIN).and_utc();
    let mut rows = query!(select, topic.as_str(), day, end).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let topics = topics(&row, columns)?;
        let mut entry = entry(&row, columns, topics.as_deref())?;
        entry.spans = counted.spans(entry.id);
        let counts = entry.spans.last().map(|span| span.counts);
        entry.stars = counts.map_or(0, |counts| counts.stars);
        entry.forks = counts.and_then(|counts| counts.forks).unwrap_or(entry.forks);
        let former: Option<&str> = row.try_get(width(columns))?;
        entry.full_name = former.unwrap_or(entry.full_name);
        entry.name = entry.full_name.split_once('/').map_or(entry.full_name, |(_, name)| name);
        let html_url = address_under(entry.full_name, entry.html_url);
        catalogue.push(&Entry { html_url: &html_url, ..entry });
    }
    Ok(())
}

/// The topics of a row, which an entry borrows.
fn topics(row: &Row, columns: Columns) -> sqlx::Result<Option<Vec<String>>> {
    match columns {
        Columns::Listed => Ok(None),
        Columns::Stored => row.try_get(13).map(|Json(topics)| topics),
    }
}

fn entry<'a>(
    row: &'a Row,
    columns: Columns,
    topics: Option<&'a [String]>,
) -> sqlx::Result<Entry<'a>> {
    let listed = Entry {
        id: row.try_get(0)?,
        full_name: row.try_get(1)?,
        name: row.try_get(2)?,
        html_url: row.try_get(3)?,
        language: row.try_get(4)?,
        stars: row.try_get(5)?,
        created_at: row.try_get(6)?,
        ..Entry::default()
    };
    if columns == Columns::Listed {
        return Ok(listed);
    }
    Ok(Entry {
        owner: row.try_get(7)?,
        license: row.try_get(8)?,
        description: row.try_get(9)?,
        homepage: row.try_get(10)?,
        default_branch: row.try_get(11)?,
        node_id: row.try_get(12)?,
        topics,
        is_archived: row.try_get(14)?,
        is_disabled: row.try_get(15)?,
        is_fork: row.try_get(16)?,
        is_template: row.try_get(17)?,
        size: row.try_get(18)?,
        forks: row.try_get(19)?,
        open_issues: row.try_get(20)?,
        ..listed
    })
}
