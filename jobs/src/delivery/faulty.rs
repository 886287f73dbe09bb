//! What waits for a platform with a fault.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// The most that is told.
const MOST: i64 = 12;

/// Undecided deliveries to a platform, in one state and with one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulty {
    /// Their state.
    pub state: String,
    /// The fault's code.
    pub fault_code: String,
    /// What happened to the last of them.
    pub message: Option<String>,
    /// When anything last happened to one of them (UTC).
    pub last_at: DateTime<Utc>,
    /// How many.
    pub count: i64,
}

/// What waits for a platform with a fault, the most frequent first.
///
/// # Errors
/// The database's.
pub async fn faulty(pool: &PgPool, platform: i32) -> Result<Vec<Faulty>, sqlx::Error> {
    sqlx::query_as!(
        Faulty,
        r#"with tallied as (
               select state, fault_code, count(*) as count, max(updated_at) as last_at,
                   (array_agg(id order by updated_at desc))[1] as last
               from worker.deliveries
               where platform_id = $1 and fault_code is not null
                 and state not in ('accepted', 'rejected', 'failed', 'canceled')
               group by state, fault_code
           )
           select t.state as "state!", t.fault_code as "fault_code!", l.fault_message as message,
               t.last_at as "last_at!", t.count as "count!"
           from tallied t join worker.deliveries l on l.id = t.last
           order by t.count desc, t.state, t.fault_code limit $2"#,
        platform,
        MOST,
    )
    .fetch_all(pool)
    .await
}
