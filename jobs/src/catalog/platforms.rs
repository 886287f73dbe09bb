//! What an operator reads of platforms: their rows, and how their queues stand.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use crate::delivery;

/// A platform with its queue.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Platform)]
pub struct PlatformQueue {
    /// `distribution_platforms.id`.
    pub id: i32,
    /// `distribution_platforms.name`.
    pub name: String,
    /// `delivery_method`, as it stands there.
    pub method: String,
    /// `distribution_platforms.status`.
    pub status: String,
    /// Since when its queue is paused (UTC), if it is.
    pub paused_at: Option<DateTime<Utc>>,
    /// Why it is paused.
    pub paused_reason: Option<String>,
    /// How hard the partner may be used, and how it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// Deliveries that wait for an attempt.
    pub waiting: i64,
    /// Deliveries under way.
    pub sending: i64,
    /// Deliveries that wait for the partner's word, or for their batch to be complete.
    pub sent: i64,
    /// Deliveries that wait for an operator.
    pub held: i64,
}

impl PlatformQueue {
    /// Names what an operator decides upon when a platform is paused or resumed; see
    /// [`delivery::platform_version`].
    #[must_use]
    pub fn version(&self) -> String {
        delivery::version_of_platform(self.paused_at)
    }
}

/// The limits of a platform's queue as they are in force, and its circuit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PlatformStanding)]
pub struct Standing {
    /// Deliveries at once, where the platform sets a limit.
    pub concurrency: Option<i32>,
    /// Deliveries at once that the partner seems to bear, where these are fewer.
    pub pace: Option<i32>,
    /// Deliveries begun in any second, if that is limited.
    pub per_second: Option<i32>,
    /// Deliveries begun in any hour, if that is limited.
    pub per_hour: Option<i32>,
    /// Deliveries begun in any 24 hours, if that is limited.
    pub per_day: Option<i32>,
    /// When deliveries may begin, if not always.
    pub windows: Option<serde_json::Value>,
    /// `closed`; `open`: nothing is sent; `half_open`: one delivery at a time is sent as a probe.
    pub circuit: String,
    /// Faults of the partner in a row.
    pub circuit_faults: i32,
    /// Since when the circuit is open (UTC), if it is.
    pub circuit_opened_at: Option<DateTime<Utc>>,
    /// When the next probe may be made (UTC), if the circuit is open.
    pub circuit_probe_at: Option<DateTime<Utc>>,
    /// The code of the partner's last fault.
    pub circuit_fault_code: Option<String>,
    /// What happened then.
    pub circuit_fault_message: Option<String>,
    /// When that was (UTC).
    pub circuit_fault_at: Option<DateTime<Utc>>,
}

/// The names of all platforms, by their ids.
///
/// # Errors
/// The database's.
pub async fn platform_names(pool: &PgPool) -> Result<Vec<(i32, String)>, sqlx::Error> {
    let rows = sqlx::query!("select id, name from public.distribution_platforms order by id");
    let rows = rows.fetch_all(pool).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// All platforms, with what is not decided of their deliveries.
///
/// # Errors
/// The database's.
pub async fn platforms(
    pool: &PgPool,
    now: DateTime<Utc>,
) -> Result<Vec<PlatformQueue>, sqlx::Error> {
    queues(pool, None, now).await
}

/// One platform, with what is not decided of its deliveries; `None`: there is no such platform.
///
/// # Errors
/// The database's.
pub async fn platform_queue(
    pool: &PgPool,
    id: i32,
    now: DateTime<Utc>,
) -> Result<Option<PlatformQueue>, sqlx::Error> {
    Ok(queues(pool, Some(id), now).await?.pop())
}

async fn queues(
    pool: &PgPool,
    id: Option<i32>,
    now: DateTime<Utc>,
) -> Result<Vec<PlatformQueue>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select p.id, p.name, p.delivery_method as method,
               coalesce(p.status, 'active') as "status!",
               q.paused_at as "paused_at?", q.paused_reason as "paused_reason?",
               q.concurrency as "concurrency?", floor(q.pace)::integer as "pace?",
               q.per_second as "per_second?", q.per_hour as "per_hour?", q.per_day as "per_day?",
               q.windows as "windows?",
               case when q.circuit_opened_at is null then 'closed'
                    when q.circuit_probe_at > $1 then 'open'
                    else 'half_open' end as "circuit!",
               coalesce(q.circuit_faults, 0) as "circuit_faults!",
               q.circuit_opened_at as "circuit_opened_at?", q.circuit_probe_at as "circuit_probe_at?",
               q.circuit_fault_code as "circuit_fault_code?",
               q.circuit_fault_message as "circuit_fault_message?",
               q.circuit_fault_at as "circuit_fault_at?",
               coalesce(tally.waiting, 0) as "waiting!", coalesce(tally.sending, 0) as "sending!",
               coalesce(tally.sent, 0) as "sent!", coalesce(tally.held, 0) as "held!"
           from public.distribution_platforms p
           left join worker.queues q on q.name = 'deliver/' || p.id
           left join (
               select platform_id,
                   count(*) filter (where state in ('queued', 'retrying', 'unknown')) as waiting,
                   count(*) filter (where state = 'sending') as sending,
                   count(*) filter (where state in ('batched', 'sent')) as sent,
                   count(*) filter (where state = 'held') as held
               from worker.deliveries
               where state not in ('accepted', 'rejected', 'failed', 'canceled')
                 and ($2::integer is null or platform_id = $2)
               group by platform_id
           ) tally on tally.platform_id = p.id
           where $2::integer is null or p.id = $2
           order by p.id"#,
        now,
        id,
    )
    .fetch_all(pool)
    .await?;
    let platforms = rows.into_iter().map(|row| PlatformQueue {
        id: row.id,
        name: row.name,
        method: row.method,
        status: row.status,
        paused_at: row.paused_at,
        paused_reason: row.paused_reason,
        standing: Standing {
            concurrency: row.concurrency,
            pace: row.pace,
            per_second: row.per_second,
            per_hour: row.per_hour,
            per_day: row.per_day,
            windows: row.windows,
            circuit: row.circuit,
            circuit_faults: row.circuit_faults,
            circuit_opened_at: row.circuit_opened_at,
            circuit_probe_at: row.circuit_probe_at,
            circuit_fault_code: row.circuit_fault_code,
            circuit_fault_message: row.circuit_fault_message,
            circuit_fault_at: row.circuit_fault_at,
        },
        waiting: row.waiting,
        sending: row.sending,
        sent: row.sent,
        held: row.held,
    });
    Ok(platforms.collect())
}
