//! The job that computes a run: kind `royalty_run`, on the queue `royalties`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::compute::{ComputeError, compute};
use crate::{
    clock::Clock,
    database::storable,
    queue::{Done, Job, JobFault, Lease, Outcome},
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
