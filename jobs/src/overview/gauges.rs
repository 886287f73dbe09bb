//! What metrics say of the database.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// What metrics say of the database.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Undecided deliveries.
    pub undecided: Vec<Undecided>,
    /// How platforms stand.
    pub platforms: Vec<PlatformGauge>,
    /// Jobs that are not finished, and dead ones.
    pub jobs: Vec<JobGauge>,
    /// Schedules that have been due for more than five minutes.
    pub schedules_overdue: i64,
    /// Daemons that give signs of life.
    pub daemons: i64,
}

/// Undecided deliveries to a platform in a state.
#[derive(Clone, Debug)]
pub struct Undecided {
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// Their state.
    pub state: String,
    /// How many.
    pub count: i64,
    /// Seconds since the oldest was made.
    pub oldest_s: i64,
}

/// How a platform stands.
#[derive(Clone, Debug)]
pub struct PlatformGauge {
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// Its queue is paused.
    pub is_paused: bool,
    /// Its circuit is open.
    pub is_open: bool,
}

/// Jobs of a kind in a state.
#[derive(Clone, Debug)]
pub struct JobGauge {
    /// Their kind.
    pub kind: String,
    /// Their state.
    pub state: String,
    /// How many.
    pub count: i64,
}

/// Reads what metrics say.
///
/// # Errors
/// The database's.
pub async fn gauges(pool: &PgPool, now: DateTime<Utc>) -> Result<Gauges, sqlx::Error> {
    let undecided = sqlx::query_as!(
        Undecided,
        r#"select platform_id, state, count(*) as "count!",
               greatest(0, extract(epoch from $1 - min(created_at)))::bigint as "oldest_s!"
           from worker.deliveries
           where state not in ('accepted', 'rejected', 'failed', 'canceled')
           group by platform_id, state order by 1, 2"#,
        now,
    );
    let platforms = sqlx::query_as!(
        PlatformGauge,
        r#"select p.id as platform_id, q.paused_at is not null as "is_paused!",
               q.circuit_opened_at is not null as "is_open!"
           from public.distribution_platforms p
           left join worker.queues q on q.name = 'deliver/' || p.id order by p.id"#
    );
    let jobs = sqlx::query_as!(
        JobGauge,
        // Each state has its index; together they would be looked for among all jobs.
        r#"select kind as "kind!", state as "state!", count(*) as "count!" from (
               select kind, 'available' as state from worker.jobs where state = 'available'
               union all
               select kind, 'running' from worker.jobs where state = 'running'
               union all
               select kind, 'held' from worker.jobs where state = 'held'
               union all
               select kind, 'dead' from worker.jobs where state = 'dead'
           ) unfinished
           group by kind, state order by 1, 2"#
    );
    let schedules_overdue = sqlx::query_scalar!(
        r#"select count(*) as "count!" from public.scheduled_distributions
           where status in ('pending', 'scheduled')
             and scheduled_date < ($1::timestamptz at time zone 'UTC') - interval '5 minutes'"#,
        now,
    );
    let daemons = sqlx::query_scalar!(
        r#"select count(*) as "count!" from worker.daemons
           where stopped_at is null and seen_at > $1::timestamptz - interval '30 seconds'"#,
        now,
    );
    Ok(Gauges {
        undecided: undecided.fetch_all(pool).await?,
        platforms: platforms.fetch_all(pool).await?,
        jobs: jobs.fetch_all(pool).await?,
        schedules_overdue: schedules_overdue.fetch_one(pool).await?,
        daemons: daemons.fetch_one(pool).await?,
    })
}
