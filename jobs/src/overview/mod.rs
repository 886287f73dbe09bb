//! How it all stands, at a glance: what waits how long for whom, what came of the last day, and what
//! needs a person now. The table is that of Postfix's `qshape`. What metrics say of the same is in
//! `gauges`.

mod attention;
mod gauges;
mod shape;
mod topics;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

pub use self::gauges::{
    CronGauge, Decided, Faulted, Gauges, JobGauge, PlatformGauge, RunGauge, StatisticsGauge,
    Undecided, gauges, is_writable,
};
pub use self::topics::{Topic, marks};
use self::{attention::Stopped, shape::Waiting};

/// The most codes that are told.
const FAULTS: usize = 12;

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
    let (waiting, stopped, others, hours) = tokio::try_join!(
        shape::waiting(pool, now),
        attention::stopped(pool, now),
        attention::others(pool, now),
        hours(pool, now),
    )?;
    Ok(Overview {
        at: now,
        faults: faults(&waiting, &stopped),
        shape: shape::shapes(waiting),
        attention: attention::ranked(others, stopped),
        hours,
    })
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

/// By code, the most frequent first: of what waits, which what is held does too, and of what stopped
/// in the last day.
fn faults(waiting: &[Waiting], stopped: &[Stopped]) -> Vec<Faults> {
    let waiting = waiting
        .iter()
        .map(|some| (some.fault_code.as_ref(), some.count));
    let ended = stopped
        .iter()
        .filter(|some| some.state != "held")
        .map(|some| (some.fault_code.as_ref(), some.count));
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for (code, count) in waiting.chain(ended) {
        if let Some(code) = code {
            *counts.entry(code).or_default() += count;
        }
    }
    let mut faults: Vec<Faults> = counts
        .into_iter()
        .map(|(code, deliveries)| Faults {
            code: code.to_owned(),
            deliveries,
        })
        .collect();
    faults.sort_by(|a, b| (b.deliveries, &a.code).cmp(&(a.deliveries, &b.code)));
    faults.truncate(FAULTS);
    faults
}
