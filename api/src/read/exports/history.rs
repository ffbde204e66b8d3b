//! The counts of every day as rows.

use std::ops::ControlFlow;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::outlet::Outlet;
use crate::error::Error;
use crate::lists::field::Value;
use crate::lists::table::{Format, TableWriter};
use crate::model::counts::Span;
use crate::model::list::ListMeta;
use crate::store::CountsSink;

const COLUMNS: [&str; 6] =
    ["repository_id", "full_name", "day", "stargazers_count", "forks_count", "open_issues_count"];

/// Writes counts as rows of days.
pub(super) struct HistorySink {
    /// Sends the facts about the topic; `None` once they are sent.
    pub(super) begun: Option<oneshot::Sender<Result<ListMeta, Error>>>,
    writer: TableWriter,
    pub(super) outlet: Outlet,
}

impl HistorySink {
    pub(super) fn new(
        begun: oneshot::Sender<Result<ListMeta, Error>>,
        format: Format,
        outlet: Outlet,
    ) -> Self {
        let writer = TableWriter::new(format, COLUMNS.to_vec());
        Self { begun: Some(begun), writer, outlet }
    }
}

#[async_trait]
impl CountsSink for HistorySink {
    async fn begin(&mut self, meta: ListMeta) -> ControlFlow<()> {
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(Ok(meta));
        }
        self.outlet.write(&self.writer.take()).await
    }

    async fn repository(&mut self, full_name: &str, spans: &[Span]) -> ControlFlow<()> {
        for (span, day) in spans.iter().flat_map(|span| span.days().map(move |day| (span, day))) {
            let counts = span.counts;
            // Days before the mirror counted forks and issues have none.
            let count = |count: Option<i64>| count.map_or(Value::Null, Value::Integer);
            self.writer.row(|place| match place {
                0 => Value::Integer(span.repository),
                1 => Value::Text(full_name),
                2 => Value::Day(day),
                3 => Value::Integer(counts.stars),
                4 => count(counts.forks),
                _ => count(counts.open_issues),
            });
        }
        self.outlet.write(&self.writer.take()).await
    }
}
