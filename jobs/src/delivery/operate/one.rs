//! One operation on one delivery.

use chrono::{DateTime, Utc};
use platform_adapters::{Evidence, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    audit::{self, By, Change},
    delivery::{
        Event, PRIORITY_EXPEDITED, State, batch, job,
        outcome::{self, Happened, OutcomeError, keep_evidence},
        read::version,
        row::{self, Delivery},
    },
    queue,
};

/// What an operator can do to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// No attempts until it is released.
    Hold,
    /// Held no longer.
    Release,
    /// Call it off. While an attempt is under way it is stopped, and then looked whether the
    /// partner has it already.
    Cancel,
    /// Do not wait for the next attempt, for its batch to fill, or the next question to the partner.
    Retry,
    /// Hand it over once more, as a new transmission.
    Redeliver,
    /// Before the other deliveries to its platform.
    Expedite,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Hold,
        Self::Release,
        Self::Cancel,
        Self::Retry,
        Self::Redeliver,
        Self::Expedite,
    ];

    /// The operation that a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.action().trim_start_matches("delivery.")
    }

    /// The action's name in the audit.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::Hold => "delivery.hold",
            Self::Release => "delivery.release",
            Self::Cancel => "delivery.cancel",
            Self::Retry => "delivery.retry",
            Self::Redeliver => "delivery.redeliver",
            Self::Expedite => "delivery.expedite",
        }
    }

    /// The states in which it can be done.
    #[must_use]
    pub fn states(self) -> &'static [State] {
        use State::{
            Accepted, Batched, Failed, Held, Queued, Rejected, Retrying, Sending, Sent, Unknown,
        };
        match self {
            Self::Hold => &[Queued, Retrying, Unknown],
            Self::Release => &[Held],
            Self::Cancel => &[Queued, Sending, Batched, Retrying, Unknown, Held],
            Self::Retry => &[Queued, Batched, Retrying, Unknown, Sent],
            Self::Redeliver => &[Accepted, Rejected, Failed],
            Self::Expedite => &[Queued, Retrying, Unknown, Held],
        }
    }

    fn event(self) -> Option<Event> {
        match self {
            Self::Hold => Some(Event::Hold),
            Self::Release => Some(Event::Release),
            Self::Cancel => Some(Event::Cancel),
            Self::Retry => Some(Event::RetryNow),
            Self::Redeliver => Some(Event::Redeliver),
            Self::Expedite => None,
        }
    }
}

/// What an operation came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operated {
    /// Done; the delivery is now in this state.
    Changed(&'static str),
    /// An attempt is under way and is being stopped; what it left at the partner decides.
    Stopping,
    /// It cannot be done, for this reason. Nothing has changed.
    Refused(String),
}

/// Does something to a delivery. `None`: there is no such delivery.
///
/// # Errors
/// The database's; then nothing has changed.
pub async fn operate(
    pool: &PgPool,
    id: Uuid,
    operation: Operation,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Operated>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let operated = operate_in(&mut tx, id, operation, by, now).await?;
    tx.commit().await?;
    Ok(operated)
}

/// The delivery is not as whoever asks has seen it; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale;

/// Does something to a delivery if it still is in this [version](crate::delivery::Listed::version).
///
/// # Errors
/// The database's; then nothing has changed.
pub async fn operate_if(
    pool: &PgPool,
    id: Uuid,
    seen: &str,
    operation: Operation,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Result<Option<Operated>, Stale>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    // In the order in which everybody locks them.
    job::lock(&mut tx, id).await?;
    let found = sqlx::query!(
        "select state, transmission, updated_at from worker.deliveries where id = $1 for update",
        id
    )
    .fetch_optional(&mut *tx)
    .await?;
    match found {
        None => return Ok(Ok(None)),
        Some(row) if version(&row.state, row.transmission, row.updated_at) != seen => {
            return Ok(Err(Stale));
        }
        Some(_) => {}
    }
    let operated = operate_in(&mut tx, id, operation, by, now).await?;
    tx.commit().await?;
    Ok(Ok(operated))
}

