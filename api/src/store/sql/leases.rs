//! Leases: one process at a time refreshes a topic.

use chrono::{DateTime, Utc};

use super::Checkout;
use super::dialect::{Connection, SqlStore, WITH_LOCK};
use crate::store::{ALL_TOPICS, LEASE_TIME, Lease, NewRefresh, Result, StoreError};

impl SqlStore {
    /// A transaction of the lease's holder, which renews the lease. A caller that lost the lease
    /// stores nothing.
    pub(super) async fn write_as(&self, lease: &Lease, now: DateTime<Utc>) -> Result<Checkout> {
        let mut transaction = self.begin().await?;
        let renew =
            "UPDATE leases SET expires_at = $4 WHERE name = $1 AND owner = $2 AND fence = $3";
        let renewed = query!(
            format!("{renew}{WITH_LOCK}"),
            &lease.name,
            &lease.owner,
            lease.fence,
            now + LEASE_TIME
        )
        .execute(&mut transaction)
        .await?;
        // mutant in store: a lost lease stores nothing
        //     renewed.rows_affected() == 1 => true
        if renewed.rows_affected() == 1 {
            return Ok(transaction);
        }
        transaction.rollback().await?;
        Err(StoreError::LeaseLost)
    }
}

/// The name under which a refresh is leased.
pub(super) fn lease_name<'a>(refresh: &NewRefresh<'a>) -> &'a str {
    refresh.topic.map_or(ALL_TOPICS, |topic| topic.as_str())
}

/// The refresh that has the lease, and whether its lease is still valid. A lease that ends much
/// later than any can was taken before the clock was set back; the factor allows for replicas whose
/// clocks differ.
pub(super) async fn holder(
    connection: &mut Connection,
    name: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<(i64, bool)>> {
    let held: Option<(i64, DateTime<Utc>)> = query_as!(
        "SELECT refresh_id, expires_at FROM leases WHERE name = $1 AND owner IS NOT NULL",
        name
    )
    .fetch_optional(connection)
    .await?;
    let is_valid = |ends: DateTime<Utc>| ends > now && ends <= now + LEASE_TIME * 2;
    Ok(held.map(|(refresh, expires_at)| (refresh, is_valid(expires_at))))
}

/// Takes the lease for a refresh, whoever had it.
pub(super) async fn take(
    connection: &mut Connection,
    refresh: &NewRefresh<'_>,
    id: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Lease> {
    let name = lease_name(refresh);
    let insert =
        "INSERT INTO leases (name, owner, fence, expires_at, refresh_id) VALUES ($1, $2, 1, $3, $4)
         ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = leases.fence + 1,
             expires_at = excluded.expires_at, refresh_id = excluded.refresh_id
         RETURNING fence";
    let fence: i64 = query_scalar!(insert, name, refresh.owner, now + LEASE_TIME, id)
        .fetch_one(connection)
        .await?;
    Ok(Lease { name: name.to_owned(), owner: refresh.owner.to_owned(), fence, refresh: id })
}

/// Gives the lease back.
pub(super) async fn release(connection: &mut Connection, name: &str) -> sqlx::Result<()> {
    query!("UPDATE leases SET owner = NULL WHERE name = $1", name).execute(connection).await?;
    Ok(())
}
