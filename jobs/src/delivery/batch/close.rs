//! The job that closes a batch: when it is full, big or old enough it takes no more in, waits for what
//! is on its way, settles what is in it, and tells the partner last of all, once. Cut off at any point
//! it goes on where it was: the batch's row says how far it had come, the partner the rest.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use platform_adapters::{
    Batch, BatchEntry, BatchFound, BatchReceipt, Code, Fault, FaultClass, Receipt,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    super::{
        Event, Services, State,
        adapters::Known,
        begin,
        load::platform_row,
        notices,
        outcome::{self, Happened, OutcomeError, after},
        partner,
        row::{self, Delivery},
    },
    lock_platform,
};
use crate::{
    database::storable,
    queue::{self, Done, Job, JobFault, Lease, Outcome},
};

/// The longest wait before a batch that could not be closed is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// The longest wait before it is looked again whether uploads are over; usually they say so.
const LONGEST_LOOK: TimeDelta = TimeDelta::seconds(60);

/// The job that closes a batch: arguments of kind `close_batch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloseBatch {
    /// `worker.batches.id`.
    pub batch: Uuid,
}

impl Job for CloseBatch {
    type Context = Arc<Services>;
    const KIND: &'static str = "close_batch";
    /// A batch is closed, however long that takes: nothing in it counts before.
    const MAX_ATTEMPTS: i16 = i16::MAX;
    /// A look at each of its messages over a slow line.
    const TIMEOUT: Duration = Duration::from_secs(3600);
    const PREFETCH: bool = false;

    async fn run(self, services: Arc<Services>, lease: Lease) -> Result<Done, JobFault> {
        let sealed = match ready(&services, self.batch).await? {
            Ready::Over => return Ok(Done::Complete),
            Ready::NotYet { at, why } => {
                let outcome = Outcome::Snooze {
                    at,
                    code: "batch_waits".into(),
                    message: why.into(),
                };
                let mut conn = services.pool.acquire().await?;
                queue::settle(&mut conn, &lease, &outcome, (services.clock)()).await?;
                return Ok(Done::Settled);
            }
            Ready::Sealed(sealed) => sealed,
        };
        let mut tx = begin(&services.pool).await?;
        let members = lock_members(&mut tx, sealed.id).await?;
        tx.commit().await?;
        let Some(one) = members.first() else {
            abandon(&services, &sealed).await?;
            return Ok(Done::Complete);
        };
        match close(&services, &sealed, &members).await {
            Ok(Closed::Complete(receipt)) => {
                conclude(&services, &lease, &sealed, one, &receipt).await
            }
            Ok(Closed::Lacking(keys)) => leave_out(&services, &lease, &sealed, &keys).await,
            Err(fault) => faulted(&services, &lease, &sealed, one, &fault).await,
        }
    }
}

/// Whether a batch can be closed.
enum Ready {
    /// It is closed, or there was nothing in it.
    Over,
    NotYet {
        at: DateTime<Utc>,
        why: &'static str,
    },
    Sealed(Sealed),
}

/// A batch of which it is settled what is in it.
struct Sealed {
    id: Uuid,
    name: String,
    sealed_at: DateTime<Utc>,
    /// The partner may have been told that it is complete.
    may_be_complete: bool,
}

async fn ready(services: &Services, id: Uuid) -> Result<Ready, sqlx::Error> {
    let now = (services.clock)();
    let mut tx = begin(&services.pool).await?;
    let platform_id =
        sqlx::query_scalar!("select platform_id from worker.batches where id = $1", id)
            .fetch_optional(&mut *tx)
            .await?;
    let Some(platform_id) = platform_id else {
        return Ok(Ready::Over);
    };
    lock_platform(&mut tx, platform_id).await?;
    let batch = sqlx::query!(
        r#"select name, state, opened_at, closes_at, sealed_at, marker_at is not null as "is_told!"
           from worker.batches where id = $1 for update"#,
        id
    )
    .fetch_one(&mut *tx)
    .await?;
    let sealed_at = match (batch.state.as_str(), batch.sealed_at) {
        ("closed" | "abandoned", _) => return Ok(Ready::Over),
        ("open", _) if batch.closes_at > now => {
            return Ok(Ready::NotYet {
                at: batch.closes_at,
                why: "it is neither full nor old enough",
            });
        }
        ("sealed", Some(at)) => at,
        _ => match seal(&mut tx, id, now).await? {
            Settled::Sealed => now,
            Settled::Abandoned => {
                tx.commit().await?;
                return Ok(Ready::Over);
            }
            Settled::Uploading => {
                tx.commit().await?;
                let since = (now - batch.closes_at).max(TimeDelta::zero());
                let wait = (since / 4).clamp(TimeDelta::seconds(1), LONGEST_LOOK);
                return Ok(Ready::NotYet {
                    at: now + wait,
                    why: "what is on its way into it is waited for",
                });
            }
        },
    };
    tx.commit().await?;
    Ok(Ready::Sealed(Sealed {
        id,
        name: batch.name,
        sealed_at,
        may_be_complete: batch.is_told,
    }))
}

