//! Rate-limit windows, one for each resource and caller, as GitHub's `x-ratelimit-*` headers report
//! them.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The requests that a window allows.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Limit {
    /// The limit of callers with an Authorization header.
    pub with_token: u32,
    pub without_token: u32,
}

/// The resources that GitHub limits separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `/search/repositories`, with a window of one minute.
    Search,
    /// Every other route, with a window of one hour.
    Core,
}

impl Resource {
    /// The value of `x-ratelimit-resource`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Core => "core",
        }
    }

    pub(crate) fn window(self) -> TimeDelta {
        match self {
            Self::Search => TimeDelta::minutes(1),
            Self::Core => TimeDelta::hours(1),
        }
    }
}

/// A window as the headers report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub limit: u32,
    pub used: u32,
    /// The end of the window.
    pub reset: DateTime<Utc>,
}

impl Quota {
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.limit.saturating_sub(self.used)
    }
}

/// The windows of all callers, by resource and token.
#[derive(Debug, Default)]
pub struct Windows(HashMap<(Resource, Option<String>), Quota>);

impl Windows {
    /// The caller's window. Counts no request, but begins a new window if the last one has ended.
    pub fn peek(
        &mut self,
        resource: Resource,
        token: Option<&str>,
        limit: Limit,
        now: DateTime<Utc>,
    ) -> &mut Quota {
        let limit = if token.is_some() { limit.with_token } else { limit.without_token };
        let fresh = Quota { limit, used: 0, reset: now + resource.window() };
        let quota = self.0.entry((resource, token.map(str::to_owned))).or_insert(fresh);
        if quota.reset <= now || quota.limit != limit {
            *quota = fresh;
        }
        quota
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The window, if it has no requests left.
    pub fn take(
        &mut self,
        resource: Resource,
        token: Option<&str>,
        limit: Limit,
        now: DateTime<Utc>,
    ) -> Result<Quota, Quota> {
        let quota = self.peek(resource, token, limit, now);
        if quota.remaining() == 0 {
            return Err(*quota);
        }
        quota.used += 1;
        Ok(*quota)
    }

    /// Uncounts the request that `taken` counted, since a 304 is free for a caller with a token.
    /// Returns the window for the headers.
    pub fn give_back(&mut self, resource: Resource, token: Option<String>, taken: Quota) -> Quota {
        if let Some(quota) = self.0.get_mut(&(resource, token))
            && quota.reset == taken.reset
        {
            quota.used -= 1;
        }
        Quota { used: taken.used - 1, ..taken }
    }
}
