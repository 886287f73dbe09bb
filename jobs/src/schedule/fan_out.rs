//! Due schedules become deliveries, set by set.

use chrono::{DateTime, Utc};
use platform_adapters::Kind;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    delivery::{self, Deliver, Scope, deliver_queue, priority},
    notification::{self, Audience},
    queue::{self, NewJob},
};

/// Held by whoever makes distribution records: they have no unique key, so one writer at a time
/// looks for the newest record and makes one where there is none.
pub(crate) const RECORDS_LOCK: i64 = i64::from_be_bytes(*b"tmrecord");

/// What one batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FannedOut {
    /// Schedules taken up.
    pub schedules: u64,
    /// New deliveries; platforms whose delivery was already on its way share that.
    pub deliveries: u64,
    /// Platforms refused at once: unknown, inactive, or of other content.
    pub refused: u64,
}

/// Fans out at most `batch` schedules that are due at `now`, in one transaction. Schedules that
/// somebody else has locked are left for the next time.
///
/// # Errors
/// The database's; then nothing has changed.
pub async fn fan_out_due(
    pool: &PgPool,
    batch: i64,
    now: DateTime<Utc>,
) -> Result<FannedOut, sqlx::Error> {
    let mut tx = pool.begin().await?;
    // Without bitmaps the due schedules are read in the order of their index, and no further than
    // the batch goes; with them the planner would sort the whole backlog for every batch.
    sqlx::query!(
        "select pg_advisory_xact_lock($1), set_config('enable_bitmapscan', 'off', true)",
        RECORDS_LOCK
    )
    .fetch_one(&mut *tx)
    .await?;
    let rows = sqlx::query_file!("src/schedule/fan_out.sql", now, batch)
        .fetch_all(&mut *tx)
        .await?;
    let mut counted = FannedOut::default();
    let mut jobs = Vec::with_capacity(rows.len());
    let mut failed = Vec::new();
    for row in rows {
        if let (Some(delivery), Some(platform_id)) = (row.delivery_id, row.platform_id) {
            let kind = match row.is_update {
                Some(true) => Kind::Update,
                _ => Kind::Insert,
            };
            jobs.push(first_attempt(
                delivery,
                platform_id,
                priority(kind, row.street_date, now),
                now,
            )?);
        }
        counted.schedules += row.schedules.unwrap_or(0).unsigned_abs();
        counted.refused += row.refused.unwrap_or(0).unsigned_abs();
        failed.extend(row.failed.unwrap_or_default());
    }
    counted.deliveries = jobs.len() as u64;
    if !jobs.is_empty() {
        // Before the first job of a new platform can be claimed.
        delivery::refresh_limits(&mut tx, Scope::New, now).await?;
    }
    queue::enqueue(&mut tx, &jobs).await?;
    notification::schedules_decided(&mut tx, &failed, &Audience::default(), now).await?;
    tx.commit().await?;
    Ok(counted)
}

fn first_attempt(
    delivery: Uuid,
    platform_id: i32,
    priority: i16,
    now: DateTime<Utc>,
) -> Result<NewJob, sqlx::Error> {
    Ok(
        NewJob::new(deliver_queue(platform_id), &Deliver { delivery }, now)
            .map_err(|error| sqlx::Error::Encode(error.into()))?
            .priority(priority)
            .unique(format!("deliver/{delivery}")),
    )
}