/// [`operate`] in the caller's transaction.
pub(super) async fn operate_in(
    conn: &mut PgConnection,
    id: Uuid,
    operation: Operation,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Operated>, sqlx::Error> {
    let held_job = job::lock(conn, id).await?;
    let Some(mut delivery) = row::lock(conn, id).await? else {
        return Ok(None);
    };
    let before = shown(&delivery);
    if !operation.states().contains(&delivery.state) {
        return Ok(Some(Operated::Refused(refusal(operation, delivery.state))));
    }
    let (operated, after) = match operation.event() {
        None => match job::expedite(conn, id, PRIORITY_EXPEDITED).await? {
            Some(priority) => {
                let change = Change {
                    action: operation.action(),
                    object_kind: "delivery",
                    object_id: id.to_string(),
                    before: Some(json!({"priority": priority})),
                    after: Some(json!({"priority": PRIORITY_EXPEDITED})),
                };
                audit::record(conn, by, &change, now).await?;
                return Ok(Some(Operated::Changed(delivery.state.as_str())));
            }
            None => {
                return Ok(Some(Operated::Refused(
                    "it goes first already, or has just been begun".into(),
                )));
            }
        },
        Some(_) if operation == Operation::Cancel && delivery.state == State::Sending => {
            if delivery.is_called_off {
                return Ok(Some(Operated::Refused(
                    "it is being stopped already".into(),
                )));
            }
            stop(conn, &delivery, held_job, now).await?;
            let after = json!({
                "state": delivery.state.as_str(), "transmission": delivery.transmission,
                "cancel_requested": true,
            });
            (Operated::Stopping, after)
        }
        Some(_) if !reaches_batch(conn, operation, &delivery, now).await? => {
            return Ok(Some(Operated::Refused(match operation {
                Operation::Cancel => "its batch is being closed; take it down instead".into(),
                _ => "its batch is being closed".into(),
            })));
        }
        Some(event) => {
            if operation == Operation::Redeliver {
                if is_superseded(conn, &delivery).await? {
                    return Ok(Some(Operated::Refused(
                        "there is a later delivery of this release to this platform; redeliver that one"
                            .into(),
                    )));
                }
                retransmit(conn, &mut delivery, Wanted::Everything, now).await?;
            }
            match apply(conn, &mut delivery, event, &Happened::default(), now).await {
                Ok(state) => (Operated::Changed(state.as_str()), shown(&delivery)),
                Err(OutcomeError::Database(error)) => return Err(error),
                Err(refused) => return Ok(Some(Operated::Refused(refused.to_string()))),
            }
        }
    };
    let change = Change {
        action: operation.action(),
        object_kind: "delivery",
        object_id: id.to_string(),
        before: Some(before),
        after: Some(after),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(Some(operated))
}

/// Does to the batch of a delivery that lies in one what the operation asks for. False: it is too late.
async fn reaches_batch(
    conn: &mut PgConnection,
    operation: Operation,
    delivery: &Delivery,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    match (delivery.state, operation) {
        (State::Batched, Operation::Cancel) => batch::leave(conn, delivery, now).await,
        (State::Batched, Operation::Retry) => batch::close_soon(conn, delivery, now).await,
        _ => Ok(true),
    }
}

/// What of a delivery an operation changes.
fn shown(delivery: &Delivery) -> Value {
    json!({"state": delivery.state.as_str(), "transmission": delivery.transmission})
}

/// Applies a word from outside. Where it sets the delivery going, the limits count anew.
pub(in crate::delivery) async fn apply(
    conn: &mut PgConnection,
    delivery: &mut Delivery,
    event: Event,
    happened: &Happened<'_>,
    now: DateTime<Utc>,
) -> Result<State, OutcomeError> {
    let state = outcome::apply(conn, delivery, event, happened, None, now).await?;
    if state == State::Queued {
        begin_anew(conn, delivery.id).await?;
    }
    Ok(state)
}

/// A person set the delivery going: its limits count from here.
pub(in crate::delivery) async fn begin_anew(
    conn: &mut PgConnection,
    id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update worker.deliveries
           set attempts_before = attempts, expires_at = null, cancel_requested_at = null
           where id = $1"#,
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has the attempt under way stopped. Only when its handler has ended does the delivery go on, with
/// a look at the partner.
async fn stop(
    conn: &mut PgConnection,
    delivery: &Delivery,
    held_job: Option<job::DeliverJob>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update worker.deliveries set cancel_requested_at = $2, updated_at = $2 where id = $1",
        delivery.id,
        now,
    )
    .execute(&mut *conn)
    .await?;
    match held_job {
        Some(job) if job.is_running => {
            queue::cancel_running(conn, job.id, now).await?;
        }
        // It waits for its next attempt, which finds that it was called off.
        Some(_) => {}
        None => {
            let (platform_id, kind) = (delivery.platform_id, delivery.kind);
            job::enqueue_deliver(conn, delivery.id, platform_id, kind, now).await?;
        }
    }
    Ok(())
}

async fn is_superseded(conn: &mut PgConnection, delivery: &Delivery) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from worker.deliveries
                          where release_id = $1 and platform_id = $2 and revision > $3) as "later!""#,
        delivery.release_id,
        delivery.platform_id,
        i32::try_from(delivery.revision).unwrap_or(i32::MAX),
    )
    .fetch_one(conn)
    .await
}

