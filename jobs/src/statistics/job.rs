//! The jobs: `statistics` recomputes marked days, `statistics_scan` looks for days that nobody marked.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};

use super::{RunError, Settings, recompute, scan};
use crate::{
    clock::Clock,
    queue::{
        self, Done, Job, JobFault, Lease, NewJob,
        cron::{Entry, Schedule},
    },
};

/// The queue of both.
const QUEUE: &str = "statistics";

/// What the jobs need.
#[derive(Clone)]
pub struct Services {
    /// The database.
    pub pool: PgPool,
    /// Tells the time.
    pub clock: Clock,
    /// How days are recomputed.
    pub settings: Arc<Settings>,
}

/// The job that recomputes days until none is marked: kind `statistics`, without arguments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Statistics {}

impl Job for Statistics {
    type Context = Services;
    const KIND: &'static str = "statistics";
    /// The next tick makes another job.
    const MAX_ATTEMPTS: i16 = 5;
    /// A rebuild of years; it goes on where it stopped.
    const TIMEOUT: Duration = Duration::from_secs(12 * 3600);
    const PREFETCH: bool = false;

    async fn run(self, services: Services, _lease: Lease) -> Result<Done, JobFault> {
        let now = (services.clock)();
        let written = recompute(&services.pool, &services.settings, now).await?;
        if written.looked_at > 0 || written.trends > 0 {
            tracing::info!(
                user_days = written.looked_at,
                inserted = written.inserted,
                updated = written.updated,
                deleted = written.deleted,
                trends = written.trends,
                "daily statistics recomputed"
            );
        }
        Ok(Done::Complete)
    }
}

/// The job that marks all days to be compared with what their rows were made of: kind
/// `statistics_scan`, without arguments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Scan {}

impl Job for Scan {
    type Context = Services;
    const KIND: &'static str = "statistics_scan";
    /// The next night is another chance.
    const MAX_ATTEMPTS: i16 = 5;
    /// It only marks.
    const TIMEOUT: Duration = Duration::from_secs(3600);
    const PREFETCH: bool = false;

    async fn run(self, services: Services, _lease: Lease) -> Result<Done, JobFault> {
        match scan(&services.pool, (services.clock)()).await {
            Ok(run) => {
                tracing::info!(run = %run.id, days = run.days_total, "scanning daily statistics");
                Ok(Done::Complete)
            }
            Err(RunError::Database(error)) => Err(error.into()),
            Err(error @ (RunError::Missing(_) | RunError::Range(..))) => {
                Err(JobFault::retry("statistics_run_missing", error.to_string()))
            }
        }
    }
}

/// The cron entry of [`Statistics`].
#[must_use]
pub fn entry(schedule: Schedule) -> Entry {
    Entry {
        name: Statistics::KIND,
        schedule,
        job: |tick| NewJob::new(QUEUE, &Statistics {}, tick),
    }
}

/// The cron entry of [`Scan`].
#[must_use]
pub fn scan_entry(schedule: Schedule) -> Entry {
    Entry {
        name: Scan::KIND,
        schedule,
        job: |tick| NewJob::new(QUEUE, &Scan {}, tick),
    }
}

/// Has marked days recomputed at once, and not only with the next tick. Where a job is at it already
/// that one, or that of the next tick, finds the marks.
pub(crate) async fn wake(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let job = NewJob::new(QUEUE, &Statistics {}, now)
        .map_err(|error| sqlx::Error::Encode(error.into()))?
        .unique("cron/statistics");
    queue::enqueue(conn, &[job]).await?;
    Ok(())
}
