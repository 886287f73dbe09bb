//! User-days that the database refuses to compute or to write, by a rule or trigger of the web
//! application's, or a figure that a column cannot hold. They are set aside with the reason, so that
//! they hold up no others, and tried again when they are marked, and after a while.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, PgPool};
use utoipa::ToSchema;

use super::recompute::{UserDays, Work, Written, columns};

/// User-days of a batch that are looked for at most: where there are more, it is not the user-days
/// that something is wrong with, and the error is the job's.
const MOST: usize = 100;

/// A user-day that could not be computed or written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatisticsAside)]
pub struct Aside {
    /// The user.
    pub user_id: i32,
    /// The day.
    pub date: NaiveDate,
    /// What the database said.
    pub problem: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it failed first.
    pub first_failed_at: DateTime<Utc>,
    /// When it is tried again, if nobody marks it before.
    pub next_attempt_at: DateTime<Utc>,
}

/// User-days that were set aside: the oldest days first, at most `limit`.
pub(super) async fn asides(pool: &PgPool, limit: i64) -> Result<Vec<Aside>, sqlx::Error> {
    sqlx::query_as!(
        Aside,
        r#"select user_id, date, problem, attempts, first_failed_at, next_attempt_at
           from worker.statistics_asides order by date, user_id limit $1"#,
        limit,
    )
    .fetch_all(pool)
    .await
}

/// Marks those whose time has come.
pub(super) async fn mark_due(pool: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"with due as (
               update worker.statistics_asides set next_attempt_at = $1 + interval '1 day'
               where next_attempt_at <= $1
               returning user_id, date
           )
           insert into worker.dirty_days (date, user_id, source, marked_at)
           select date, user_id, 'retry', $1 from due"#,
        now,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Computes user-days and writes what differs, without those that cannot be.
