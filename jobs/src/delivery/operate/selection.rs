//! One operation on many deliveries: counted first, bounded, each in a transaction of its own.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::one::{Operated, Operation, operate};
use crate::{
    audit::By,
    delivery::{Selection, State, read},
};

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
    let states = states(selection, operation);
    if states.is_empty() {
        return Ok(0);
    }
    let these = selection.conditions(pool, &states).await?;
    read::count_among(pool, &these, None).await
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
    let states = states(selection, operation);
    if states.is_empty() {
        return Ok(Tally::default());
    }
    let these = selection.conditions(pool, &states).await?;
    let ids = sqlx::query_scalar!(
        r#"select id as "id!" from worker.matching_deliveries($1, $2, $3, $4, $5, $6, $7, $8, $9)
           order by id limit $10"#,
        these.one_state,
        these.any_state.as_deref() as _,
        selection.platform_id,
        selection.release_id,
        these.releases.as_deref(),
        these.upcs.as_deref(),
        these.fault_code,
        selection.created_from,
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
fn states(selection: &Selection, operation: Operation) -> Vec<State> {
    let is_asked = |state: &State| selection.states.is_empty() || selection.states.contains(state);
    operation
        .states()
        .iter()
        .copied()
        .filter(is_asked)
        .collect()
}
