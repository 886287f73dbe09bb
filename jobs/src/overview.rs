//! How it all stands, at a glance: what waits how long for whom, what came of the last day, and what
//! needs a person now. The table is that of Postfix's `qshape`.

mod gauges;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

pub use gauges::{
    CronGauge, Decided, Faulted, Gauges, JobGauge, PlatformGauge, RunGauge, StatisticsGauge,
    Undecided, gauges, is_writable,
};

/// Where the columns of the table end, in minutes; the last has no end.
pub const AGES_MIN: [i64; 7] = [5, 15, 60, 240, 1440, 4320, 10080];

/// How it all stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Overview {
    /// When this was read (UTC).
    pub at: DateTime<Utc>,
    /// What needs a person, the most pressing first.
    pub attention: Vec<Attention>,
    /// Undecided deliveries by platform and age.
    pub shape: Vec<Shape>,
    /// What was decided in each of the last 24 hours, the oldest first.
    pub hours: Vec<Hour>,
    /// Faults of undecided deliveries and of those that failed in the last 24 hours.
    pub faults: Vec<Faults>,
}

/// Undecided deliveries to a platform, by how long ago they were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Shape {
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// The platform's name.
    pub platform: String,
    /// All of them.
    pub total: i64,
    /// Those younger than 5, 15, 60 minutes, 4 hours, 1, 3, 7 days, and those that are older.
    pub by_age: Vec<i64>,
    /// When the oldest was made (UTC).
    pub oldest: DateTime<Utc>,
}

/// What was decided in an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Hour {
    /// When it began (UTC).
    pub from: DateTime<Utc>,
    /// Accepted by the partner.
    pub accepted: i64,
    /// Rejected by the partner.
    pub rejected: i64,
    /// Given up.
    pub failed: i64,
}

/// Deliveries with a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Faults {
    /// The fault's code.
    pub code: String,
    /// How many.
    pub deliveries: i64,
}

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attention {
    /// `platform_paused`, `held`, `circuit_open`, `failed`, `rejected`, `dead_jobs`,
    /// `schedules_overdue`, `no_daemon`.
    pub kind: String,
    /// How many there are of it.
    pub count: i64,
    /// The platform it concerns, if it is one.
    pub platform_id: Option<i32>,
    /// Its name.
    pub platform: Option<String>,
    /// The fault's code, where there is one.
    pub fault_code: Option<String>,
    /// In the words of the last of them.
    pub message: Option<String>,
    /// Since when (UTC).
    pub since: Option<DateTime<Utc>>,
}

/// Reads it all.
///
/// # Errors
/// The database's.
pub async fn overview(pool: &PgPool, now: DateTime<Utc>) -> Result<Overview, sqlx::Error> {
    let (attention, shape, hours, faults) = tokio::try_join!(
        attention(pool, now),
        shape(pool, now),
        hours(pool, now),
        faults(pool, now),
    )?;
    Ok(Overview {
        at: now,
        attention,
        shape,
        hours,
        faults,
    })
}

async fn shape(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Shape>, sqlx::Error> {
    let bounds: Vec<DateTime<Utc>> = AGES_MIN
        .iter()
        .rev()
        .map(|minutes| now - TimeDelta::minutes(*minutes))
        .collect();
    let rows = sqlx::query!(
        r#"select platform_id, max(platform_name) as "platform!", count(*) as "total!",
               min(oldest) as "oldest!",
               array_agg(age) as "ages!", array_agg(n) as "counts!"
           from (
               select platform_id, max(platform_name) as platform_name, min(created_at) as oldest,
                   width_bucket(created_at, $1::timestamptz[]) as age, count(*) as n
               from worker.deliveries
               where state not in ('accepted', 'rejected', 'failed', 'canceled')
               group by platform_id, age
           ) aged
           group by platform_id order by sum(n) desc, platform_id"#,
        &bounds,
    )
    .fetch_all(pool)
    .await?;
    let shapes = rows.into_iter().map(|row| {
        let mut by_age = vec![0; bounds.len() + 1];
        for (age, count) in row.ages.iter().zip(&row.counts) {
            // Buckets are counted from the oldest.
            let place = usize::try_from(*age)
                .ok()
                .and_then(|age| bounds.len().checked_sub(age));
            if let Some(cell) = place.and_then(|place| by_age.get_mut(place)) {
                *cell += count;
            }
        }
        Shape {
            platform_id: row.platform_id,
            platform: row.platform,
            total: by_age.iter().sum(),
            by_age,
            oldest: row.oldest,
        }
    });
    Ok(shapes.collect())
}

async fn hours(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Hour>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select hour as "from!", coalesce(accepted, 0) as "accepted!",
               coalesce(rejected, 0) as "rejected!", coalesce(failed, 0) as "failed!"
           from generate_series(date_trunc('hour', $1::timestamptz) - interval '23 hours',
                                date_trunc('hour', $1::timestamptz), interval '1 hour') as hour
           left join (
               select date_trunc('hour', decided_at) as hour,
                   count(*) filter (where state = 'accepted') as accepted,
                   count(*) filter (where state = 'rejected') as rejected,
                   count(*) filter (where state = 'failed') as failed
               from worker.deliveries
               where decided_at >= date_trunc('hour', $1::timestamptz) - interval '23 hours'
               group by 1
           ) decided using (hour)
           order by hour"#,
        now,
    )
    .fetch_all(pool)
    .await?;
    let hours = rows.into_iter().map(|row| Hour {
        from: row.from,
        accepted: row.accepted,
        rejected: row.rejected,
        failed: row.failed,
    });
    Ok(hours.collect())
}

