//! What of it all has changed, beside deliveries: a mark for each thing that pages show, which is
//! another whenever one of them would look different. Marks are read and not notified, as deliveries
//! are: whoever changes something waits for no watcher.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

/// Something that pages show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Platforms and how their queues stand: pauses, circuits, limits.
    Platforms,
    /// Jobs that deliver nothing.
    Jobs,
    /// Schedules that are made, moved, taken up or called off.
    Schedules,
    /// Royalty runs and how far they are.
    Royalties,
    /// Rebuilds and scans of statistics, and how far they are.
    Statistics,
    /// What runs at set times.
    Cron,
    /// Notifications that have not reached everybody.
    Notifications,
    /// Daemons that come and go.
    Workers,
    /// What operators change.
    Audit,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Platforms,
        Self::Jobs,
        Self::Schedules,
        Self::Royalties,
        Self::Statistics,
        Self::Cron,
        Self::Notifications,
        Self::Workers,
        Self::Audit,
    ];
}

/// How the topics look now, in the order of [`Topic::ALL`]. Each part reads a few rows by an index,
/// however long the history is: of what may be many, those that come next or were made last.
///
/// # Errors
/// The database's.
pub async fn marks(
    pool: &PgPool,
    now: DateTime<Utc>,
) -> Result<[i64; Topic::ALL.len()], sqlx::Error> {
    let row = sqlx::query!(
        r#"select
            hashtextextended(concat(
                (select string_agg(row(name, paused_at, paused_reason, concurrency, per_second,
                        per_hour, per_day, windows, pace, circuit_faults, circuit_opened_at,
                        circuit_probe_at, circuit_probe_at > $1, circuit_fault_at)::text, ' ' order by name)
                 from worker.queues),
                (select string_agg(row(id, name, status, delivery_method, updated_at)::text, ' '
                        order by id)
                 from public.distribution_platforms)), 0) as "platforms!",
            hashtextextended(concat(
                (select string_agg(row(id, state, attempt, run_at)::text, ' ')
                 from (select j.id, j.state, j.attempt, j.run_at
                       from worker.upkeep_jobs u join worker.jobs j on j.id = u.id
                       order by u.id desc limit 200) newest)), 0) as "jobs!",
            hashtextextended(concat(
                (select max(id) from public.scheduled_distributions),
                (select string_agg(row(id, scheduled_date)::text, ' ')
                 from (select id, scheduled_date from public.scheduled_distributions
                       where status in ('pending', 'scheduled')
                       order by scheduled_date, id limit 500) next)), 0) as "schedules!",
            hashtextextended(concat(
                (select string_agg(row(r.id, r.state, r.fault, r.computed_at, r.paid_at, p.phase,
                        p.done, p.total)::text, ' ')
                 from (select id, state, fault, computed_at, paid_at from worker.royalty_runs
                       order by id desc limit 100) r
                 left join worker.royalty_progress p on p.run_id = r.id)), 0) as "royalties!",
            hashtextextended(concat(
                (select string_agg(row(id, state, days_done, days_total, written)::text, ' ')
                 from (select id, state, days_done, days_total, written from worker.statistics_runs
                       order by id desc limit 100) newest)), 0) as "statistics!",
            hashtextextended(concat(
                (select string_agg(row(e.name, e.expression, e.paused_at, e.reason,
                        (select max(r.tick) from worker.cron_runs r where r.name = e.name))::text, ' '
                        order by e.name)
                 from worker.cron_entries e)), 0) as "cron!",
            hashtextextended(concat(
                (select id from worker.notifications order by id desc limit 1),
                (select string_agg(row(n.id,
                        (select sum(s.tries) from worker.notification_sends s
                         where s.notification_id = n.id))::text, ' ')
                 from (select id from worker.notifications where state = 'pending'
                       order by topic, id limit 200) n),
                (select string_agg(id::text, ' ')
                 from (select id from worker.notifications where state = 'failed'
                       order by id desc limit 200) failed)), 0) as "notifications!",
            hashtextextended(concat(
                (select string_agg(row(name, stopped_at,
                        seen_at > $1::timestamptz - interval '30 seconds')::text, ' ' order by name)
                 from worker.daemons)), 0) as "workers!",
            hashtextextended(concat(
                (select id from worker.audit order by id desc limit 1)), 0) as "audit!""#,
        now,
    )
    .fetch_one(pool)
    .await?;
    Ok([
        row.platforms,
        row.jobs,
        row.schedules,
        row.royalties,
        row.statistics,
        row.cron,
        row.notifications,
        row.workers,
        row.audit,
    ])
}
