//! The loop that makes runs when ticks come.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job as Bell, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Entry, enqueue_run, register};
use crate::{clock::Clock, vitals::Vitals};

/// The longest time between two looks at the clock. The scheduler rings at each tick; this is for
/// a bell that was not heard. A look asks the database nothing when no tick has come.
const LOOK: Duration = Duration::from_secs(60);
/// The first and the longest wait after the database did not answer.
const RETRY: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// A run that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The entry's name.
    pub name: &'static str,
    /// The tick it is for.
    pub tick: DateTime<Utc>,
    /// The job; `None` when that of an earlier run was not finished.
    pub job: Option<Uuid>,
}

/// Makes the runs of entries until `shutdown`: at each tick, and at the start for the last tick
/// that came while no daemon ran. A database that is away is waited for.
pub async fn run(
    pool: PgPool,
    entries: Vec<Entry>,
    clock: Clock,
    vitals: Vitals,
    shutdown: CancellationToken,
) {
    let pulse = vitals.watch("cron", LOOK);
    let bell = Arc::new(Notify::new());
    let scheduler = ring(&entries, &bell).await;
    if let Err(error) = &scheduler {
        tracing::error!(
            "the cron scheduler cannot ring; ticks are looked for every {LOOK:?}: {error}"
        );
    }
    let mut looked_at = None;
    let mut failures = 0;
    while !shutdown.is_cancelled() {
        pulse.beat();
        let wait = match look(&pool, &entries, &mut looked_at, clock()).await {
            Ok(()) => {
                failures = 0;
                LOOK
            }
            Err(error) => {
                let [first, longest] = RETRY;
                let wait = first.saturating_mul(1 << failures).min(longest);
                failures = (failures + 1).min(16);
                tracing::warn!("cron runs could not be made, trying again in {wait:?}: {error}");
                wait
            }
        };
        tokio::select! {
            () = bell.notified() => {}
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => {}
        }
    }
    pulse.end();
    if let Ok(mut scheduler) = scheduler
        && let Err(error) = scheduler.shutdown().await
    {
        tracing::warn!("the cron scheduler did not stop: {error}");
    }
}

/// A scheduler that rings at the ticks of all entries.
async fn ring(entries: &[Entry], bell: &Arc<Notify>) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    for entry in entries {
        let bell = Arc::clone(bell);
        let ringing = Bell::new(entry.schedule.with_seconds(), move |_, _| bell.notify_one())?;
        scheduler.add(ringing).await?;
    }
    scheduler.start().await?;
    Ok(scheduler)
}

type Ticks = HashMap<&'static str, Option<DateTime<Utc>>>;

/// Takes a turn if a tick has come since the last one; the first time, makes the entries known.
async fn look(
    pool: &PgPool,
    entries: &[Entry],
    looked_at: &mut Option<Ticks>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if looked_at.is_none() {
        register(&mut *pool.acquire().await?, entries, now).await?;
    }
    let ticks: Ticks = entries
        .iter()
        .map(|entry| (entry.name, entry.schedule.last_tick(now)))
        .collect();
    if looked_at.as_ref() == Some(&ticks) {
        return Ok(());
    }
    for run in turn(pool, entries, now).await? {
        match run.job {
            Some(job) => {
                tracing::info!(cron.name = run.name, cron.tick = %run.tick, %job, "cron run");
            }
            None => tracing::warn!(
                cron.name = run.name,
                cron.tick = %run.tick,
                "cron run left out: the job of an earlier run is not finished"
            ),
        }
    }
    *looked_at = Some(ticks);
    Ok(())
}

/// Makes the run of each entry's last tick, unless it is made, has passed while the entry was
/// paused, or is from before the entry was known. Of several ticks that were missed only the last
/// is made up for. The answer has the runs that this call made.
///
/// # Errors
/// The database's.
pub async fn turn(
    pool: &PgPool,
    entries: &[Entry],
    now: DateTime<Utc>,
) -> Result<Vec<Run>, sqlx::Error> {
    let mut made = Vec::new();
    for entry in entries {
        let Some(tick) = entry.schedule.last_tick(now) else {
            continue;
        };
        let mut tx = pool.begin().await?;
        // The row's lock and the key of the run each let one daemon through.
        let is_ours = sqlx::query_scalar!(
            r#"with taken as (
                   update worker.cron_entries set handled_until = $2
                   where name = $1 and paused_at is null and handled_until < $2
                   returning name
               )
               insert into worker.cron_runs (name, tick, started_at)
               select name, $2, $3 from taken
               on conflict (name, tick) do nothing
               returning true as "made!""#,
            entry.name,
            tick,
            now,
        )
        .fetch_optional(&mut *tx)
        .await?;
        if is_ours.is_none() {
            continue;
        }
        let job = enqueue_run(&mut tx, entry, tick, now).await?;
        tx.commit().await?;
        made.push(Run {
            name: entry.name,
            tick,
            job,
        });
    }
    Ok(made)
}
