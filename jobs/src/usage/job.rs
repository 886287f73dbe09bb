//! The job that looks again at lines that were not imported, kind `usage_rematch`.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{Settings, UsageError, rematch};
use crate::{
    audit::By,
    clock::Clock,
    queue::{
        Done, Job, JobFault, Lease, NewJob,
        cron::{Entry, Schedule},
    },
    royalty,
};

/// Its queue.
const QUEUE: &str = "usage";

/// What the job needs.
#[derive(Clone)]
pub struct Services {
    /// The database.
    pub pool: PgPool,
    /// Tells the time.
    pub clock: Clock,
    /// How usage is imported.
    pub settings: Arc<Settings>,
    /// What amounts are converted by.
    pub royalties: Arc<royalty::Settings>,
}

/// Imports those lines of all files that were not imported and can be by now. Without arguments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rematch {}

impl Job for Rematch {
    type Context = Services;
    const KIND: &'static str = "usage_rematch";
    /// The next night is another chance.
    const MAX_ATTEMPTS: i16 = 5;
    /// Millions of lines of years; what was imported by then stays.
    const TIMEOUT: Duration = Duration::from_secs(12 * 3600);
    const PREFETCH: bool = false;

    async fn run(self, services: Services, lease: Lease) -> Result<Done, JobFault> {
        let by = By::new(
            format!("cron:{}", lease.kind),
            "tracks and rates may have come since",
        )
        .map_err(|error| JobFault::dead("usage_rematch", error.to_string()))?;
        let (pool, now) = (&services.pool, (services.clock)());
        match rematch(
            pool,
            None,
            &services.settings,
            &services.royalties,
            &by,
            now,
        )
        .await
        {
            Ok(found) => {
                if found.lines > 0 {
                    tracing::info!(
                        lines = found.lines,
                        streams = found.streams,
                        revenue = %found.revenue,
                        still_unmatched = found.unmatched,
                        "usage that could not be imported before was imported"
                    );
                }
                Ok(Done::Complete)
            }
            Err(UsageError::Database(error)) => Err(error.into()),
            Err(other) => Err(JobFault::retry("usage_rematch", other.to_string())),
        }
    }
}

/// The cron entry of [`Rematch`].
#[must_use]
pub fn entry(schedule: Schedule) -> Entry {
    Entry {
        name: Rematch::KIND,
        schedule,
        job: |tick| NewJob::new(QUEUE, &Rematch {}, tick),
    }
}
