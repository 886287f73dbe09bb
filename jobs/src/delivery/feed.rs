//! Which deliveries changed of late, for those who watch; what else did is in `overview`. It is read and
//! not notified: a notification would cost every outcome a lock over all daemons at its commit.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

/// A delivery that changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[schema(as = DeliveryChange)]
pub struct Changed {
    /// `worker.deliveries.id`.
    pub id: Uuid,
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// Where it stands now.
    pub state: String,
    /// When it changed (UTC).
    pub updated_at: DateTime<Utc>,
}

/// The deliveries that changed at this time or later, the latest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn changed_since(
    pool: &PgPool,
    since: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Changed>, sqlx::Error> {
    // Each half has an index: of what is undecided there is little, and what was decided is in the
    // order of that.
    sqlx::query_as!(
        Changed,
        r#"select id as "id!", platform_id as "platform_id!", state as "state!",
               updated_at as "updated_at!"
           from (
               select id, platform_id, state, updated_at from worker.deliveries
               where state not in ('accepted', 'rejected', 'failed', 'canceled') and updated_at >= $1
               union all
               select id, platform_id, state, updated_at from worker.deliveries
               where state in ('accepted', 'rejected', 'failed', 'canceled')
                 and decided_at >= $1
           ) changed
           order by updated_at desc limit $2"#,
        since,
        limit,
    )
    .fetch_all(pool)
    .await
}
