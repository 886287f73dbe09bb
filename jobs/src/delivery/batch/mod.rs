//! Batches: deliveries that a platform's partner takes together. A delivery is given a place in its
//! platform's open batch when its package is made; its files go there; it is `batched` until the batch
//! is closed (`close`), and sent from then on. One batch of a platform takes deliveries in at a time;
//! others may be being closed beside it.
//!
//! Whoever locks both takes the delivery before [`lock_platform`], and that before the batch's rows.

mod close;
mod read;

use chrono::{DateTime, TimeDelta, Utc};
use platform_adapters::{Code, Fault, package::Package, settings::BatchSpecs};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{PRIORITY_BATCH, Services, deliver_queue, job, row::Delivery};
use crate::queue::{self, NewJob};

pub use close::CloseBatch;
pub use read::InBatch;
pub(super) use read::{manifest, of_delivery};

/// The place of a delivery in a batch.
#[derive(Clone, Debug)]
pub(super) struct Place {
    batch: Uuid,
    /// The batch's id at the partner.
    pub(super) name: String,
    /// This transmission had no place before, in no batch.
    pub(super) is_first: bool,
}

/// Gives the delivery a place in its platform's open batch, or the one that it has: an attempt goes on
/// where the one before stopped. Where that fills the batch, it takes no more.
pub(super) async fn take_place(
    services: &Services,
    delivery: &Delivery,
    package: &Package,
    specs: BatchSpecs,
) -> Result<Place, Fault> {
    taken(services, delivery, package, specs)
        .await
        .map_err(|error| {
            Fault::new(
                Code::WorkerFault,
                format!("no place in a batch could be taken: {error}"),
            )
        })
}

async fn taken(
    services: &Services,
    delivery: &Delivery,
    package: &Package,
    specs: BatchSpecs,
) -> Result<Place, sqlx::Error> {
    let now = (services.clock)();
    let release_key = package.upc.to_gtin13();
    let bytes: u64 = package.files().map(|file| file.size).sum();
    let transmission = number(delivery.transmission);
    let mut tx = super::begin(&services.pool).await?;
    lock_platform(&mut tx, delivery.platform_id).await?;
    let known = sqlx::query!(
        r#"select s.batch_id, b.name,
               s.left_at is null and b.state in ('open', 'closing') as "is_held!"
           from worker.batch_releases s join worker.batches b on b.id = s.batch_id
           where s.delivery_id = $1 and s.transmission = $2"#,
        delivery.id,
        transmission,
    )
    .fetch_all(&mut *tx)
    .await?;
    let is_first = known.is_empty();
    let (batch, name) = match known.into_iter().find(|place| place.is_held) {
        Some(held) => (held.batch_id, held.name),
        None => open_batch(&mut tx, delivery.platform_id, &release_key, specs, now).await?,
    };
    sqlx::query!(
        r#"insert into worker.batch_releases
               (batch_id, delivery_id, transmission, release_key, bytes, taken_in_at)
           values ($1, $2, $3, $4, $5, $6)
           on conflict (delivery_id, transmission, batch_id) do update set
               release_key = excluded.release_key, bytes = excluded.bytes, left_at = null"#,
        batch,
        delivery.id,
        transmission,
        release_key,
        i64::try_from(bytes).unwrap_or(i64::MAX),
        now,
    )
    .execute(&mut *tx)
    .await?;
    // Who is on the way here wakes its closing when it has come to its end.
    sqlx::query!(
        r#"update worker.batches b set state = 'closing', closes_at = least(b.closes_at, $2)
           from (select count(*) as releases, coalesce(sum(bytes), 0) as bytes
                 from worker.batch_releases where batch_id = $1 and left_at is null) held
           where b.id = $1 and b.state = 'open'
             and (held.releases >= b.max_releases or held.bytes >= b.max_bytes)"#,
        batch,
        now,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Place {
        batch,
        name,
        is_first,
    })
}

/// Batches of a platform are opened, filled, left and sealed one at a time, whatever daemon does it.
async fn lock_platform(conn: &mut PgConnection, platform_id: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('worker.batches/' || $1::integer, 0))",
        platform_id
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// The batch of the platform that takes this release in: the open one, or a new one.
async fn open_batch(
    conn: &mut PgConnection,
    platform_id: i32,
    release_key: &str,
    specs: BatchSpecs,
    now: DateTime<Utc>,
) -> Result<(Uuid, String), sqlx::Error> {
    let open = sqlx::query!(
        r#"select id, name,
               closes_at <= $2 or exists (
                   select from worker.batch_releases s
                   where s.batch_id = b.id and s.left_at is null and s.release_key = $3
               ) as "is_over!"
           from worker.batches b where platform_id = $1 and state = 'open'"#,
        platform_id,
        now,
        release_key,
    )
    .fetch_optional(&mut *conn)
    .await?;
    match open {
        Some(open) if !open.is_over => return Ok((open.id, open.name)),
        // It is due, or holds the same release from another delivery.
        Some(open) => stop_taking_in(conn, open.id, platform_id, now).await?,
        None => {}
    }
    open_new(conn, platform_id, specs, now).await
}