pub(super) async fn write_days(
    conn: &mut PgConnection,
    pairs: &UserDays,
    now: DateTime<Utc>,
) -> Result<Written, sqlx::Error> {
    let work = Work::Days(now);
    let (users, dates) = columns(pairs.iter());
    let known = sqlx::query!(
        r#"select a.user_id, a.date from worker.statistics_asides a
           join unnest($1::integer[], $2::date[]) as p (user_id, date) using (user_id, date)"#,
        &users,
        &dates,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut rest = pairs.clone();
    let mut faults = Vec::new();
    // Each alone, so that the others need not be searched for them again.
    for pair in known.iter().map(|row| (row.date, row.user_id)) {
        if let Err(problem) = attempt(conn, work, &[pair], false).await? {
            faults.push(Fault { pair, problem });
            rest.retain(|one| *one != pair);
        }
    }
    let (written, more) = write_possible(conn, work, rest).await?;
    faults.extend(more);
    if !known.is_empty() {
        forget(conn, &users, &dates, &faults).await?;
    }
    note(conn, &faults, now).await?;
    Ok(written)
}

/// Computes the trends that follow from changed user-days. Where one cannot be written, all that follow
/// from the same day are marked, to be computed each as a whole.
pub(super) async fn write_trends(
    conn: &mut PgConnection,
    pairs: UserDays,
    now: DateTime<Utc>,
) -> Result<Written, sqlx::Error> {
    let (written, faults) = write_possible(conn, Work::Trends, pairs).await?;
    let (users, dates) = columns(faults.iter().map(|fault| &fault.pair));
    if !faults.is_empty() {
        sqlx::query!(
            r#"insert into worker.dirty_days (date, user_id, source, marked_at)
               select distinct d.date, d.user_id, 'retry', $3::timestamptz
               from unnest($1::integer[], $2::date[]) as p (user_id, date)
               join worker.statistics_days d
                   on d.user_id = p.user_id and d.date between p.date + 1 and p.date + 28"#,
            &users,
            &dates,
            now,
        )
        .execute(conn)
        .await?;
    }
    Ok(written)
}

struct Fault {
    pair: (NaiveDate, i32),
    problem: sqlx::Error,
}

/// Writes in one statement all that can be, and says what cannot.
async fn write_possible(
    conn: &mut PgConnection,
    work: Work,
    mut rest: UserDays,
) -> Result<(Written, Vec<Fault>), sqlx::Error> {
    let mut faults = Vec::new();
    loop {
        match attempt(conn, work, &rest, true).await? {
            Ok(written) => return Ok((written, faults)),
            Err(problem) => {
                let found = search(conn, work, &rest, MOST.saturating_sub(faults.len())).await?;
                if found.is_empty() {
                    return Err(problem);
                }
                rest.retain(|one| found.iter().all(|fault| fault.pair != *one));
                faults.extend(found);
            }
        }
    }
}

/// Those among user-days that fail, found by halving. None, where they fail only together or where more
/// fail than should.
async fn search(
    conn: &mut PgConnection,
    work: Work,
    pairs: &[(NaiveDate, i32)],
    most: usize,
) -> Result<Vec<Fault>, sqlx::Error> {
    let mut faults = Vec::new();
    let mut parts = vec![pairs];
    while let Some(part) = parts.pop() {
        let Err(problem) = attempt(conn, work, part, false).await? else {
            continue;
        };
        if let [pair] = part {
            faults.push(Fault {
                pair: *pair,
                problem,
            });
            if faults.len() > most {
                return Ok(Vec::new());
            }
        } else {
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
        }
    }
    Ok(faults)
}

/// Does it, and keeps what was written or not. The inner error is one of the data.
async fn attempt(
    conn: &mut PgConnection,
    work: Work,
    pairs: &[(NaiveDate, i32)],
    keeps: bool,
) -> Result<Result<Written, sqlx::Error>, sqlx::Error> {
    let mut point = conn.begin().await?;
    let done = work.run(&mut point, pairs).await;
    match done {
        Ok(_) if keeps => point.commit().await?,
        Err(error) if !is_of_data(&error) => return Err(error),
        _ => point.rollback().await?,
    }
    Ok(done)
}

/// Whether other data would not have met it: neither connection, locks, memory, rights nor an operator.
fn is_of_data(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    // Data exceptions, constraints, WITH CHECK, limits, PL/pgSQL, damaged rows.
    code.is_some_and(|code| {
        ["22", "23", "44", "54", "P0", "XX"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}

async fn forget(
    conn: &mut PgConnection,
    users: &[i32],
    dates: &[NaiveDate],
    failed: &[Fault],
) -> Result<(), sqlx::Error> {
    let (failed_users, failed_dates) = columns(failed.iter().map(|fault| &fault.pair));
    sqlx::query!(
        r#"delete from worker.statistics_asides a
           using unnest($1::integer[], $2::date[]) as p (user_id, date)
           where a.user_id = p.user_id and a.date = p.date
             and (a.user_id, a.date) not in (
                 select user_id, date from unnest($3::integer[], $4::date[]) as f (user_id, date))"#,
        users,
        dates,
        &failed_users,
        &failed_dates,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets user-days aside: tried again after a quarter of an hour, and each time after twice as long, up
/// to a day.
async fn note(
    conn: &mut PgConnection,
    faults: &[Fault],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if faults.is_empty() {
        return Ok(());
    }
    let (users, dates) = columns(faults.iter().map(|fault| &fault.pair));
    let problems: Vec<String> = faults.iter().map(|fault| said(&fault.problem)).collect();
    for (fault, problem) in faults.iter().zip(&problems) {
        let (date, user) = fault.pair;
        tracing::warn!(user, %date, problem, "daily statistics of a day were set aside");
    }
    sqlx::query!(
        r#"insert into worker.statistics_asides as a
               (user_id, date, problem, first_failed_at, last_failed_at, next_attempt_at)
           select user_id, date, problem, $4::timestamptz, $4::timestamptz,
               $4::timestamptz + interval '15 minutes'
           from unnest($1::integer[], $2::date[], $3::text[]) as f (user_id, date, problem)
           on conflict (user_id, date) do update
               set problem = excluded.problem, attempts = a.attempts + 1,
                   last_failed_at = excluded.last_failed_at,
                   next_attempt_at = excluded.last_failed_at
                       + least(interval '15 minutes' * 2 ^ least(a.attempts, 10), interval '1 day')"#,
        &users,
        &dates,
        &problems,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn said(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    }
}
