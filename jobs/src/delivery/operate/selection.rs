//! One operation on many deliveries: counted first, bounded, each in a transaction of its own.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::one::{Operated, Operation, operate};
use crate::{audit::By, delivery::State};

/// Which deliveries: all that fit every condition given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `worker.deliveries.platform_id`.
    pub platform_id: Option<i32>,
    /// Where they stand.
    pub state: Option<State>,
    /// `worker.deliveries.release_id`.
    pub release_id: Option<i32>,
    /// The release's UPC.
    pub upc: Option<String>,
    /// The last fault's code.
    pub fault_code: Option<String>,
    /// Made before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl Selection {
    /// No condition at all is given: it would mean everything there is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// What an operation on a selection came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Done.
    pub changed: u64,
    /// Attempts under way that are being stopped.
    pub stopping: u64,
    /// Not done, each with the reason.
    pub refused: Vec<(Uuid, String)>,
}

/// How many deliveries of a selection an operation can be done to.
///
/// # Errors
/// The database's.
pub async fn count(
    pool: &PgPool,
    selection: &Selection,
    operation: Operation,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from worker.deliveries
           where state = any($1) and ($2::integer is null or platform_id = $2)
             and ($3::integer is null or release_id = $3) and ($4::text is null or upc = $4)
             and ($5::text is null or fault_code = $5)
             and ($6::timestamptz is null or created_at < $6)"#,
        &states(selection, operation) as _,
        selection.platform_id,
        selection.release_id,
        selection.upc,
        selection.fault_code,
        selection.created_before,
    )
    .fetch_one(pool)
    .await
}

/// Does something to the deliveries of a selection, the oldest first, at most `limit` of them.
///
/// # Errors
/// The database's; what was done before stays done, and doing it again goes on with the rest.
pub async fn operate_all(
    pool: &PgPool,
    selection: &Selection,
    operation: Operation,
    limit: i64,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Tally, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"select id from worker.deliveries
           where state = any($1) and ($2::integer is null or platform_id = $2)
             and ($3::integer is null or release_id = $3) and ($4::text is null or upc = $4)
             and ($5::text is null or fault_code = $5)
             and ($6::timestamptz is null or created_at < $6)
           order by id limit $7"#,
        &states(selection, operation) as _,
        selection.platform_id,
        selection.release_id,
        selection.upc,
        selection.fault_code,
        selection.created_before,
        limit,
    )
    .fetch_all(pool)
    .await?;
    operate_each(pool, &ids, operation, by, now).await
}

/// Does something to each of these deliveries.
///
/// # Errors
/// The database's; what was done before stays done.
pub async fn operate_each(
    pool: &PgPool,
    ids: &[Uuid],
    operation: Operation,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Tally, sqlx::Error> {
    let mut tally = Tally::default();
    for &id in ids {
        match operate(pool, id, operation, by, now).await? {
            Some(Operated::Changed(_)) => tally.changed += 1,
            Some(Operated::Stopping) => tally.stopping += 1,
            Some(Operated::Refused(why)) => tally.refused.push((id, why)),
            None => tally.refused.push((id, "there is no such delivery".into())),
        }
    }
    Ok(tally)
}

/// The states that are both asked for and open to the operation.
fn states(selection: &Selection, operation: Operation) -> Vec<&'static str> {
    operation
        .states()
        .iter()
        .filter(|state| selection.state.is_none_or(|asked| asked == **state))
        .map(|state| state.as_str())
        .collect()
}
