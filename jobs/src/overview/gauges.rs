//! What metrics say of the database: read when they are asked for, so that every daemon says the
//! same. Each statement goes by an index over what is unfinished, or counts up to a bound.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

/// Marks of statistics that are counted at the most; more are as many.
const MARKS: i64 = 100_000;
/// What was decided is counted over this time: long enough for a scrape to miss none.
const RECENTLY: TimeDelta = TimeDelta::minutes(5);

/// What metrics say of the database.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Undecided deliveries.
    pub undecided: Vec<Undecided>,
    /// Undecided deliveries that stand still by a fault.
    pub faulted: Vec<Faulted>,
    /// What was decided within five minutes.
    pub decided: Vec<Decided>,
    /// How platforms stand.
    pub platforms: Vec<PlatformGauge>,
    /// Jobs that are not finished, and dead ones.
    pub jobs: Vec<JobGauge>,
    /// Schedules that have been due for more than five minutes.
    pub schedules_overdue: i64,
    /// Daemons that give signs of life.
    pub daemons: i64,
    /// How daily statistics stand.
    pub statistics: StatisticsGauge,
    /// Royalty runs that are not final, by state.
    pub runs: Vec<RunGauge>,
    /// Notifications that some channel did not take.
    pub notifications_failed: i64,
    /// Imports of usage that have not come to their end.
    pub imports_unfinished: i64,
    /// The entries of cron.
    pub cron: Vec<CronGauge>,
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

/// Deliveries to a platform that are retrying, held or unknown by a fault.
#[derive(Clone, Debug)]
pub struct Faulted {
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// The fault's code.
    pub code: String,
    /// How many.
    pub count: i64,
}

/// Deliveries to a platform that were decided within five minutes.
#[derive(Clone, Debug)]
pub struct Decided {
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// Their state.
    pub state: String,
    /// How many.
    pub count: i64,
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
    /// Seconds that the oldest which is due has waited; `None`: none is due, or they do not wait.
    pub overdue_s: Option<i64>,
}

/// How daily statistics stand.
#[derive(Clone, Debug, Default)]
pub struct StatisticsGauge {
    /// Marks that wait, up to 100,000.
    pub marks: i64,
    /// Seconds that the oldest of them has waited.
    pub oldest_s: i64,
    /// User-days that could not be written.
    pub set_aside: i64,
}

/// Royalty runs in a state.
#[derive(Clone, Debug)]
pub struct RunGauge {
    /// `running` or `pending`.
    pub state: String,
    /// How many.
    pub count: i64,
    /// Those of them that could not be computed.
    pub faulted: i64,
    /// Tracks that they set aside, once per month of usage.
    pub set_aside: i64,
    /// Seconds since the oldest was started.
    pub oldest_s: i64,
}

/// An entry of cron.
#[derive(Clone, Debug)]
pub struct CronGauge {
    /// Its name.
    pub name: String,
    /// An operator has paused it.
    pub is_paused: bool,
    /// Seconds since its last run was started; `None`: there was none yet.
    pub last_run_s: Option<i64>,
}

/// Whether the database takes changes: a standby and one that was made read-only do not.
///
/// # Errors
/// The database's: it does not answer.
pub async fn is_writable(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select current_setting('transaction_read_only') = 'off' as "is!""#)
        .fetch_one(pool)
        .await
}

/// Reads what metrics say.
///
/// # Errors
/// The database's.
pub async fn gauges(pool: &PgPool, now: DateTime<Utc>) -> Result<Gauges, sqlx::Error> {
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
    let notifications_failed = sqlx::query_scalar!(
        r#"select count(*) as "count!" from worker.notifications where state = 'failed'"#
    );
    let imports_unfinished = sqlx::query_scalar!(
        r#"select count(*) as "count!" from worker.usage_files where state in ('importing', 'voiding')"#
    );
    Ok(Gauges {
        undecided: undecided(pool, now).await?,
        faulted: faulted(pool).await?,
        decided: decided(pool, now).await?,
        platforms: platforms(pool).await?,
        jobs: jobs(pool, now).await?,
        schedules_overdue: schedules_overdue.fetch_one(pool).await?,
        daemons: daemons.fetch_one(pool).await?,
        statistics: statistics(pool, now).await?,
        runs: runs(pool, now).await?,
        notifications_failed: notifications_failed.fetch_one(pool).await?,
        imports_unfinished: imports_unfinished.fetch_one(pool).await?,
        cron: cron(pool, now).await?,
    })
}

