//! The counts of every day as rows.

use std::ops::ControlFlow;

use async_trait::async_trait;
use chrono::NaiveDate;
use serde::Serialize;
use tokio::sync::oneshot;

use super::outlet::Outlet;
use super::rows::ExportFormat;
use crate::error::Error;
use crate::model::counts::Span;
use crate::model::list::ListMeta;
use crate::model::repository::RepositoryId;
use crate::store::CountsSink;

#[derive(Serialize)]
struct HistoryRow<'a> {
    repository_id: RepositoryId,
    full_name: &'a str,
    day: NaiveDate,
    stargazers_count: i64,
    /// Null on days before the mirror counted forks and issues.
    forks_count: Option<i64>,
    open_issues_count: Option<i64>,
}

impl HistoryRow<'_> {
    const COLUMNS: [&'static str; 6] = [
        "repository_id",
        "full_name",
        "day",
        "stargazers_count",
        "forks_count",
        "open_issues_count",
    ];
}

/// Writes counts as rows of days.
pub(super) struct HistorySink {
    /// Sends the facts about the topic; `None` once they are sent.
    pub(super) begun: Option<oneshot::Sender<Result<ListMeta, Error>>>,
    pub(super) format: ExportFormat,
    pub(super) outlet: Outlet,
}

#[async_trait]
impl CountsSink for HistorySink {
    async fn begin(&mut self, meta: ListMeta) -> ControlFlow<()> {
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(Ok(meta));
        }
        self.outlet.write(&self.format.header(&HistoryRow::COLUMNS)).await
    }

    async fn repository(&mut self, full_name: &str, spans: &[Span]) -> ControlFlow<()> {
        let full_name = self.format.text(full_name);
        let days = |span: &Span| {
            let (repository_id, counts, full_name) = (span.repository, span.counts, &*full_name);
            span.days().map(move |day| HistoryRow {
                repository_id,
                full_name,
                day,
                stargazers_count: counts.stars,
                forks_count: counts.forks,
                open_issues_count: counts.open_issues,
            })
        };
        let rows = self.format.rows(spans.iter().flat_map(days));
        self.outlet.write(&rows).await
    }
}
