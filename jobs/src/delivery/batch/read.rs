//! What an operator reads of the batch that a delivery lies in.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

/// The batch of a delivery's newest transmission.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeliveryBatch)]
pub struct InBatch {
    /// The batch's id at the partner.
    pub id: String,
    /// `open`: takes releases in. `closing`: waits for what is on its way. `sealed`: the partner is
    /// being told. `closed`: it was. `abandoned`: nothing was left in it.
    pub state: String,
    /// Releases in it, or on their way into it.
    pub releases: i64,
    /// It is full with so many.
    pub max_releases: i32,
    /// Bytes of their audio and artwork.
    pub bytes: i64,
    /// It is full with so many.
    pub max_bytes: i64,
    /// When it was opened (UTC).
    pub opened_at: DateTime<Utc>,
    /// When it is closed at the latest (UTC).
    pub closes_at: DateTime<Utc>,
    /// When the partner was told that it is complete (UTC).
    pub closed_at: Option<DateTime<Utc>>,
    /// Why it could not be closed the last time.
    pub fault: Option<String>,
}

impl InBatch {
    /// What a delivery that lies in it waits for; `age` is the batch's, in words.
    #[must_use]
    pub fn waits_for(&self, age: &str) -> String {
        match (self.state.as_str(), &self.fault) {
            (_, Some(fault)) => fault.clone(),
            ("open", None) => format!(
                "waits for its batch to close: {} of {} releases, {age} old",
                self.releases, self.max_releases
            ),
            _ => format!(
                "waits for its batch of {} releases, which is being closed",
                self.releases
            ),
        }
    }
}

/// The batch of a delivery's newest transmission, if it was given a place in one.
pub(in crate::delivery) async fn of_delivery(
    pool: &PgPool,
    delivery: Uuid,
) -> Result<Option<InBatch>, sqlx::Error> {
    sqlx::query_as!(
        InBatch,
        r#"select b.name as id, b.state, held.releases as "releases!", b.max_releases,
               held.bytes as "bytes!", b.max_bytes, b.opened_at, b.closes_at, b.closed_at, b.fault
           from worker.deliveries d
           join worker.batch_releases s
             on s.delivery_id = d.id and s.transmission = d.transmission and s.left_at is null
           join worker.batches b on b.id = s.batch_id
           cross join lateral (
               select count(*) as releases, coalesce(sum(bytes), 0)::bigint as bytes
               from worker.batch_releases where batch_id = b.id and left_at is null
           ) held
           where d.id = $1"#,
        delivery
    )
    .fetch_optional(pool)
    .await
}

/// What told the partner that a batch of the delivery is complete, by its file name.
pub(in crate::delivery) async fn manifest(
    pool: &PgPool,
    delivery: Uuid,
    name: &str,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let manifest = sqlx::query_scalar!(
        r#"select b.manifest from worker.batch_releases s
           join worker.batches b on b.id = s.batch_id
           where s.delivery_id = $1 and s.left_at is null
             and $2 = 'BatchComplete_' || b.name || '.xml'"#,
        delivery,
        name,
    )
    .fetch_optional(pool)
    .await?;
    Ok(manifest.flatten())
}