async fn undecided(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Undecided>, sqlx::Error> {
    sqlx::query_as!(
        Undecided,
        r#"select platform_id, state, count(*) as "count!",
               greatest(0, extract(epoch from $1 - min(created_at)))::bigint as "oldest_s!"
           from worker.deliveries
           where state not in ('accepted', 'rejected', 'failed', 'canceled')
           group by platform_id, state order by 1, 2"#,
        now,
    )
    .fetch_all(pool)
    .await
}

async fn faulted(pool: &PgPool) -> Result<Vec<Faulted>, sqlx::Error> {
    sqlx::query_as!(
        Faulted,
        r#"select platform_id, fault_code as "code!", count(*) as "count!"
           from worker.deliveries
           where state in ('retrying', 'held', 'unknown') and fault_code is not null
             and state not in ('accepted', 'rejected', 'failed', 'canceled')
           group by platform_id, fault_code order by 1, 2"#
    )
    .fetch_all(pool)
    .await
}

async fn decided(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Decided>, sqlx::Error> {
    sqlx::query_as!(
        Decided,
        r#"select platform_id, state, count(*) as "count!" from worker.deliveries
           where decided_at > $1 group by platform_id, state order by 1, 2"#,
        now - RECENTLY,
    )
    .fetch_all(pool)
    .await
}

async fn platforms(pool: &PgPool) -> Result<Vec<PlatformGauge>, sqlx::Error> {
    sqlx::query_as!(
        PlatformGauge,
        r#"select p.id as platform_id, q.paused_at is not null as "is_paused!",
               q.circuit_opened_at is not null as "is_open!"
           from public.distribution_platforms p
           left join worker.queues q on q.name = 'deliver/' || p.id order by p.id"#
    )
    .fetch_all(pool)
    .await
}

async fn jobs(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<JobGauge>, sqlx::Error> {
    // Each state by its own index, as finished jobs stay for weeks.
    sqlx::query_as!(
        JobGauge,
        r#"select kind as "kind!", state as "state!", count as "count!", overdue_s from (
               select kind, 'available' as state, count(*) as count,
                   extract(epoch from $1 - min(run_at) filter (where run_at <= $1))::bigint as overdue_s
               from worker.jobs where state = 'available' group by kind
               union all
               select kind, state, count(*), null from worker.jobs
               where state = 'held' group by kind, state
               union all
               select kind, state, count(*), null from worker.jobs
               where state = 'running' group by kind, state
               union all
               select kind, state, count(*), null from worker.jobs
               where state = 'dead' group by kind, state
           ) counted order by 1, 2"#,
        now,
    )
    .fetch_all(pool)
    .await
}

async fn statistics(pool: &PgPool, now: DateTime<Utc>) -> Result<StatisticsGauge, sqlx::Error> {
    sqlx::query_as!(
        StatisticsGauge,
        r#"select count(*) as "marks!",
               coalesce(greatest(0, extract(epoch from $1 - min(marked_at))), 0)::bigint as "oldest_s!",
               (select count(*) from worker.statistics_asides) as "set_aside!"
           from (select marked_at from worker.dirty_days limit $2) marks"#,
        now,
        MARKS,
    )
    .fetch_one(pool)
    .await
}

async fn runs(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<RunGauge>, sqlx::Error> {
    sqlx::query_as!(
        RunGauge,
        r#"select state, count(*) as "count!", count(fault) as "faulted!",
               coalesce(sum((totals ->> 'set_aside')::bigint), 0)::bigint as "set_aside!",
               greatest(0, extract(epoch from $1 - min(created_at)))::bigint as "oldest_s!"
           from worker.royalty_runs where state in ('running', 'pending')
           group by state order by state"#,
        now,
    )
    .fetch_all(pool)
    .await
}

async fn cron(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<CronGauge>, sqlx::Error> {
    sqlx::query_as!(
        CronGauge,
        r#"select e.name, e.paused_at is not null as "is_paused!",
               (select greatest(0, extract(epoch from $1 - r.started_at))::bigint
                from worker.cron_runs r where r.name = e.name
                order by r.tick desc limit 1) as last_run_s
           from worker.cron_entries e order by e.name"#,
        now,
    )
    .fetch_all(pool)
    .await
}