enum Settled {
    Sealed,
    Abandoned,
    Uploading,
}

/// Takes no more in, lets go what does not lie there and is not on its way, and settles what is left.
async fn seal(
    conn: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Settled, sqlx::Error> {
    // First, since who begins after this finds that it has no place here any more.
    let uploading = sqlx::query_scalar!(
        r#"select count(*) as "uploading!"
           from worker.batch_releases s join worker.deliveries d
             on d.id = s.delivery_id and d.transmission = s.transmission and d.state = 'sending'
           where s.batch_id = $1 and s.left_at is null"#,
        id,
    )
    .fetch_one(&mut *conn)
    .await?;
    let stays: &[&str] = match uploading {
        0 => &["batched"],
        _ => &["sending", "batched"],
    };
    sqlx::query!(
        r#"update worker.batch_releases s set left_at = $2
           where s.batch_id = $1 and s.left_at is null and not exists (
               select from worker.deliveries d
               where d.id = s.delivery_id and d.transmission = s.transmission
                 and d.state = any($3))"#,
        id,
        now,
        stays as _,
    )
    .execute(&mut *conn)
    .await?;
    let is_empty = sqlx::query_scalar!(
        r#"select not exists (select from worker.batch_releases
                              where batch_id = $1 and left_at is null) as "is_empty!""#,
        id,
    )
    .fetch_one(&mut *conn)
    .await?;
    let (settled, state) = match (is_empty, uploading) {
        (true, _) => (Settled::Abandoned, "abandoned"),
        (false, 0) => (Settled::Sealed, "sealed"),
        (false, _) => (Settled::Uploading, "closing"),
    };
    sqlx::query!(
        r#"update worker.batches set
               state = $2, closes_at = least(closes_at, $3),
               sealed_at = case when $2 = 'sealed' then $3 end,
               closed_at = case when $2 = 'abandoned' then $3 end
           where id = $1"#,
        id,
        state,
        now,
    )
    .execute(conn)
    .await?;
    Ok(settled)
}

