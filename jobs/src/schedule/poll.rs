//! The loop that looks for due schedules.

use std::time::Duration;

use serde::Deserialize;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{FannedOut, fan_out_due};
use crate::{clock::Clock, vitals::Vitals};

/// How schedules are looked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollSettings {
    /// Milliseconds between two looks. One look is one statement on an index.
    pub poll_ms: u64,
    /// The most schedules in one transaction.
    pub batch: i64,
}

impl Default for PollSettings {
    fn default() -> Self {
        Self {
            poll_ms: 1000,
            batch: 1000,
        }
    }
}

/// The longest wait after the database did not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Looks for due schedules until `shutdown`. A database that is away is waited for.
pub async fn poll(
    pool: PgPool,
    settings: PollSettings,
    clock: Clock,
    vitals: Vitals,
    shutdown: CancellationToken,
) {
    let pulse = vitals.watch(
        "schedules",
        LONGEST_WAIT.max(Duration::from_millis(settings.poll_ms)),
    );
    let pause = Duration::from_millis(settings.poll_ms.max(10));
    let mut failures = 0u32;
    while !shutdown.is_cancelled() {
        pulse.beat();
        let wait = match fan_out_due(&pool, settings.batch, clock()).await {
            Ok(FannedOut { schedules: 0, .. }) => {
                failures = 0;
                pause
            }
            // There may be more: look again at once.
            Ok(counted) => {
                failures = 0;
                tracing::info!(
                    schedules = counted.schedules,
                    deliveries = counted.deliveries,
                    refused = counted.refused,
                    "schedules fanned out"
                );
                Duration::ZERO
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!("schedules could not be looked for, trying again: {error}");
                (pause * 2u32.saturating_pow(failures.min(6))).min(LONGEST_WAIT)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => {}
        }
    }
    pulse.end();
}
