//! Updates that nobody has to ask for: releases that changed since they were delivered. Whether
//! what would be sent has changed is found out by the attempt, from the package's fingerprint.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::operate::{Outcome, update_on};
use crate::{clock::Clock, vitals::Vitals};

/// When changed releases are looked for (configuration `deliveries`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpdateSettings {
    /// Send updates by itself when the catalogue's rows change.
    pub automatic_updates: bool,
    /// Seconds between two looks.
    pub scan_s: u64,
    /// The most updates begun in one look.
    pub scan_batch: i64,
}

impl Default for UpdateSettings {
    fn default() -> Self {
        Self {
            automatic_updates: false,
            scan_s: 300,
            scan_batch: 1000,
        }
    }
}

/// Begins updates of live releases whose rows (release, tracks, rights) say that they changed after
/// they were last read for the platform. `since`: rows that did not change after it are not looked
/// at. The answer is the number of updates begun, and whether there may be more.
///
/// # Errors
/// The database's; what was begun before stays begun.
pub async fn start_changed(
    pool: &PgPool,
    since: Option<DateTime<Utc>>,
    batch: i64,
    now: DateTime<Utc>,
) -> Result<(u64, bool), sqlx::Error> {
    let changed = sqlx::query!(
        r#"with changed as (
               select id, max(at) as at from (
                   select r.id, r.updated_at as at from public.releases r
                   where r.updated_at >= $1
                   union all
                   select t.release_id, t.updated_at from public.tracks t
                   where t.updated_at >= $1
                   union all
                   select coalesce(m.release_id, t.release_id), m.updated_at
                   from public.rights_management m left join public.tracks t on t.id = m.track_id
                   where m.updated_at >= $1
               ) rows where id is not null group by id
           )
           select newest.release_id as "release_id!", newest.platform_id as "platform_id!"
           from changed cross join lateral (
               select distinct on (d.platform_id) d.release_id, d.platform_id, d.kind, d.state, d.started_at
               from worker.deliveries d where d.release_id = changed.id
               order by d.platform_id, d.revision desc
           ) newest
           where newest.state = 'accepted' and newest.kind <> 'takedown'
             and newest.started_at < changed.at at time zone 'UTC'
           order by 1, 2
           limit $2"#,
        since.unwrap_or(DateTime::UNIX_EPOCH).naive_utc(),
        batch,
    )
    .fetch_all(pool)
    .await?;
    let may_be_more = i64::try_from(changed.len()).is_ok_and(|found| found >= batch);
    let mut begun = 0;
    for row in changed {
        let mut tx = pool.begin().await?;
        let answer = update_on(&mut tx, row.release_id, row.platform_id, now).await?;
        tx.commit().await?;
        begun += u64::from(matches!(answer.outcome, Outcome::Started(_)));
    }
    Ok((begun, may_be_more))
}

/// Looks for changed releases until `shutdown`, if the settings say so. The first look is at all,
/// the others at what changed since the one before.
pub async fn watch_changes(
    pool: PgPool,
    settings: UpdateSettings,
    clock: Clock,
    vitals: Vitals,
    shutdown: CancellationToken,
) {
    if !settings.automatic_updates {
        return;
    }
    let pause = Duration::from_secs(settings.scan_s.max(1));
    let pulse = vitals.watch("changed releases", pause);
    let mut since = None;
    while !shutdown.is_cancelled() {
        pulse.beat();
        let now = clock();
        match start_changed(&pool, since, settings.scan_batch.max(1), now).await {
            Ok((begun, may_be_more)) => {
                if begun > 0 {
                    tracing::info!(
                        updates = begun,
                        "releases changed since they were delivered"
                    );
                }
                if may_be_more && begun > 0 {
                    continue;
                }
                // A row's time is older than the moment it can be seen; twice the pause covers
                // transactions of the web application that took long.
                since = TimeDelta::from_std(pause * 2)
                    .ok()
                    .and_then(|margin| now.checked_sub_signed(margin));
            }
            Err(error) => {
                tracing::warn!("changed releases could not be looked for, trying again: {error}");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => {}
        }
    }
    pulse.end();
}