/// What lies in the batch, locked for the rest of the transaction.
async fn lock_members(conn: &mut PgConnection, id: Uuid) -> Result<Vec<Delivery>, sqlx::Error> {
    let places = sqlx::query!(
        r#"select delivery_id, transmission from worker.batch_releases
           where batch_id = $1 and left_at is null order by delivery_id"#,
        id
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut members = Vec::with_capacity(places.len());
    for place in places {
        let member = row::lock(conn, place.delivery_id).await?;
        members.extend(member.filter(|delivery| {
            delivery.state == State::Batched
                && delivery.transmission == place.transmission.unsigned_abs()
        }));
    }
    Ok(members)
}

/// What the attempt to close a batch came to.
enum Closed {
    Complete(BatchReceipt),
    /// These are not there any more, by their keys.
    Lacking(Vec<String>),
}

async fn close(
    services: &Services,
    sealed: &Sealed,
    members: &[Delivery],
) -> Result<Closed, Fault> {
    let unwritable = |error: sqlx::Error| {
        Fault::new(
            Code::WorkerFault,
            format!("the database refused or was away: {error}"),
        )
    };
    let Some(one) = members.first() else {
        return Ok(Closed::Lacking(Vec::new()));
    };
    let mut conn = services.pool.acquire().await.map_err(unwritable)?;
    let row = platform_row(&mut conn, one).await?;
    drop(conn);
    let Known { adapter, .. } = services.adapters.get(&row)?;
    let batch = Batch {
        name: sealed.name.clone(),
        sealed_at: sealed.sealed_at,
        entries: members.iter().map(entry).collect(),
    };
    let manifest = match adapter.survey_batch(&batch).await? {
        BatchFound::Complete(receipt) => return Ok(Closed::Complete(*receipt)),
        // Nobody but the partner takes away what was said to be complete.
        BatchFound::Gone(receipt) if sealed.may_be_complete => {
            return Ok(Closed::Complete(*receipt));
        }
        BatchFound::Gone(_) => {
            let keys = batch.entries.into_iter().map(|entry| entry.key);
            return Ok(Closed::Lacking(keys.collect()));
        }
        BatchFound::Lacking(keys) if !sealed.may_be_complete => return Ok(Closed::Lacking(keys)),
        BatchFound::Lacking(keys) => return Err(lacking(&batch, &keys)),
        BatchFound::Ready(manifest) => manifest,
    };
    sqlx::query!(
        "update worker.batches set marker_at = coalesce(marker_at, $2) where id = $1",
        sealed.id,
        (services.clock)(),
    )
    .execute(&services.pool)
    .await
    .map_err(unwritable)?;
    let receipt = adapter.complete_batch(&batch, manifest).await?;
    Ok(Closed::Complete(receipt))
}

fn entry(delivery: &Delivery) -> BatchEntry {
    BatchEntry {
        key: delivery.handover().key(),
        kind: delivery.kind,
        transmission: delivery.transmission,
        receipt: delivery.receipt.clone().unwrap_or_default(),
    }
}

/// Part of a batch is gone of which the partner may have been told that it is complete.
fn lacking(batch: &Batch, keys: &[String]) -> Fault {
    Fault::new(
        Code::OutcomeUnknown,
        format!(
            "it cannot be known whether batch {} was said to be complete, and {} of its {} releases \
             are not there any more: {}",
            batch.name,
            keys.len(),
            batch.entries.len(),
            keys.join(", ")
        ),
    )
    .with_remedy("Ask the partner whether it is taking the batch; the worker looks again by itself.")
}

/// The partner was told: the deliveries of the batch are sent.
async fn conclude(
    services: &Services,
    lease: &Lease,
    sealed: &Sealed,
    one: &Delivery,
    receipt: &BatchReceipt,
) -> Result<Done, JobFault> {
    let now = (services.clock)();
    let mut tx = begin(&services.pool).await?;
    let recorded = partner::record(&mut tx, services, one, None, now).await?;
    if !queue::settle(&mut tx, lease, &Outcome::Completed, now).await? {
        return Ok(Done::Settled);
    }
    let mut members = lock_members(&mut tx, sealed.id).await?;
    for delivery in &mut members {
        let known = delivery.receipt.clone().unwrap_or_default();
        let told = Receipt {
            confirmed: format!("{}; {}", known.confirmed, receipt.confirmed),
            is_final: receipt.is_final,
            ..known
        };
        let happened = Happened {
            receipt: Some(&told),
            is_answered: true,
            ask_after: services.confirm.first_wait(),
            ..Happened::default()
        };
        let is_final = receipt.is_final;
        apply(
            &mut tx,
            delivery,
            Event::BatchClosed { is_final },
            &happened,
            now,
        )
        .await?;
    }
    let manifest = receipt.manifest.as_ref().map(|kept| kept.body.as_slice());
    sqlx::query!(
        r#"update worker.batches
           set state = 'closed', closed_at = $2, manifest = coalesce($3, manifest), fault = null
           where id = $1"#,
        sealed.id,
        now,
        manifest,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    partner::log(&recorded, one);
    tracing::info!(
        platform.id = one.platform_id,
        batch.name = sealed.name,
        batch.releases = members.len(),
        "{}: {}",
        one.platform_name,
        receipt.confirmed
    );
    Ok(Done::Settled)
}

/// What is not there any more goes on in another batch. Then this one is looked at again.
async fn leave_out(
    services: &Services,
    lease: &Lease,
    sealed: &Sealed,
    keys: &[String],
) -> Result<Done, JobFault> {
    let now = (services.clock)();
    let fault = Fault::new(
        Code::TransferCorrupt,
        format!(
            "it was gone from batch {} before that was complete; it goes into another",
            sealed.name
        ),
    );
    let mut tx = begin(&services.pool).await?;
    let outcome = Outcome::Snooze {
        at: now,
        code: fault.code.as_str().into(),
        message: format!("{} of its releases were gone", keys.len()),
    };
    if !queue::settle(&mut tx, lease, &outcome, now).await? {
        return Ok(Done::Settled);
    }
    for mut delivery in lock_members(&mut tx, sealed.id).await? {
        if !keys.contains(&delivery.handover().key()) {
            continue;
        }
        sqlx::query!(
            r#"update worker.batch_releases set left_at = $3
               where batch_id = $1 and delivery_id = $2 and left_at is null"#,
            sealed.id,
            delivery.id,
            now,
        )
        .execute(&mut *tx)
        .await?;
        // It was no fault of the attempt that laid it there.
        delivery.attempts = (delivery.attempts - 1).max(0);
        let happened = Happened {
            fault: Some(&fault),
            ..Happened::default()
        };
        apply(&mut tx, &mut delivery, Event::LeftOut, &happened, now).await?;
    }
    tx.commit().await?;
    tracing::warn!(
        batch.name = sealed.name,
        "{}: {}",
        fault.message,
        keys.join(", ")
    );
    Ok(Done::Settled)
}

async fn apply(
    conn: &mut PgConnection,
    delivery: &mut Delivery,
    event: Event,
    happened: &Happened<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    match outcome::apply(conn, delivery, event, happened, None, now).await {
        Ok(_) | Err(OutcomeError::Refused(_) | OutcomeError::LeaseLost) => Ok(()),
        Err(OutcomeError::Database(error)) => Err(error),
    }
}

/// Nothing is left in it.
async fn abandon(services: &Services, sealed: &Sealed) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update worker.batches set state = 'abandoned', closed_at = $2
           where id = $1 and state = 'sealed'"#,
        sealed.id,
        (services.clock)(),
    )
    .execute(&services.pool)
    .await?;
    Ok(())
}

