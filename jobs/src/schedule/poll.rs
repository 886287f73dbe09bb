//! The loop that looks for due schedules.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio_util::sync::CancellationToken;

use super::fan_out_due;
use crate::{clock::Clock, database::is_there, vitals::Vitals};

/// How schedules are looked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollSettings {
    /// Milliseconds between two looks when none is announced or becomes due. One look is one
    /// statement on an index.
    pub poll_ms: u64,
    /// The most schedules in one transaction.
    pub batch: i64,
}

impl Default for PollSettings {
    fn default() -> Self {
        Self {
            poll_ms: 2000,
            batch: 1000,
        }
    }
}

/// The longest wait after the database did not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// After so long without an announcement the connection that listens is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(60);

/// The channel on which the web application's table tells of new schedules (a trigger of ours).
const CHANNEL: &str = "worker_schedules";

/// Looks for due schedules until `shutdown`: when one becomes due, when one is announced, and from
/// time to time. A database that is away is waited for. `direct` says where the database is past any
/// pooler, for the connection that listens.
pub async fn poll(
    pool: PgPool,
    direct: PgConnectOptions,
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
    let mut listener = None;
    let mut heard_at = Instant::now();
    while !shutdown.is_cancelled() {
        pulse.beat();
        // First the ear, then the look: what is announced in between is not missed.
        if heard_at.elapsed() > QUIET {
            heard_at = Instant::now();
            if let Some(open) = &mut listener
                && !is_there(open).await
            {
                listener = None;
            }
        }
        if listener.is_none() {
            listener = listen(&direct).await;
        }
        let wait = match look(&pool, &settings, &clock).await {
            Ok(wait) => {
                failures = 0;
                wait.min(pause)
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!("schedules could not be looked for, trying again: {error}");
                (pause * 2u32.saturating_pow(failures.min(6))).min(LONGEST_WAIT)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = announced(&mut listener), if failures == 0 => heard_at = Instant::now(),
            () = shutdown.cancelled() => {}
        }
    }
    pulse.end();
}

/// `None`: not now; the looks from time to time go on.
async fn listen(direct: &PgConnectOptions) -> Option<PgListener> {
    let listening = async {
        // A connection beside the pool, which may be small and busy.
        let own = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(direct.clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    match listening.await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!("not listening for new schedules, looking from time to time: {error}");
            None
        }
    }
}

/// Ends when a schedule was announced, or when the connection was lost, after which one may have
/// been missed.
async fn announced(listener: &mut Option<PgListener>) {
    let Some(open) = listener else {
        return std::future::pending().await;
    };
    if matches!(open.try_recv().await, Ok(Some(_))) {
        // Many announcements, one look.
        while open.next_buffered().is_some() {}
    } else {
        *listener = None;
    }
}

/// Fans out a batch of what is due. The answer is how long there is nothing to do.
async fn look(
    pool: &PgPool,
    settings: &PollSettings,
    clock: &Clock,
) -> Result<Duration, sqlx::Error> {
    let now = clock();
    match next_due(pool).await? {
        None => return Ok(Duration::MAX),
        Some(next) if next > now => return Ok((next - now).to_std().unwrap_or_default()),
        Some(_) => {}
    }
    let counted = fan_out_due(pool, settings.batch, now).await?;
    if counted.schedules == 0 {
        // Somebody else has them.
        return Ok(Duration::MAX);
    }
    tracing::info!(
        schedules = counted.schedules,
        deliveries = counted.deliveries,
        refused = counted.refused,
        "schedules fanned out"
    );
    // There may be more: look again at once.
    Ok(Duration::ZERO)
}

/// When the first of the schedules that wait is due.
async fn next_due(pool: &PgPool) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select scheduled_date at time zone 'UTC' as "due!" from public.scheduled_distributions
           where status in ('pending', 'scheduled')
           order by scheduled_date, id limit 1"#
    )
    .fetch_optional(pool)
    .await
}
