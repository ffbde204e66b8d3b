//! Growth by the counts of a catalogue.

use chrono::NaiveDate;

use super::{Catalogue, Row};
use crate::model::counts::Span;
use crate::model::growth::{Growth, Window};

impl Catalogue {
    /// The growth of a repository within the window that ends on the last day with counts.
    #[must_use]
    pub fn growth(&self, row: &Row, window: Window) -> Option<Growth> {
        self.growth_until(row, window, self.last_day?)
    }

    /// The growth within the window before that one.
    pub(in crate::lists) fn growth_before(&self, row: &Row, window: Window) -> Option<Growth> {
        self.growth_until(row, window, self.last_day? - window.days())
    }

    fn growth_until(&self, row: &Row, window: Window, last: NaiveDate) -> Option<Growth> {
        let created = row.created_at.map(|at| at.date_naive());
        Growth::of(&self.spans(row), created, last, window)
    }

    #[must_use]
    pub fn last_day(&self) -> Option<NaiveDate> {
        self.last_day
    }

    /// The counts of a repository that growth needs, in the order of their days.
    #[must_use]
    pub fn spans(&self, row: &Row) -> Vec<Span> {
        let spans = &self.spans[row.spans.start as usize..row.spans.end as usize];
        spans.iter().map(|span| span.span(row.id)).collect()
    }
}