async fn open_new(
    conn: &mut PgConnection,
    platform_id: i32,
    specs: BatchSpecs,
    now: DateTime<Utc>,
) -> Result<(Uuid, String), sqlx::Error> {
    // Names are given one at a time, over all platforms.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('worker.batches', 0))")
        .fetch_one(&mut *conn)
        .await?;
    let closes_at = now + TimeDelta::seconds(specs.age_s.get().into());
    let new = sqlx::query!(
        r#"insert into worker.batches
               (platform_id, opened_at, name, max_releases, max_bytes, closes_at)
           select $1, at, to_char(at at time zone 'UTC', 'YYYYMMDDHH24MISSMS'), $3, $4, $5
           from (select greatest(date_trunc('milliseconds', $2::timestamptz),
                                 (select max(opened_at) + interval '1 millisecond'
                                  from worker.batches)) as at) as stamp
           returning id, name"#,
        platform_id,
        now,
        i32::from(specs.releases.get()),
        i64::try_from(specs.bytes.get()).unwrap_or(i64::MAX),
        closes_at,
    )
    .fetch_one(&mut *conn)
    .await?;
    wake_closing(conn, new.id, platform_id, closes_at).await?;
    tracing::debug!(
        platform.id = platform_id,
        batch.name = new.name,
        "a batch is open"
    );
    Ok((new.id, new.name))
}

async fn stop_taking_in(
    conn: &mut PgConnection,
    batch: Uuid,
    platform_id: i32,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update worker.batches set state = 'closing', closes_at = least(closes_at, $2)
           where id = $1 and state = 'open'"#,
        batch,
        now,
    )
    .execute(&mut *conn)
    .await?;
    wake_closing(conn, batch, platform_id, now).await
}

/// Has the batch closed at this time, or looked at whether it can be.
async fn wake_closing(
    conn: &mut PgConnection,
    batch: Uuid,
    platform_id: i32,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let key = format!("close_batch/{batch}");
    if job::wake(conn, &key, at).await? {
        return Ok(());
    }
    let job = NewJob::new(deliver_queue(platform_id), &CloseBatch { batch }, at)
        .map_err(|error| sqlx::Error::Encode(error.into()))?
        .priority(PRIORITY_BATCH)
        .unique(key);
    queue::enqueue(conn, &[job]).await?;
    Ok(())
}

/// The attempt of a delivery with a place has come to its end, whatever that was: the batch may have
/// waited for it.
pub(super) async fn attempt_ended(
    conn: &mut PgConnection,
    place: &Place,
    platform_id: i32,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let is_closing = sqlx::query_scalar!(
        r#"select state = 'closing' as "is_closing!" from worker.batches where id = $1"#,
        place.batch
    )
    .fetch_optional(&mut *conn)
    .await?;
    match is_closing {
        Some(true) => wake_closing(conn, place.batch, platform_id, now).await,
        _ => Ok(()),
    }
}

/// The delivery is to be in its batch no more. False: it is settled what is in that.
pub(super) async fn leave(
    conn: &mut PgConnection,
    delivery: &Delivery,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    lock_platform(conn, delivery.platform_id).await?;
    let left = sqlx::query!(
        r#"update worker.batch_releases s set left_at = $3
           from worker.batches b
           where b.id = s.batch_id and b.state in ('open', 'closing')
             and s.delivery_id = $1 and s.transmission = $2 and s.left_at is null"#,
        delivery.id,
        number(delivery.transmission),
        now,
    )
    .execute(conn)
    .await?;
    Ok(left.rows_affected() > 0)
}

/// The batch that the delivery lies in is closed now instead of later. False: it is being closed.
pub(super) async fn close_soon(
    conn: &mut PgConnection,
    delivery: &Delivery,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    lock_platform(conn, delivery.platform_id).await?;
    let open = sqlx::query_scalar!(
        r#"select b.id from worker.batch_releases s join worker.batches b on b.id = s.batch_id
           where s.delivery_id = $1 and s.transmission = $2 and s.left_at is null
             and b.state = 'open'"#,
        delivery.id,
        number(delivery.transmission),
    )
    .fetch_optional(&mut *conn)
    .await?;
    match open {
        Some(batch) => {
            stop_taking_in(conn, batch, delivery.platform_id, now).await?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// A transmission that was in a batch: of which delivery, and of which release there.
pub(super) struct Member {
    pub(super) delivery: Uuid,
    pub(super) transmission: u32,
    pub(super) release_key: String,
}

/// What was in a batch of the platform, by the batch's id at the partner.
pub(super) async fn members_of(
    conn: &mut PgConnection,
    platform_id: i32,
    name: &str,
) -> Result<Vec<Member>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.delivery_id, s.transmission, s.release_key
           from worker.batches b join worker.batch_releases s on s.batch_id = b.id
           where b.name = $2 and b.platform_id = $1 and s.left_at is null
           order by s.delivery_id"#,
        platform_id,
        name,
    )
    .fetch_all(conn)
    .await?;
    let members = rows.into_iter().map(|row| Member {
        delivery: row.delivery_id,
        transmission: row.transmission.unsigned_abs(),
        release_key: row.release_key,
    });
    Ok(members.collect())
}

fn number(transmission: u32) -> i32 {
    i32::try_from(transmission).unwrap_or(i32::MAX)
}
