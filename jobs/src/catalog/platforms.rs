//! What an operator reads of platforms: their rows, and how their queues stand.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;

/// A platform with its queue.
#[derive(Clone, Debug, Serialize)]
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
    /// Deliveries that wait for an attempt.
    pub waiting: i64,
    /// Deliveries under way.
    pub sending: i64,
    /// Deliveries that wait for the partner's word.
    pub sent: i64,
    /// Deliveries that wait for an operator.
    pub held: i64,
}

/// All platforms, with what is not decided of their deliveries.
///
/// # Errors
/// The database's.
pub async fn platforms(pool: &PgPool) -> Result<Vec<PlatformQueue>, sqlx::Error> {
    sqlx::query_as!(
        PlatformQueue,
        r#"select p.id, p.name, p.delivery_method as method,
               coalesce(p.status, 'active') as "status!",
               q.paused_at as "paused_at?", q.paused_reason as "paused_reason?",
               coalesce(tally.waiting, 0) as "waiting!", coalesce(tally.sending, 0) as "sending!",
               coalesce(tally.sent, 0) as "sent!", coalesce(tally.held, 0) as "held!"
           from public.distribution_platforms p
           left join worker.queues q on q.name = 'deliver/' || p.id
           left join (
               select platform_id,
                   count(*) filter (where state in ('queued', 'retrying', 'unknown')) as waiting,
                   count(*) filter (where state = 'sending') as sending,
                   count(*) filter (where state = 'sent') as sent,
                   count(*) filter (where state = 'held') as held
               from worker.deliveries
               where state not in ('accepted', 'rejected', 'failed', 'canceled')
               group by platform_id
           ) tally on tally.platform_id = p.id
           order by p.id"#
    )
    .fetch_all(pool)
    .await
}