async fn faults(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Faults>, sqlx::Error> {
    sqlx::query_as!(
        Faults,
        r#"select fault_code as "code!", count(*) as "deliveries!" from worker.deliveries
           where fault_code is not null
             and (state not in ('accepted', 'rejected', 'failed', 'canceled')
                  or state in ('rejected', 'failed') and decided_at > $1)
           group by fault_code order by 2 desc, 1 limit 12"#,
        now - TimeDelta::days(1),
    )
    .fetch_all(pool)
    .await
}

async fn attention(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Attention>, sqlx::Error> {
    sqlx::query_as!(
        Attention,
        r#"with platforms as (
               select p.id, p.name, q.paused_at, q.paused_reason, q.circuit_opened_at,
                   q.circuit_fault_code, q.circuit_fault_message
               from public.distribution_platforms p
               join worker.queues q on q.name in ('deliver/' || p.id, 'confirm/' || p.id)
           ),
           stopped as (
               select state, platform_id, fault_code, count(*) as n,
                   max(platform_name) as platform, min(updated_at) as since,
                   (array_agg(fault_message order by updated_at desc))[1] as message
               from (
                   -- Said so, each half is found by its index.
                   select * from worker.deliveries
                   where state = 'held'
                     and state not in ('accepted', 'rejected', 'failed', 'canceled')
                   union all
                   select * from worker.deliveries
                   where state in ('rejected', 'failed')
                     and decided_at > $1::timestamptz - interval '1 day'
               ) found
               group by state, platform_id, fault_code
           )
           select kind as "kind!", count as "count!", platform_id, platform, fault_code, message, since
           from (
               select 0 as rank, 'no_daemon' as kind, 1::bigint as count, null::integer as platform_id,
                   null as platform, null as fault_code,
                   null as message, (select max(seen_at) from worker.daemons) as since
               where not exists (select from worker.daemons
                                 where stopped_at is null and seen_at > $1::timestamptz - interval '30 seconds')
               union all
               select 1, 'platform_paused', 1, id, name, null, paused_reason, paused_at
               from platforms where paused_at is not null
               union all
               select 2, 'held', n, platform_id, platform, fault_code, message, since
               from stopped where state = 'held'
               union all
               select 3, 'schedules_overdue', count(*), null, null, null, null,
                   min(scheduled_date) at time zone 'UTC'
               from public.scheduled_distributions
               where status in ('pending', 'scheduled')
                 and scheduled_date < ($1::timestamptz at time zone 'UTC') - interval '5 minutes'
               having count(*) > 0
               union all
               select 4, state, n, platform_id, platform, fault_code, message, since
               from stopped where state in ('rejected', 'failed')
               union all
               select 5, 'dead_jobs', count(*), null, null, null,
                   (array_agg(fault_message order by j.id desc))[1], min(finished_at)
               from worker.jobs j
               where state = 'dead' and kind <> 'deliver'
                 and not exists (select from worker.jobs later
                                 where later.unique_key = j.unique_key and later.id > j.id)
               having count(*) > 0
               union all
               select 6, 'circuit_open', 1, id, name, circuit_fault_code, circuit_fault_message,
                   circuit_opened_at
               from platforms where circuit_opened_at is not null
           ) found
           order by rank, count desc, platform_id limit 100"#,
        now,
    )
    .fetch_all(pool)
    .await
}
