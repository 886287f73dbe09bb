//! What runs at set times. An entry names an expression and a job; at each tick one daemon enqueues
//! the job, however many daemons there are. What a job does is its kind's business.
//!
//! tokio-cron-scheduler rings when a tick may have come, and does no more than that: it gives its
//! callback no tick, remembers none over a restart, and reads the clock itself. Which tick it is
//! comes from the expression, by croner, the crate that the scheduler reads expressions with too.

mod operate;
mod run;
mod schedule;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use operate::{LastRun, Listed, RunByHand, list, pause, resume, run_now};
pub use run::{Run, run, turn};
pub use schedule::{InvalidExpression, Schedule};

use super::{enqueue, job::NewJob};

/// Something that runs at set times.
#[derive(Clone)]
pub struct Entry {
    /// Unique, and never another: it is the key of what is recorded.
    pub name: &'static str,
    /// When.
    pub schedule: Schedule,
    /// What: the job of a run at this time.
    pub job: fn(DateTime<Utc>) -> Result<NewJob, serde_json::Error>,
}

/// Makes entries known to the database. A new one, or one with another expression, begins with its
/// next tick.
///
/// # Errors
/// The database's.
pub async fn register(
    conn: &mut PgConnection,
    entries: &[Entry],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    for entry in entries {
        sqlx::query!(
            r#"insert into worker.cron_entries (name, expression, handled_until, changed_at)
               values ($1, $2, $3, $3)
               on conflict (name) do update
                   set expression = excluded.expression, changed_at = $3,
                       handled_until = greatest(cron_entries.handled_until, $3)
                   where cron_entries.expression <> excluded.expression"#,
            entry.name,
            entry.schedule.expression(),
            now,
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Enqueues the entry's job for a run that was just recorded. `None`: the job of an earlier run is
/// not finished.
async fn enqueue_run(
    conn: &mut PgConnection,
    entry: &Entry,
    tick: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<Uuid>, sqlx::Error> {
    let mut job = (entry.job)(tick)
        .map_err(|error| sqlx::Error::Encode(error.into()))?
        .unique(format!("cron/{}", entry.name));
    job.run_at = now;
    let job = enqueue(conn, &[job]).await?.into_iter().next().flatten();
    sqlx::query!(
        "update worker.cron_runs set job_id = $3 where name = $1 and tick = $2",
        entry.name,
        tick,
        job,
    )
    .execute(conn)
    .await?;
    Ok(job)
}