/// It could not be closed: it is tried again for as long as it takes, and people are told.
async fn faulted(
    services: &Services,
    lease: &Lease,
    sealed: &Sealed,
    one: &Delivery,
    fault: &Fault,
) -> Result<Done, JobFault> {
    let now = (services.clock)();
    let message = storable(&format!(
        "batch {} of {} could not be closed: {}. {}",
        sealed.name,
        one.platform_name,
        fault.message.trim_end_matches('.'),
        fault.remedy()
    ))
    .into_owned();
    tracing::warn!(
        platform.id = one.platform_id,
        batch.name = sealed.name,
        fault.code = fault.code.as_str(),
        "{message}"
    );
    let wait = services.retry.wait(lease.attempt, (services.random)());
    let wait = services
        .retry
        .asked_wait(fault.retry_after, wait.min(LONGEST_WAIT));
    let mut tx = begin(&services.pool).await?;
    let recorded = partner::record(&mut tx, services, one, Some(fault), now).await?;
    let outcome = Outcome::Retry {
        at: after(now, wait),
        code: fault.code.as_str().into(),
        message: message.clone(),
    };
    if !queue::settle(&mut tx, lease, &outcome, now).await? {
        return Ok(Done::Settled);
    }
    if fault.class() == FaultClass::Configuration {
        outcome::pause_platform(&mut tx, one, Some(fault), now).await?;
    }
    sqlx::query!(
        "update worker.batches set fault = $2 where id = $1",
        sealed.id,
        message,
    )
    .execute(&mut *tx)
    .await?;
    let patience = Duration::from_secs(services.retry.notify_after_s);
    if now >= after(sealed.sealed_at, patience) {
        notices::batch_late(&mut tx, one, &sealed.name, fault, now).await?;
    }
    tx.commit().await?;
    partner::log(&recorded, one);
    Ok(Done::Settled)
}
