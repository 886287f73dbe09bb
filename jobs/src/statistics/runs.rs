//! Rebuilds and scans: work over many days, which are marked at once and recomputed by and by.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Range, job};
use crate::audit::{self, By, Change};

/// What a run does with a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StatisticsRunKind)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum RunKind {
    /// Computes it.
    Rebuild,
    /// Computes those users' whose usage is not what it was.
    Scan,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StatisticsRunState)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[expect(missing_docs, reason = "they say it")]
pub enum RunState {
    Running,
    Completed,
    Canceled,
}

/// A run and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatisticsRun)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// What it does with a day.
    pub kind: RunKind,
    /// How it stands.
    pub state: RunState,
    /// The first day it looks at; `None`: there was none to look at.
    pub first_day: Option<NaiveDate>,
    /// The last day it looks at.
    pub last_day: Option<NaiveDate>,
    /// Days it looks at.
    pub days_total: i32,
    /// Days that are done.
    pub days_done: i32,
    /// User-days that were computed on them.
    pub looked_at: i64,
    /// Rows of `daily_stats` that were not what they should be.
    pub written: i64,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// When it last came further.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Why a run was not begun or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is none of that id.
    #[error("there is no run {0} of statistics; `stats status` lists them")]
    Missing(Uuid),
    /// There are no such days.
    #[error("there are no days from {0} to {1}; name a first day that is not after the last")]
    Range(NaiveDate, NaiveDate),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Begins to rebuild all days of a range, whatever they were made of. With `prunes`, rows that the
/// worker did not write and that have no usage go too; otherwise they stay, for they may be all that
/// is left of usage that was cleared away.
///
/// # Errors
/// [`RunError`].
pub async fn rebuild(
    pool: &PgPool,
    range: Range,
    prunes: bool,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Run, RunError> {
    if range.first > range.last || range.first < Range::ALL.first || range.last > Range::ALL.last {
        return Err(RunError::Range(range.first, range.last));
    }
    let mut tx = pool.begin().await?;
    let run = begin(&mut tx, RunKind::Rebuild, range, prunes, now).await?;
    let after = json!({
        "first": range.first, "last": range.last, "days": run.days_total, "prunes": prunes,
    });
    audit_run(&mut tx, by, "statistics.rebuild", &run, after, now).await?;
    job::wake(&mut tx, now).await?;
    tx.commit().await?;
    Ok(run)
}

/// Begins to compare all days with what their rows were made of, unless a scan is under way already.
///
/// # Errors
/// [`RunError`].
pub async fn scan(pool: &PgPool, now: DateTime<Utc>) -> Result<Run, RunError> {
    let mut tx = pool.begin().await?;
    // Two that begin at once would both find none under way.
    sqlx::query!("lock table worker.statistics_names in exclusive mode")
        .execute(&mut *tx)
        .await?;
    let open = sqlx::query_scalar!(
        "select id from worker.statistics_runs where kind = 'scan' and state = 'running' limit 1"
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(open) = open {
        return run_of(&mut tx, open).await;
    }
    sqlx::query_file!("src/statistics/names.sql", now)
        .execute(&mut *tx)
        .await?;
    let run = begin(&mut tx, RunKind::Scan, Range::ALL, false, now).await?;
    job::wake(&mut tx, now).await?;
    tx.commit().await?;
    Ok(run)
}

/// The days of a range that there is anything to compute for.
pub(super) async fn all_days(
    conn: &mut PgConnection,
    range: Range,
    prunes: bool,
) -> Result<Vec<NaiveDate>, sqlx::Error> {
    sqlx::query_file_scalar!(
        "src/statistics/all_days.sql",
        range.first,
        range.last,
        prunes
    )
    .fetch_all(conn)
    .await
}

async fn begin(
    conn: &mut PgConnection,
    kind: RunKind,
    range: Range,
    prunes: bool,
    now: DateTime<Utc>,
) -> Result<Run, RunError> {
    let days = all_days(conn, range, prunes).await?;
    let total = i32::try_from(days.len()).unwrap_or(i32::MAX);
    let id = sqlx::query_scalar!(
        r#"insert into worker.statistics_runs
               (kind, state, first_day, last_day, days_total, is_pruning, started_at, updated_at, finished_at)
           values ($1, case when $4 = 0 then 'completed' else 'running' end, $2, $3, $4, $5, $6::timestamptz, $6::timestamptz,
               case when $4 = 0 then $6::timestamptz end)
           returning id as "id!""#,
        kind as RunKind,
        days.first(),
        days.last(),
        total,
        prunes,
        now,
    )
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query!(
        r#"insert into worker.dirty_days (date, source, is_forced, run_id, marked_at)
           select day, $2, $3, $4, $5 from unnest($1::date[]) as day"#,
        &days,
        kind as RunKind,
        kind == RunKind::Rebuild,
        id,
        now,
    )
    .execute(&mut *conn)
    .await?;
    run_of(conn, id).await
}

/// Ends a run where it is: the days that it has not come to stay as they are. False: it had ended.
///
/// # Errors
/// [`RunError`].
pub async fn cancel(
    pool: &PgPool,
    id: Uuid,
    by: &By,
    now: DateTime<Utc>,
) -> Result<bool, RunError> {
    let mut tx = pool.begin().await?;
    let before = run_of(&mut tx, id).await?;
    let canceled = sqlx::query!(
        r#"update worker.statistics_runs
           set state = 'canceled', finished_at = $2, updated_at = $2
           where id = $1 and state = 'running'"#,
        id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if canceled.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!("delete from worker.dirty_days where run_id = $1", id)
        .execute(&mut *tx)
        .await?;
    let after = json!({"days_done": before.days_done, "days": before.days_total});
    audit_run(&mut tx, by, "statistics.cancel", &before, after, now).await?;
    tx.commit().await?;
    Ok(true)
}

async fn audit_run(
    conn: &mut PgConnection,
    by: &By,
    action: &str,
    run: &Run,
    after: serde_json::Value,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        action,
        object_kind: "statistics_run",
        object_id: run.id.to_string(),
        before: None,
        after: Some(after),
    };
    audit::record(conn, by, &change, now).await
}

/// A run.
///
/// # Errors
/// [`RunError`].
pub async fn run(pool: &PgPool, id: Uuid) -> Result<Run, RunError> {
    run_of(&mut *pool.acquire().await?, id).await
}

async fn run_of(conn: &mut PgConnection, id: Uuid) -> Result<Run, RunError> {
    sqlx::query_as!(
        Run,
        r#"select id, kind as "kind: RunKind", state as "state: RunState", first_day, last_day,
               days_total, days_done, looked_at, written, started_at, updated_at, finished_at
           from worker.statistics_runs where id = $1"#,
        id,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(RunError::Missing(id))
}

/// Runs, the newest first: those before the start and id of one, or from the newest on.
///
/// # Errors
/// The database's.
pub async fn runs(
    pool: &PgPool,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Run>, sqlx::Error> {
    let (started_at, id) = before.unzip();
    sqlx::query_as!(
        Run,
        r#"select id, kind as "kind: RunKind", state as "state: RunState", first_day, last_day,
               days_total, days_done, looked_at, written, started_at, updated_at, finished_at
           from worker.statistics_runs
           where $2::timestamptz is null or (started_at, id) < ($2, $3::uuid)
           order by started_at desc, id desc limit $1"#,
        limit,
        started_at,
        id,
    )
    .fetch_all(pool)
    .await
}