/// Begins a further transmission. What the partner gave for the one before stays as evidence.
pub(in crate::delivery) async fn retransmit(
    conn: &mut PgConnection,
    delivery: &mut Delivery,
    wanted: Wanted,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    delivery.resend_of = None;
    if let Some(receipt) = delivery.receipt.take() {
        let body = serde_json::to_vec_pretty(&receipt)
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        let kept = Evidence {
            name: format!("receipt-t{}.json", delivery.transmission),
            media_type: "application/json".into(),
            body,
        };
        keep_evidence(conn, delivery, &[kept], now).await?;
        if wanted == Wanted::MessageAlone {
            delivery.resend_of = receipt.stated;
        }
    }
    delivery.transmission += 1;
    delivery.was_accepted |= delivery.state == State::Accepted;
    (delivery.started_at, delivery.sent_at, delivery.expires_at) = (None, None, None);
    // What became of the transmission before is no question of this one.
    delivery.unknown = None;
    sqlx::query!(
        r#"update worker.deliveries
           set transmission = $2, was_accepted = $3, receipt = null, started_at = null,
               sent_at = null, unknown_since = null, unknown_reason = null, resend_of = $4
           where id = $1"#,
        delivery.id,
        i32::try_from(delivery.transmission).unwrap_or(i32::MAX),
        delivery.was_accepted,
        delivery.resend_of,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Why an operation cannot be done in a state, and what can.
fn refusal(operation: Operation, state: State) -> String {
    let instead = match (operation, state) {
        (Operation::Cancel, State::Sent | State::Accepted) => "take it down instead",
        (Operation::Cancel, _) => "there is nothing left to call off",
        (Operation::Hold, State::Sending) => "cancel it, or hold its platform",
        (Operation::Hold, State::Batched) => "cancel it, or hold its platform",
        (Operation::Retry, State::Held) => "release it instead",
        (Operation::Retry, State::Accepted | State::Rejected | State::Failed) => {
            "redeliver it instead"
        }
        (Operation::Redeliver, State::Canceled) => "schedule the release again",
        (Operation::Redeliver, _) => "it is still on its way",
        (_, _) => "nothing was changed",
    };
    format!("it is {state}; {instead}")
}
