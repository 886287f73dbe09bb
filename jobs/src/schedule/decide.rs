//! A decided delivery completes what waits for it. A schedule is completed once: a later word of
//! the partner changes the delivery and the record, not the schedule.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::notification::{self, Audience};

/// Why a platform failed, as it goes into `failed_platforms`.
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) attempts: i32,
}

/// Settles the targets of a delivery, and their schedules where these were the last.
pub(crate) async fn decide(
    conn: &mut PgConnection,
    delivery: Uuid,
    is_accepted: bool,
    failure: Option<&Failure>,
    audience: &Audience,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // The lock comes first and in a statement of its own: whoever decides the schedule's other
    // platform at the same moment is waited for, and then seen.
    let schedules = sqlx::query_scalar!(
        r#"select s.id from public.scheduled_distributions s
           where s.id in (select t.schedule_id from worker.schedule_targets t
                          where t.delivery_id = $1 and t.state = 'open')
           order by s.id
           for no key update"#,
        delivery
    )
    .fetch_all(&mut *conn)
    .await?;
    let failure = (!is_accepted).then(|| {
        failure.map_or_else(
            || json!({"code": "canceled", "message": "called off", "at": now, "attempts": 0}),
            |failure| {
                json!({
                    "code": failure.code, "message": failure.message, "at": now,
                    "attempts": failure.attempts,
                })
            },
        )
    });
    let done = settle(conn, delivery, failure, &schedules, now).await?;
    notification::schedules_decided(conn, &done, audience, now).await
}

/// Settles what waits for the delivery, writes into its schedules what became of their platforms, and
/// says which of them are through.
async fn settle(
    conn: &mut PgConnection,
    delivery: Uuid,
    failure: Option<Value>,
    schedules: &[i32],
    now: DateTime<Utc>,
) -> Result<Vec<i32>, sqlx::Error> {
    // What is settled here is not seen by the tally's look at the table: it is added to it.
    let decided = sqlx::query!(
        r#"with settled as (
               update worker.schedule_targets set state = $2, failure = $3
               where delivery_id = $1 and state = 'open'
               returning schedule_id, platform_id, state, failure
           ), target as (
               select * from settled
               union all
               select t.schedule_id, t.platform_id, t.state, t.failure
               from worker.schedule_targets t
               where t.schedule_id = any($4) and not (t.delivery_id is not distinct from $1 and t.state = 'open')
           ), tally as (
               select schedule_id,
                   count(*) filter (where state = 'open') as open,
                   coalesce(array_agg(platform_id order by platform_id)
                       filter (where state = 'completed'), '{}') as completed,
                   coalesce(jsonb_object_agg(platform_id::text, failure)
                       filter (where state = 'failed'), '{}') as failed
               from target where schedule_id = any($4)
               group by schedule_id
           )
           update public.scheduled_distributions s
           set completed_platform_ids = tally.completed,
               failed_platforms = tally.failed,
               status = case
                   when tally.open > 0 then s.status
                   when tally.failed = '{}' then 'completed'
                   when cardinality(tally.completed) > 0 then 'partial'
                   else 'failed' end,
               updated_at = $5
           from tally where s.id = tally.schedule_id
           returning s.id, tally.open = 0 as "is_done!""#,
        delivery,
        if failure.is_none() { "completed" } else { "failed" },
        failure,
        schedules,
        now.naive_utc(),
    )
    .fetch_all(conn)
    .await?;
    let done = decided.iter().filter(|one| one.is_done);
    Ok(done.map(|one| one.id).collect())
}
