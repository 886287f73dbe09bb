//! The limits of the platforms' queues: read from `format_specs.limits` and the configuration, kept
//! in `worker.queues`, where every claim finds them. How they are kept to is the queue's business.

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, Utc};
use platform_adapters::settings::{self, Windows};
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::deliver_queue;
use crate::{
    clock::Clock,
    queue::{self, Limits, Rates},
    vitals::Vitals,
};

/// The row of `worker.queues` with the configuration's limits. No platform has this queue.
const DEFAULTS: &str = "deliver/*";

/// The limits of platforms that set none themselves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitPolicy {
    /// Deliveries begun to one platform in any second; 0: no such limit.
    pub per_second: u32,
    /// Deliveries begun to one platform in any hour; 0: no such limit.
    pub per_hour: u32,
    /// Deliveries begun to one platform in any 24 hours; 0: no such limit.
    pub per_day: u32,
    /// When deliveries may begin; empty: always.
    pub windows: Windows,
    /// Seconds between two looks at the platforms' limits.
    pub refresh_s: u64,
}

impl Default for LimitPolicy {
    fn default() -> Self {
        Self {
            per_second: 0,
            per_hour: 0,
            per_day: 0,
            windows: Windows::default(),
            refresh_s: 10,
        }
    }
}

impl LimitPolicy {
    /// Between two looks at the platforms' limits.
    #[must_use]
    pub fn refresh(&self) -> Duration {
        Duration::from_secs(self.refresh_s.max(1))
    }

    fn limits(&self) -> Limits {
        let rate = |rate: u32| NonZeroU32::new(rate).map(stored);
        Limits {
            concurrency: None,
            rates: Rates {
                per_second: rate(self.per_second),
                per_hour: rate(self.per_hour),
                per_day: rate(self.per_day),
            },
            windows: self.windows.clone(),
        }
    }
}

/// Which platforms' limits are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that were never read.
    New,
    /// This one's.
    One(i32),
    /// All of them.
    All,
}

/// Sets the limits of platforms that set none themselves, and reads those that do: to be done before
/// the first claim.
///
/// # Errors
/// The database's.
pub async fn set_default_limits(
    conn: &mut PgConnection,
    policy: &LimitPolicy,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    queue::limit(conn, DEFAULTS, &policy.limits(), now).await?;
    refresh_limits(conn, Scope::All, now).await
}

/// Writes the limits of platforms into their queues where they have changed. Limits that cannot be
/// read change nothing: the platform's next attempt says what is wrong with them.
///
/// # Errors
/// The database's.
pub async fn refresh_limits(
    conn: &mut PgConnection,
    scope: Scope,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let one = match scope {
        Scope::One(platform) => Some(platform),
        Scope::New | Scope::All => None,
    };
    let rows = sqlx::query!(
        r#"select p.id as "id?", p.format_specs, q.name as "queue?", q.limits_read_at,
               q.concurrency as "concurrency?", q.per_second as "per_second?",
               q.per_hour as "per_hour?", q.per_day as "per_day?", q.windows as "windows?"
           from public.distribution_platforms p
           full join (select * from worker.queues where name like 'deliver/%') q
               on q.name = 'deliver/' || p.id
           where q.name = $3
              or p.id is not null and ($1::integer is null or p.id = $1)
                 and not ($2 and q.limits_read_at is not null)
           order by p.id nulls first"#,
        one,
        scope == Scope::New,
        DEFAULTS,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut defaults = Limits::default();
    for row in rows {
        let rates = Rates {
            per_second: row.per_second,
            per_hour: row.per_hour,
            per_day: row.per_day,
        };
        let known = Limits::of_row(row.concurrency, rates, row.windows);
        // The defaults come first.
        let Some(id) = row.id else {
            defaults = known.unwrap_or_default();
            continue;
        };
        let Ok(set) = settings::Limits::of_specs(row.format_specs.as_ref()) else {
            continue;
        };
        let wanted = merged(set, &defaults);
        if row.limits_read_at.is_none() || known.as_ref() != Some(&wanted) {
            queue::limit(conn, &deliver_queue(id), &wanted, now).await?;
        }
    }
    Ok(())
}

/// What the platform sets, and the defaults where it sets nothing.
fn merged(set: settings::Limits, defaults: &Limits) -> Limits {
    Limits {
        concurrency: set.concurrency.map(|limit| u16::from(limit).into()),
        rates: Rates {
            per_second: set.per_second.map(stored).or(defaults.rates.per_second),
            per_hour: set.per_hour.map(stored).or(defaults.rates.per_hour),
            per_day: set.per_day.map(stored).or(defaults.rates.per_day),
        },
        windows: set.windows.unwrap_or_else(|| defaults.windows.clone()),
    }
}

fn stored(rate: NonZeroU32) -> i32 {
    i32::try_from(rate.get()).unwrap_or(i32::MAX)
}

/// Reads all platforms' limits now and again until `shutdown`, so that a window that was mended opens
/// before the wrong one would have.
pub async fn keep_limits(
    pool: PgPool,
    pause: Duration,
    clock: Clock,
    vitals: Vitals,
    shutdown: CancellationToken,
) {
    let pulse = vitals.watch("limits", pause);
    loop {
        pulse.beat();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => break,
        }
        let refreshed = async {
            let mut conn = pool.acquire().await?;
            refresh_limits(&mut conn, Scope::All, clock()).await
        };
        if let Err(error) = refreshed.await {
            tracing::warn!(%error, "the platforms' limits could not be read; trying again");
        }
    }
    pulse.end();
}
