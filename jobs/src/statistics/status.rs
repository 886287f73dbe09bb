//! How statistics stand: what waits, what is under way, what is not as it should be.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::{Aside, Run, aside, runs};

/// Runs that are shown.
const RUNS: i64 = 5;
/// User-days that are shown of those that were set aside.
const ASIDES: i64 = 20;

/// How statistics stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatisticsStatus)]
pub struct Status {
    /// Marks of user-days, and of whole days, that wait to be recomputed.
    pub marks: i64,
    /// The oldest day that is marked.
    pub oldest_marked_day: Option<NaiveDate>,
    /// Since when the mark that waits longest does.
    pub waiting_since: Option<DateTime<Utc>>,
    /// User-days whose followers' trends wait.
    pub trend_marks: i64,
    /// Rows that the worker keeps.
    pub rows: i64,
    /// User-days that have several rows (`stats duplicates`).
    pub duplicates: i64,
    /// Rows that the worker did not write and that have no usage.
    pub foreign_rows: i64,
    /// User-days that could not be written.
    pub set_aside: i64,
    /// The oldest of them.
    pub asides: Vec<Aside>,
    /// The last runs.
    pub runs: Vec<Run>,
}

/// How statistics stand. It counts rows: seconds, where there are many.
///
/// # Errors
/// The database's.
pub async fn status(pool: &PgPool) -> Result<Status, sqlx::Error> {
    let row = sqlx::query!(
        r#"select
               (select count(*) from worker.dirty_days) as "marks!",
               (select min(date) from worker.dirty_days where isfinite(date)) as oldest_marked_day,
               (select min(marked_at) from worker.dirty_days) as waiting_since,
               (select count(*) from worker.dirty_trends) as "trend_marks!",
               (select count(*) from worker.statistics_asides) as "set_aside!",
               (select count(*) from worker.statistics_days) as "rows!",
               (select count(*) from (
                   select from public.daily_stats group by user_id, date having count(*) > 1
               ) doubled) as "duplicates!",
               (select count(*) from public.daily_stats s
                where not exists (
                    select from worker.statistics_days d
                    where d.user_id = s.user_id and d.date = s.date
                ) and not exists (
                    select from worker.dirty_days m where m.date = s.date and m.user_id in (0, s.user_id)
                )) as "foreign_rows!""#
    )
    .fetch_one(pool)
    .await?;
    Ok(Status {
        marks: row.marks,
        oldest_marked_day: row.oldest_marked_day,
        waiting_since: row.waiting_since,
        trend_marks: row.trend_marks,
        rows: row.rows,
        duplicates: row.duplicates,
        foreign_rows: row.foreign_rows,
        set_aside: row.set_aside,
        asides: aside::asides(pool, ASIDES).await?,
        runs: runs(pool, None, RUNS).await?,
    })
}
