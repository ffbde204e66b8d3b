//! Rate-limit windows, one per bucket and caller, as GitHub's `x-ratelimit-*` headers tell of them.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Requests a window, with a token and without one.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Limit {
    /// For callers with an Authorization header.
    pub with_token: u32,
    /// For everyone else.
    pub without_token: u32,
}

/// GitHub counts searches apart from everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// `/search/repositories`, a window of one minute.
    Search,
    /// Everything else, a window of one hour.
    Core,
}

impl Bucket {
    /// As in `x-ratelimit-resource`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Core => "core",
        }
    }

    fn window(self) -> TimeDelta {
        match self {
            Self::Search => TimeDelta::minutes(1),
            Self::Core => TimeDelta::hours(1),
        }
    }
}

/// What the headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests a window.
    pub limit: u32,
    /// Requests since the window began.
    pub used: u32,
    /// The end of the window.
    pub reset: DateTime<Utc>,
}

impl Quota {
    /// Requests left in the window.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.limit.saturating_sub(self.used)
    }
}

/// The open windows.
#[derive(Debug, Default)]
pub struct Windows(HashMap<(Bucket, Option<String>), Quota>);

impl Windows {
    /// The caller's window without counting a request: a new one where the last has ended.
    pub fn peek(
        &mut self,
        bucket: Bucket,
        token: Option<&str>,
        limit: Limit,
        now: DateTime<Utc>,
    ) -> &mut Quota {
        let limit = if token.is_some() { limit.with_token } else { limit.without_token };
        let fresh = Quota { limit, used: 0, reset: now + bucket.window() };
        let quota = self.0.entry((bucket, token.map(str::to_owned))).or_insert(fresh);
        if quota.reset <= now || quota.limit != limit {
            *quota = fresh;
        }
        quota
    }

    /// Counts a request; `Err` when there was none left.
    pub fn take(
        &mut self,
        bucket: Bucket,
        token: Option<&str>,
        limit: Limit,
        now: DateTime<Utc>,
    ) -> Result<Quota, Quota> {
        let quota = self.peek(bucket, token, limit, now);
        if quota.remaining() == 0 {
            return Err(*quota);
        }
        quota.used += 1;
        Ok(*quota)
    }

    /// Takes back the request that `taken` counted: a 304 to a caller with a token is free. Returns
    /// what the headers say.
    pub fn give_back(&mut self, bucket: Bucket, token: Option<String>, taken: Quota) -> Quota {
        if let Some(quota) = self.0.get_mut(&(bucket, token))
            && quota.reset == taken.reset
        {
            quota.used -= 1;
        }
        Quota { used: taken.used - 1, ..taken }
    }
}
