//! Writing down what happened to a delivery: its row, its job, the distribution record, the
//! schedules that wait for it and the evidence, all in the caller's transaction.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use platform_adapters::{Evidence, Fault, FaultClass, Receipt, package::Package};
use sqlx::{PgConnection, types::Json};

use super::{
    Confirm, Event, Next, Refused, State, confirm_queue, deliver_queue, notices,
    record::{self, Shown, storable},
    row::Delivery,
    transition,
};
use crate::{
    notification,
    queue::{self, Lease, NewJob, Outcome},
    schedule,
};

/// What happened, with all that is to be kept of it.
#[derive(Default)]
pub(super) struct Happened<'a> {
    pub(super) fault: Option<&'a Fault>,
    pub(super) receipt: Option<&'a Receipt>,
    pub(super) package: Option<&'a Package>,
    pub(super) fingerprint: Option<&'a str>,
    /// How long to wait before the partner is asked the first time.
    pub(super) ask_after: Duration,
    /// The event ends an attempt to deliver, which goes into the record's history.
    pub(super) ends_attempt: bool,
    /// It is known what became of every earlier attempt.
    pub(super) is_answered: bool,
    /// It has been failing for longer than operators are to be left in the dark.
    pub(super) is_late: bool,
    /// The partner has been silent for longer than it said it would need.
    pub(super) is_silent: bool,
    /// When it is given up, where the platform's settings say so.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// Why an outcome could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutcomeError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the lease is lost; somebody else has the delivery")]
    LeaseLost,
}

/// Applies an event to a delivery. With a lease, its job is settled too, or nothing at all happens.
pub(super) async fn apply(
    conn: &mut PgConnection,
    delivery: &mut Delivery,
    event: Event,
    happened: &Happened<'_>,
    lease: Option<&Lease>,
    now: DateTime<Utc>,
) -> Result<State, OutcomeError> {
    let (state, next) = transition(delivery.state, event)?;
    if let Some(lease) = lease
        && let Some(outcome) = job_outcome(state, next, happened.fault, now)
        && !queue::settle(conn, lease, &outcome, now).await?
    {
        return Err(OutcomeError::LeaseLost);
    }
    let ended_attempt = happened.ends_attempt.then_some(delivery.attempts);
    if matches!(next, Next::Deliver { counts: false, .. }) && happened.ends_attempt {
        delivery.attempts = (delivery.attempts - 1).max(0);
    }
    let next_attempt_at = match next {
        Next::Deliver { wait, .. } => Some(after(now, wait)),
        _ => None,
    };
    write_row(conn, delivery, state, next_attempt_at, happened, now).await?;
    let before = std::mem::replace(&mut delivery.state, state);
    let receipt = happened.receipt.or(delivery.receipt.as_ref());
    let shown = Shown {
        state,
        receipt,
        fault: happened.fault,
        next_attempt_at,
        attempt: ended_attempt,
    };
    record::show(conn, delivery, &shown, now).await?;
    if let Some(package) = happened.package {
        keep_files(conn, delivery, package).await?;
    }
    let evidence = happened
        .receipt
        .map(|receipt| receipt.evidence.as_slice())
        .or(happened.fault.map(|fault| fault.evidence.as_slice()))
        .unwrap_or_default();
    keep_evidence(conn, delivery, evidence, now).await?;
    if next == Next::Confirm {
        enqueue_confirm(conn, delivery, after(now, happened.ask_after)).await?;
    }
    if happened
        .fault
        .is_some_and(|fault| fault.class() == FaultClass::Configuration)
    {
        pause_platform(conn, delivery, happened.fault, now).await?;
    }
    notices::raise(conn, delivery, before, event, next, happened, now).await?;
    if state.is_decided() {
        let failure = happened.fault.map(|fault| schedule::Failure {
            code: fault.code.as_str(),
            message: record::sentence(delivery, fault),
            attempts: delivery.attempts,
        });
        schedule::decide(
            conn,
            delivery.id,
            state == State::Accepted,
            failure.as_ref(),
            now,
        )
        .await?;
    }
    Ok(state)
}

/// What becomes of the job; `None`: its lease goes on.
fn job_outcome(
    state: State,
    next: Next,
    fault: Option<&Fault>,
    now: DateTime<Utc>,
) -> Option<Outcome> {
    let code = fault.map_or_else(|| "none".to_owned(), |fault| fault.code.as_str().to_owned());
    let message = fault.map_or_else(String::new, |fault| fault.message.clone());
    Some(match next {
        Next::Nothing => return None,
        Next::Finish if matches!(state, State::Failed | State::Rejected) => {
            Outcome::Dead { code, message }
        }
        Next::Finish if state == State::Canceled => Outcome::Canceled,
        Next::Finish | Next::Confirm => Outcome::Completed,
        Next::Deliver { wait, counts: true } => Outcome::Retry {
            at: after(now, wait),
            code,
            message,
        },
        Next::Deliver {
            wait,
            counts: false,
        }
        | Next::AskAgain { wait } => Outcome::Snooze {
            at: after(now, wait),
            code,
            message,
        },
        Next::Hold => Outcome::Held { code, message },
    })
}

/// `now` and a wait; the end of time where that is too far.
pub(super) fn after(now: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(wait)
        .ok()
        .and_then(|wait| now.checked_add_signed(wait))
        .unwrap_or(now)
}

