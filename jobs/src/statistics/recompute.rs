//! Computing marked days anew, a batch in a transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::{Range, Settings, aside};

/// Held by whoever writes statistics, for the length of its transaction: `daily_stats` has no key
/// that would keep two from inserting the same day.
const LOCK: i64 = i64::from_be_bytes(*b"tm_stats");
/// Batches of days between two of trends, while days go on being marked.
const DAYS_BEFORE_TRENDS: u32 = 20;

/// What was looked at and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// User-days that were computed.
    pub looked_at: i64,
    /// Rows of `daily_stats` that were new.
    pub inserted: i64,
    /// Rows that were not what they should be.
    pub updated: i64,
    /// Rows of days without usage.
    pub deleted: i64,
    /// Rows whose trends followed from other days.
    pub trends: i64,
}

impl Written {
    fn rows(&self) -> i64 {
        self.inserted + self.updated + self.deleted
    }

    fn add(&mut self, other: &Self) {
        self.looked_at += other.looked_at;
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.trends += other.trends;
    }
}

/// Recomputes days until none is marked. It may be dropped at any moment, and several may run: what
/// one has claimed is done or stays marked.
///
/// # Errors
/// The database's. What was written by then stays.
pub async fn recompute(
    pool: &PgPool,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Written, sqlx::Error> {
    aside::mark_due(pool, now).await?;
    let mut written = Written::default();
    let mut batches = 0;
    loop {
        let days = days(pool, settings, now).await?;
        batches += 1;
        if days.is_none() || batches % DAYS_BEFORE_TRENDS == 0 {
            let trends = trends(pool, settings, now).await?;
            written.trends += trends.unwrap_or_default();
            if days.is_none() && trends.is_none() {
                return Ok(written);
            }
        }
        written.add(&days.unwrap_or_default());
    }
}

/// A transaction that may write statistics. The planner is to look at the arrays it is given: they
/// may hold one day or thousands.
pub(super) async fn begin(
    pool: &PgPool,
    settings: &Settings,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query!(
        r#"select set_config('plan_cache_mode', 'force_custom_plan', true) as plans,
               set_config('jit', 'off', true) as jit, set_config('work_mem', $1, true) as memory,
               pg_advisory_xact_lock($2)::text as lock"#,
        format!("{}MB", settings.work_mem_mb),
        LOCK,
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(tx)
}

/// A mark that was taken.
struct Claimed {
    /// `None`: every day.
    date: Option<NaiveDate>,
    /// 0: every user.
    user_id: i32,
    source: String,
    is_forced: bool,
    run_id: Option<Uuid>,
    is_pruning: bool,
}

/// A batch of marked days. `None`: there is none.
async fn days(
    pool: &PgPool,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Option<Written>, sqlx::Error> {
    let mut tx = begin(pool, settings).await?;
    // Committed marks only, and the usage is read after: whoever marked has written by then.
    let claimed = sqlx::query_file_as!(
        Claimed,
        "src/statistics/claim.sql",
        i64::from(settings.batch_user_days)
    )
    .fetch_all(&mut *tx)
    .await?;
    if claimed.is_empty() {
        return Ok(None);
    }
    let mut written = Written::default();
    if let Some(everything) = claimed.iter().find(|mark| mark.date.is_none()) {
        mark_all(&mut tx, &everything.source, now).await?;
    }
    for statement in expand(&mut tx, &claimed, settings).await? {
        written.add(&aside::write_days(&mut tx, &statement, now).await?);
    }
    advance_runs(&mut tx, &claimed, &written, now).await?;
    tx.commit().await?;
    Ok(Some(written))
}

/// Every day there is, marked one by one.
async fn mark_all(
    conn: &mut PgConnection,
    source: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let days = super::runs::all_days(conn, Range::ALL, false).await?;
    sqlx::query!(
        r#"insert into worker.dirty_days (date, source, marked_at)
           select day, $2, $3 from unnest($1::date[]) as day"#,
        &days,
        source,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// User-days, in the order of days.
pub(super) type UserDays = Vec<(NaiveDate, i32)>;

/// The user-days behind marks, with those of the labels above, as statements are to take them: a day
/// that is looked at as a whole may have more users than one statement should have. Labels come last,
/// since they show what the users below them have.
async fn expand(
    conn: &mut PgConnection,
    claimed: &[Claimed],
    settings: &Settings,
) -> Result<Vec<UserDays>, sqlx::Error> {
    let mut pairs = BTreeSet::new();
    let mut whole: BTreeMap<NaiveDate, (bool, bool)> = BTreeMap::new();
    for mark in claimed {
        match (mark.date, mark.user_id) {
            (None, _) => {}
            (Some(date), 0) => {
                let (is_forced, is_pruning) = whole.entry(date).or_default();
                *is_forced |= mark.is_forced;
                *is_pruning |= mark.is_pruning;
            }
            (Some(date), user) => {
                pairs.insert((date, user));
            }
        }
    }
    for (date, (is_forced, is_pruning)) in whole {
        let users = sqlx::query_file_scalar!(
            "src/statistics/changed_on_day.sql",
            date,
            is_forced,
            is_pruning
        )
        .fetch_all(&mut *conn)
        .await?;
        pairs.extend(users.into_iter().map(|user| (date, user)));
    }
    let (users, dates) = columns(pairs.iter());
    let labels = sqlx::query_file!("src/statistics/above.sql", &users, &dates)
        .fetch_all(conn)
        .await?;
    let labels: BTreeSet<_> = labels
        .into_iter()
        .map(|row| (row.date, row.label))
        .collect();
    let most = usize::try_from(settings.batch_user_days.max(1)).unwrap_or(usize::MAX);
    if pairs.len() + labels.len() <= most {
        pairs.extend(labels);
        return Ok(vec![pairs.into_iter().collect()]);
    }
    let below: UserDays = pairs.difference(&labels).copied().collect();
    let mut statements: Vec<UserDays> = below.chunks(most).map(<[_]>::to_vec).collect();
    statements.push(labels.into_iter().collect());
    Ok(statements)
}

/// The users, and the days.
pub(super) fn columns<'a>(
    pairs: impl Iterator<Item = &'a (NaiveDate, i32)>,
) -> (Vec<i32>, Vec<NaiveDate>) {
    pairs.map(|(date, user)| (*user, *date)).unzip()
}

/// What is computed of user-days, and written where it differs.
#[derive(Clone, Copy)]
pub(super) enum Work {
    /// They themselves.
    Days(DateTime<Utc>),
    /// The trends of the days after.
    Trends,
}

impl Work {
    /// Does it in one statement.
    pub(super) async fn run(
        self,
        conn: &mut PgConnection,
        pairs: &[(NaiveDate, i32)],
    ) -> Result<Written, sqlx::Error> {
        let (Some((first, _)), Some((last, _))) = (pairs.first(), pairs.last()) else {
            return Ok(Written::default());
        };
        let (users, dates) = columns(pairs.iter());
        match self {
            Self::Days(now) => {
                let row = sqlx::query_file!(
                    "src/statistics/recompute.sql",
                    &users,
                    &dates,
                    first,
                    last,
                    now
                )
                .fetch_one(conn)
                .await?;
                Ok(Written {
                    looked_at: i64::try_from(pairs.len()).unwrap_or(i64::MAX),
                    inserted: row.inserted,
                    updated: row.updated,
                    deleted: row.deleted,
                    trends: 0,
                })
            }
            Self::Trends => {
                let done =
                    sqlx::query_file!("src/statistics/trends.sql", &users, &dates, first, last)
                        .execute(conn)
                        .await?;
                Ok(Written {
                    trends: i64::try_from(done.rows_affected()).unwrap_or(i64::MAX),
                    ..Written::default()
                })
            }
        }
    }
}

/// Notes how far the runs have come whose marks were taken.
async fn advance_runs(
    conn: &mut PgConnection,
    claimed: &[Claimed],
    written: &Written,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let mut days: BTreeMap<Uuid, i32> = BTreeMap::new();
    for run in claimed.iter().filter_map(|mark| mark.run_id) {
        *days.entry(run).or_default() += 1;
    }
    for (run, days) in days {
        sqlx::query!(
            r#"update worker.statistics_runs
               set days_done = days_done + $2, looked_at = looked_at + $3, written = written + $4,
                   updated_at = $5::timestamptz,
                   state = case when days_done + $2 >= days_total then 'completed' else state end,
                   finished_at = case when days_done + $2 >= days_total then $5::timestamptz end
               where id = $1 and state = 'running'"#,
            run,
            days,
            written.looked_at,
            written.rows(),
            now,
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// A batch of trends that follow from changed days; how many rows were written. `None`: there is none.
async fn trends(
    pool: &PgPool,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Option<i64>, sqlx::Error> {
    let mut tx = begin(pool, settings).await?;
    let mut claimed: Vec<(NaiveDate, i32)> = sqlx::query!(
        r#"with reach as (
               select user_id, date from (
                   select user_id, date from worker.dirty_trends order by user_id, date limit $1
               ) ahead
               order by user_id desc, date desc limit 1
           )
           delete from worker.dirty_trends t
           using reach r
           where (t.user_id, t.date) <= (r.user_id, r.date)
           returning t.user_id, t.date"#,
        i64::from(settings.batch_user_days),
    )
    .fetch_all(&mut *tx)
    .await?
    .into_iter()
    .map(|row| (row.date, row.user_id))
    .collect();
    claimed.sort_unstable();
    claimed.dedup();
    if claimed.is_empty() {
        return Ok(None);
    }
    let written = aside::write_trends(&mut tx, claimed, now).await?;
    tx.commit().await?;
    Ok(Some(written.trends))
}
