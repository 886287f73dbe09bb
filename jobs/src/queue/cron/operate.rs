//! What an operator sees of entries and does to them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Entry, enqueue_run, register};
use crate::audit::{self, By, Change};

/// An entry and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = CronEntry)]
pub struct Listed {
    /// The entry's name.
    pub name: &'static str,
    /// When it runs, in UTC.
    pub expression: String,
    /// The next run; none while it is paused.
    pub next: Option<DateTime<Utc>>,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Why it was paused or resumed last.
    pub reason: Option<String>,
    /// The run before.
    pub last: Option<LastRun>,
}

/// The newest run of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = CronRun)]
pub struct LastRun {
    /// The tick it was for; of a run by hand, when.
    pub tick: DateTime<Utc>,
    /// When it was made.
    pub started_at: DateTime<Utc>,
    /// Of a run by hand: why.
    pub reason: Option<String>,
    /// Its job; none when that of an earlier run was not finished.
    pub job: Option<Uuid>,
    /// The job's state, while the job is kept.
    pub state: Option<String>,
    /// When the job was finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// What went wrong with the job last.
    pub fault: Option<String>,
}

/// What came of a run by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CronRunByHand)]
pub struct RunByHand {
    /// The job; none when that of an earlier run is not finished.
    pub job: Option<Uuid>,
}

/// All entries with their last and next runs.
///
/// # Errors
/// The database's.
pub async fn list(
    conn: &mut PgConnection,
    entries: &[Entry],
    now: DateTime<Utc>,
) -> Result<Vec<Listed>, sqlx::Error> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    let rows = sqlx::query!(
        r#"select e.name, e.paused_at, e.reason,
               r.tick as "tick?", r.started_at as "started_at?", r.reason as run_reason, r.job_id,
               j.state as "state?", j.finished_at, j.fault_message
           from worker.cron_entries e
           left join lateral (
               select * from worker.cron_runs runs where runs.name = e.name order by tick desc limit 1
           ) r on true
           left join worker.jobs j on j.id = r.job_id
           where e.name = any($1)"#,
        &names as _,
    )
    .fetch_all(conn)
    .await?;
    let mut known: HashMap<String, _> = rows
        .into_iter()
        .map(|row| (row.name.clone(), row))
        .collect();
    let listed = entries.iter().map(|entry| {
        let row = known.remove(entry.name);
        let paused_at = row.as_ref().and_then(|row| row.paused_at);
        let next = match paused_at {
            Some(_) => None,
            None => entry.schedule.next_tick(now),
        };
        let reason = row.as_ref().and_then(|row| row.reason.clone());
        let last = row.and_then(|row| {
            Some(LastRun {
                tick: row.tick?,
                started_at: row.started_at?,
                reason: row.run_reason,
                job: row.job_id,
                state: row.state,
                finished_at: row.finished_at,
                fault: row.fault_message,
            })
        });
        Listed {
            name: entry.name,
            expression: entry.schedule.expression().to_owned(),
            next,
            paused_at,
            reason,
            last,
        }
    });
    Ok(listed.collect())
}

/// Runs an entry now, paused or not, whatever its expression says.
///
/// # Errors
/// The database's.
pub async fn run_now(
    conn: &mut PgConnection,
    entry: &Entry,
    by: &By,
    now: DateTime<Utc>,
) -> Result<RunByHand, sqlx::Error> {
    register(conn, std::slice::from_ref(entry), now).await?;
    // Twice in the same microsecond is once.
    sqlx::query!(
        r#"insert into worker.cron_runs (name, tick, started_at, reason) values ($1, $2, $2, $3)
           on conflict (name, tick) do nothing"#,
        entry.name,
        now,
        by.reason(),
    )
    .execute(&mut *conn)
    .await?;
    let job = enqueue_run(conn, entry, now, now).await?;
    audited(conn, entry, by, "cron.run", None, json!({"job": job}), now).await?;
    Ok(RunByHand { job })
}

/// Pauses an entry: its ticks pass without a run. False: it was paused already.
///
/// # Errors
/// The database's.
pub async fn pause(
    conn: &mut PgConnection,
    entry: &Entry,
    by: &By,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    register(conn, std::slice::from_ref(entry), now).await?;
    let paused = sqlx::query!(
        r#"update worker.cron_entries set paused_at = $2, reason = $3, changed_at = $2
           where name = $1 and paused_at is null"#,
        entry.name,
        now,
        by.reason(),
    )
    .execute(&mut *conn)
    .await?;
    let is_changed = paused.rows_affected() > 0;
    if is_changed {
        let (before, after) = (json!({"paused": false}), json!({"paused": true}));
        audited(conn, entry, by, "cron.pause", Some(before), after, now).await?;
    }
    Ok(is_changed)
}

/// Lets a paused entry go on with its next tick; those that passed are not made up for.
/// False: it was not paused.
///
/// # Errors
/// The database's.
pub async fn resume(
    conn: &mut PgConnection,
    entry: &Entry,
    by: &By,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let resumed = sqlx::query!(
        r#"update worker.cron_entries
           set paused_at = null, reason = $3, changed_at = $2,
               handled_until = greatest(handled_until, $2)
           where name = $1 and paused_at is not null"#,
        entry.name,
        now,
        by.reason(),
    )
    .execute(&mut *conn)
    .await?;
    let is_changed = resumed.rows_affected() > 0;
    if is_changed {
        let (before, after) = (json!({"paused": true}), json!({"paused": false}));
        audited(conn, entry, by, "cron.resume", Some(before), after, now).await?;
    }
    Ok(is_changed)
}

async fn audited(
    conn: &mut PgConnection,
    entry: &Entry,
    by: &By,
    action: &str,
    before: Option<Value>,
    after: Value,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        action,
        object_kind: "cron",
        object_id: entry.name.to_owned(),
        before,
        after: Some(after),
    };
    audit::record(conn, by, &change, now).await
}
