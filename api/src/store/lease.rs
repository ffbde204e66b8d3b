//! The lease that one process holds while it refreshes.

use chrono::TimeDelta;

use crate::model::run::Trigger;
use crate::model::topic::Topic;

/// How long a lease lasts without a renewal. Then another process takes over the refresh. It is
/// longer than the renewals need by more than the clocks of replicas may differ.
pub const LEASE_TIME: TimeDelta = TimeDelta::seconds(50);

/// How long the ledger keeps a finished refresh.
// mutant in store: entries are kept for 30 days
//     days(30) => days(0)
pub const LEDGER_TIME: TimeDelta = TimeDelta::days(30);

/// The lease name of a run over every tracked topic; not a valid topic.
pub const ALL_TOPICS: &str = "*";

/// A lease on a topic's refresh, with a fencing token that grows with each holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The topic, or [`ALL_TOPICS`].
    pub name: String,
    /// The process that holds the lease.
    pub owner: String,
    /// The fencing token.
    pub fence: i64,
    /// The id of the refresh in the ledger.
    pub refresh: i64,
}

/// A refresh to begin.
#[derive(Clone, Debug)]
pub struct NewRefresh<'a> {
    /// The topic, or `None` for every tracked one.
    pub topic: Option<&'a Topic>,
    /// The run over several topics that this one is part of.
    pub parent: Option<i64>,
    /// The run that the caller waits for. If it has ended, no other one begins.
    pub awaited: Option<i64>,
    pub trigger: Trigger,
    /// This process.
    pub owner: &'a str,
}

/// Whether a refresh was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeginOutcome {
    /// The caller holds the lease.
    Started(Lease),
    /// Another caller's refresh is running, or has just ended: its id in the ledger.
    Running(i64),
}
