//! The jobs. On the queue `royalties`: `royalty_run` computes a run; `royalties`, which cron enqueues,
//! starts the run that is due and posts withdrawals. On the queue `statements`: `royalty_statements`
//! writes the statements of all payees.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    compute::{ComputeError, compute},
    operate::{Refused, start},
    period::Period,
    run::{self, RunFilter},
    sets::{self, WriteSetError},
    settings::Settings,
    withdrawals,
};
use crate::{
    audit::By,
    clock::Clock,
    database::storable,
    queue::{
        Done, Job, JobFault, Lease, NewJob, Outcome,
        cron::{Entry, Schedule},
    },
};

/// The queue of royalty runs.
pub const QUEUE: &str = "royalties";

/// What the job needs.
#[derive(Clone)]
pub struct Services {
    /// The database.
    pub pool: PgPool,
    /// Tells the time.
    pub clock: Clock,
    /// What runs are computed by.
    pub settings: Arc<Settings>,
}

/// Computes a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Compute {
    /// `worker.royalty_runs.id`.
    pub run: Uuid,
}

impl Job for Compute {
    type Context = Services;
    const KIND: &'static str = "royalty_run";
    /// A database that is away is waited for; a fault in the data does not pass by itself.
    const MAX_ATTEMPTS: i16 = 10;
    /// A billion lines take a quarter of an hour on one machine.
    const TIMEOUT: Duration = Duration::from_secs(12 * 3600);
    const PREFETCH: bool = false;

    async fn run(self, services: Services, _lease: Lease) -> Result<Done, JobFault> {
        let run = compute(&services.pool, self.run, &services.clock)
            .await
            .map_err(|error| match error {
                ComputeError::Database(error) => JobFault::from(error),
                other => JobFault::dead("royalty_run", other.to_string()),
            })?;
        tracing::info!(
            royalty.run = %run.id, royalty.period = %run.period, royalty.state = run.state.as_str(),
            "royalty run computed"
        );
        Ok(Done::Complete)
    }

    async fn decided_by_queue(
        conn: &mut PgConnection,
        _lease: &Lease,
        arguments: &Value,
        outcome: &Outcome,
        _now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let (Outcome::Dead { message, .. }, Ok(job)) =
            (outcome, serde_json::from_value::<Self>(arguments.clone()))
        else {
            return Ok(());
        };
        let message = storable(message);
        sqlx::query!(
            "update worker.royalty_runs set fault = $2 where id = $1 and state = 'running'",
            job.run,
            message.as_ref(),
        )
        .execute(conn)
        .await?;
        Ok(())
    }
}

/// Looks whether the run of a month is due, and starts it: the last month that ended before
/// [`Settings::grace_days`], if it has no run at all. One that somebody called off is not started
/// again. Completed withdrawals are posted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Due {}

impl Job for Due {
    type Context = Services;
    const KIND: &'static str = "royalties";
    const MAX_ATTEMPTS: i16 = 5;
    const TIMEOUT: Duration = Duration::from_secs(600);
    const PREFETCH: bool = false;

    async fn run(self, services: Services, lease: Lease) -> Result<Done, JobFault> {
        let now = (services.clock)();
        let mut tx = crate::database::begin(&services.pool, "begin").await?;
        withdrawals::post(&mut tx, &services.settings, now).await?;
        tx.commit().await?;
        let period = Period::due(now, services.settings.grace_days);
        let filter = RunFilter {
            period: Some(period),
            limit: Some(1),
            ..RunFilter::default()
        };
        let mut connection = services.pool.acquire().await?;
        if !run::list(&mut connection, &filter).await?.is_empty() {
            return Ok(Done::Complete);
        }
        drop(connection);
        let by = By::new(
            format!("cron:{}", lease.kind),
            "the month is over and its grace too",
        )
        .map_err(|error| JobFault::dead("royalties", error.to_string()))?;
        match start(&services.pool, period, &services.settings, &by, now).await {
            Ok(started) => {
                tracing::info!(royalty.run = %started.run.id, royalty.period = %period, "royalty run started");
                Ok(Done::Complete)
            }
            Err(Refused::Database(error)) => Err(error.into()),
            Err(other) => Err(JobFault::dead("royalties", other.to_string())),
        }
    }
}

/// Writes the statements of all payees of a run. It goes on where it stopped.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct WriteStatements {
    /// `worker.statement_sets.id`.
    pub set: Uuid,
}

impl Job for WriteStatements {
    type Context = Services;
    const KIND: &'static str = "royalty_statements";
    /// A database that is away is waited for.
    const MAX_ATTEMPTS: i16 = 10;
    /// A hundred thousand payees with long lists.
    const TIMEOUT: Duration = Duration::from_secs(12 * 3600);
    const PREFETCH: bool = false;

    async fn run(self, services: Services, _lease: Lease) -> Result<Done, JobFault> {
        match sets::write(&services, self.set).await {
            Ok(()) => Ok(Done::Complete),
            // Its run is gone or another by now: nobody needs to look after that.
            Err(error @ (WriteSetError::Stale | WriteSetError::Missing(_))) => {
                let mut conn = services.pool.acquire().await?;
                let now = (services.clock)();
                sets::fail(&mut conn, self.set, &error.to_string(), now).await?;
                Ok(Done::Complete)
            }
            Err(WriteSetError::Database(error)) => Err(error.into()),
            Err(WriteSetError::Read(ComputeError::Database(error))) => Err(error.into()),
            Err(other) => Err(JobFault::dead(Self::KIND, other.to_string())),
        }
    }

    async fn decided_by_queue(
        conn: &mut PgConnection,
        _lease: &Lease,
        arguments: &Value,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        if let (Outcome::Dead { message, .. }, Ok(job)) =
            (outcome, serde_json::from_value::<Self>(arguments.clone()))
        {
            sets::fail(conn, job.set, message, now).await?;
        }
        Ok(())
    }
}

/// The cron entry that enqueues [`Due`].
#[must_use]
pub fn entry(schedule: Schedule) -> Entry {
    Entry {
        name: Due::KIND,
        schedule,
        job: |tick| NewJob::new(QUEUE, &Due {}, tick),
    }
}