async fn write_row(
    conn: &mut PgConnection,
    delivery: &Delivery,
    state: State,
    next_attempt_at: Option<DateTime<Utc>>,
    happened: &Happened<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let fault = happened.fault;
    sqlx::query!(
        r#"update worker.deliveries set
               state = $2,
               attempts = $3,
               next_attempt_at = $4,
               receipt = coalesce($5, receipt),
               fingerprint = coalesce($6, fingerprint),
               fault_code = $7, fault_message = $8, fault_remedy = $9,
               sent_at = case when $2 in ('sent', 'accepted') then coalesce(sent_at, $10) else sent_at end,
               decided_at = case when $11 then $10 end,
               unknown_since = case
                   when $2 = 'unknown' then case when $12 then $10 else coalesce(unknown_since, $10) end
                   when $12 or $2 in ('sent', 'accepted', 'rejected') then null
                   else unknown_since end,
               unknown_reason = case
                   when $2 = 'unknown' then case when $12 then $8 else coalesce(unknown_reason, $8) end
                   when $12 or $2 in ('sent', 'accepted', 'rejected') then null
                   else unknown_reason end,
               expires_at = coalesce($13, expires_at),
               updated_at = $10
           where id = $1"#,
        delivery.id,
        state.as_str(),
        delivery.attempts,
        next_attempt_at,
        happened.receipt.map(Json) as Option<Json<&Receipt>>,
        happened.fingerprint,
        fault.map(|fault| fault.code.as_str()),
        fault.map(|fault| storable(&fault.message)),
        fault.map(|fault| storable(fault.remedy())),
        now,
        state.is_decided(),
        happened.is_answered,
        happened.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The files as packaged for this transmission; a later attempt's replace an earlier one's.
async fn keep_files(
    conn: &mut PgConnection,
    delivery: &Delivery,
    package: &Package,
) -> Result<(), sqlx::Error> {
    let files: Vec<_> = package.files().collect();
    let positions: Vec<i16> = (1..).take(files.len()).collect();
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_ref()).collect();
    let sizes: Vec<i64> = files
        .iter()
        .map(|file| i64::try_from(file.size).unwrap_or(i64::MAX))
        .collect();
    let sha256: Vec<&str> = files.iter().map(|file| file.sha256.as_str()).collect();
    let md5: Vec<&str> = files.iter().map(|file| file.md5.as_str()).collect();
    sqlx::query!(
        r#"insert into worker.delivery_files
               (delivery_id, transmission, position, name, path, size, sha256, md5)
           select $1, $2, * from unnest($3::smallint[], $4::text[], $5::text[], $6::bigint[],
                                        $7::text[], $8::text[])
           on conflict (delivery_id, transmission, position) do update set
               name = excluded.name, path = excluded.path, size = excluded.size,
               sha256 = excluded.sha256, md5 = excluded.md5"#,
        delivery.id,
        i32::try_from(delivery.transmission).unwrap_or(i32::MAX),
        &positions,
        &names as _,
        &paths as _,
        &sizes,
        &sha256 as _,
        &md5 as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn keep_evidence(
    conn: &mut PgConnection,
    delivery: &Delivery,
    evidence: &[Evidence],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if evidence.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = evidence.iter().map(|kept| storable(&kept.name)).collect();
    let types: Vec<&str> = evidence
        .iter()
        .map(|kept| kept.media_type.as_str())
        .collect();
    let bodies: Vec<&[u8]> = evidence.iter().map(|kept| kept.body.as_slice()).collect();
    sqlx::query!(
        r#"insert into worker.evidence
               (delivery_id, transmission, attempt, name, media_type, body, created_at)
           select $1, $2, $3, name, media_type, body, $4
           from unnest($5::text[], $6::text[], $7::bytea[]) as kept(name, media_type, body)"#,
        delivery.id,
        i32::try_from(delivery.transmission).unwrap_or(i32::MAX),
        delivery.attempts,
        now,
        &names,
        &types as _,
        &bodies as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn enqueue_confirm(
    conn: &mut PgConnection,
    delivery: &Delivery,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let job = NewJob::new(
        confirm_queue(delivery.platform_id),
        &Confirm {
            delivery: delivery.id,
        },
        at,
    )
    .map_err(|error| sqlx::Error::Encode(error.into()))?
    .unique(format!("confirm/{}", delivery.id));
    queue::enqueue(conn, &[job]).await?;
    Ok(())
}

/// Settings that are wrong for one delivery are wrong for all: the platform's queue waits until an
/// operator resumes it.
async fn pause_platform(
    conn: &mut PgConnection,
    delivery: &Delivery,
    fault: Option<&Fault>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let reason = fault.map(|fault| storable(&format!("{}: {}", fault.code, fault.message)));
    let paused = sqlx::query!(
        r#"insert into worker.queues (name, paused_at, paused_reason, updated_at)
           values ($1, $2, $3, $2)
           on conflict (name) do update
               set paused_at = $2, paused_reason = excluded.paused_reason, updated_at = $2
               where queues.paused_at is null"#,
        deliver_queue(delivery.platform_id),
        now,
        reason,
    )
    .execute(&mut *conn)
    .await?;
    if let (1.., Some(reason)) = (paused.rows_affected(), &reason) {
        let remedy = fault.map_or("", Fault::remedy);
        let notice = notices::platform_paused(delivery, reason, remedy);
        notification::raise(conn, &[notice], now).await?;
    }
    Ok(())
}
