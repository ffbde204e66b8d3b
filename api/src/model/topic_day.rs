//! A day of a topic, as its history shows it.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
pub struct TopicDay {
    /// A UTC day on which a run ended.
    pub day: NaiveDate,
    /// GitHub's count, by the day's last complete run.
    pub total_count: Option<i64>,
    /// The number of repositories kept, at the end of the day's last run.
    pub stored: i64,
    /// Whether a run of the day was complete.
    pub complete: bool,
    /// The sum of what the counts of stars grew by, over the repositories that the topic had on the
    /// day and that were seen on it: the day's count less the last one seen before the day, however
    /// long ago. Negative if more were lost. `None` on the topic's first day.
    pub stars_gained: Option<i64>,
    /// The number of joined events.
    pub joined: i64,
    /// The number of left events.
    pub left: i64,
}
