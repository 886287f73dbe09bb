//! Writing down what happened to a delivery: its row, its job, the distribution record, the
//! schedules that wait for it and the evidence, all in the caller's transaction.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use platform_adapters::{
    Evidence, Fault, FaultClass, Receipt,
    package::{Package, PackagedFile},
};
use sqlx::PgConnection;

use super::{
    Event, Next, Refused, State, deliver_queue, job, notices,
    record::{self, Written},
    row::Delivery,
    short_notice::ShortNotice,
    trace, transition,
};
use crate::{
    database::storable,
    notification::{self, Audience},
    queue::{self, Lease, Outcome},
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
    /// The last step that is certain, in the words of whoever met the fault.
    pub(super) last_step: Option<&'a str>,
    /// It has been failing for longer than operators are to be left in the dark.
    pub(super) late: Option<Late>,
    /// The partner has been silent for longer than it said it would need.
    pub(super) is_silent: bool,
    /// It was handed over with less time to the street date than the partner wants.
    pub(super) short_notice: Option<ShortNotice>,
    /// When it is given up, where that is not fixed yet.
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// Who wants to be told, where that is known.
    pub(super) audience: Option<&'a Audience>,
}

/// A delivery that fails for long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    /// The partner is down since then: that is told once, whichever delivery was the probe.
    pub(super) outage_since: Option<DateTime<Utc>>,
}

impl Happened<'_> {
    /// What was sent or received and belongs to it.
    fn evidence(&self) -> &[Evidence] {
        self.receipt
            .map(|receipt| receipt.evidence.as_slice())
            .or(self.fault.map(|fault| fault.evidence.as_slice()))
            .unwrap_or_default()
    }
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
/// Without one, the delivery's job follows where it waits; its caller has locked it before the
/// delivery, as an attempt does.
pub(super) async fn apply(
    conn: &mut PgConnection,
    delivery: &mut Delivery,
    event: Event,
    happened: &Happened<'_>,
    lease: Option<&Lease>,
    now: DateTime<Utc>,
) -> Result<State, OutcomeError> {
    let (state, next) = transition(delivery.state, event)?;
    let told = happened.receipt.map(storable_receipt);
    if let Some(lease) = lease
        && let Some(outcome) = job_outcome(state, next, happened.fault, now)
        && !queue::settle(conn, lease, &outcome, now).await?
    {
        return Err(OutcomeError::LeaseLost);
    }
    // The queue's row before the delivery's, as the circuit takes them.
    if happened
        .fault
        .is_some_and(|fault| fault.class() == FaultClass::Configuration)
    {
        pause_platform(conn, delivery, happened.fault, now).await?;
    }
    let ended_attempt = happened.ends_attempt.then_some(delivery.attempts);
    if matches!(next, Next::Deliver { counts: false, .. }) && happened.ends_attempt {
        delivery.attempts = (delivery.attempts - 1).max(0);
    }
    let next_attempt_at = match next {
        Next::Deliver { wait, .. } => Some(after(now, wait)),
        _ => None,
    };
    let before = std::mem::replace(&mut delivery.state, state);
    let written = Written {
        begun: None,
        receipt: told.as_ref(),
        fault: happened.fault,
        next_attempt_at,
        attempt: ended_attempt,
        fingerprint: happened.fingerprint,
        snapshot: happened.package.map(|package| &package.release),
        is_answered: happened.is_answered,
        last_step: happened.last_step,
        expires_at: happened.expires_at,
    };
    // Since the delivery's row is locked, nobody begins to wait for it unseen.
    let is_newest = record::write(conn, delivery, state, &written, now).await?;
    keep(conn, delivery, happened.package, happened.evidence(), now).await?;
    follow_with_jobs(conn, delivery, next, happened, lease.is_some(), now).await?;
    if !is_newest && (state.is_decided() || state == State::Sent) {
        job::wake_later(conn, delivery, now).await?;
    }
    notices::raise(conn, delivery, before, event, next, happened, now).await?;
    if state.is_decided() {
        decide_schedules(conn, delivery, happened, now).await?;
        trace::decided(delivery, state, now);
    }
    Ok(state)
}

/// The delivery's jobs go where it has gone. `is_leased`: its own has been settled.
async fn follow_with_jobs(
    conn: &mut PgConnection,
    delivery: &Delivery,
    next: Next,
    happened: &Happened<'_>,
    is_leased: bool,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let state = delivery.state;
    if !is_leased {
        job::follow(conn, delivery, state, next, now).await?;
    }
    if next == Next::Confirm {
        job::enqueue_confirm(conn, delivery, after(now, happened.ask_after)).await?;
    }
    Ok(())
}

/// Tells the schedules that wait for the delivery, which is decided.
async fn decide_schedules(
    conn: &mut PgConnection,
    delivery: &Delivery,
    happened: &Happened<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let failure = happened.fault.map(|fault| schedule::Failure {
        code: fault.code.as_str(),
        message: record::sentence(delivery, fault),
        attempts: delivery.attempts,
    });
    let is_accepted = delivery.state == State::Accepted;
    let unknown = Audience::default();
    let audience = happened.audience.unwrap_or(&unknown);
    let failure = failure.as_ref();
    schedule::decide(conn, delivery.id, is_accepted, failure, audience, now).await
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

/// A receipt as the database can hold it, without its evidence, which is kept apart.
fn storable_receipt(receipt: &Receipt) -> Receipt {
    let kept = |text: &Option<String>| text.as_deref().map(|text| storable(text).into_owned());
    Receipt {
        partner_release_id: kept(&receipt.partner_release_id),
        url: kept(&receipt.url),
        message_id: kept(&receipt.message_id),
        remote_path: kept(&receipt.remote_path),
        confirmed: storable(&receipt.confirmed).into_owned(),
        is_final: receipt.is_final,
        stated: receipt.stated.clone(),
        evidence: Vec::new(),
    }
}

pub(super) async fn keep_evidence(
    conn: &mut PgConnection,
    delivery: &Delivery,
    evidence: &[Evidence],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    keep(conn, delivery, None, evidence, now).await
}

/// Keeps the files as packaged for this transmission, where a later attempt's replace an earlier one's,
/// and what was sent or received.
async fn keep(
    conn: &mut PgConnection,
    delivery: &Delivery,
    package: Option<&Package>,
    evidence: &[Evidence],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let files: Vec<_> = package.into_iter().flat_map(Package::files).collect();
    if files.is_empty() && evidence.is_empty() {
        return Ok(());
    }
    let positions: Vec<i16> = (1..).take(files.len()).collect();
    let sizes: Vec<i64> = files
        .iter()
        .map(|file| i64::try_from(file.size).unwrap_or(i64::MAX))
        .collect();
    let file =
        |of: fn(&PackagedFile) -> &str| files.iter().map(|file| of(file)).collect::<Vec<_>>();
    let names: Vec<_> = evidence.iter().map(|kept| storable(&kept.name)).collect();
    let types: Vec<&str> = evidence
        .iter()
        .map(|kept| kept.media_type.as_str())
        .collect();
    let bodies: Vec<&[u8]> = evidence.iter().map(|kept| kept.body.as_slice()).collect();
    sqlx::query!(
        r#"with evidence as (
               insert into worker.evidence
                   (delivery_id, transmission, attempt, name, media_type, body, created_at)
               select $1, $2, $3, name, media_type, body, $4
               from unnest($5::text[], $6::text[], $7::bytea[]) as kept(name, media_type, body)
           )
           insert into worker.delivery_files
               (delivery_id, transmission, position, name, path, size, sha256, md5)
           select $1, $2, * from unnest($8::smallint[], $9::text[], $10::text[], $11::bigint[],
                                        $12::text[], $13::text[])
           on conflict (delivery_id, transmission, position) do update set
               name = excluded.name, path = excluded.path, size = excluded.size,
               sha256 = excluded.sha256, md5 = excluded.md5"#,
        delivery.id,
        i32::try_from(delivery.transmission).unwrap_or(i32::MAX),
        delivery.attempts,
        now,
        &names as _,
        &types as _,
        &bodies as _,
        &positions,
        &file(|file| &file.name) as _,
        &file(|file| file.path.as_ref()) as _,
        &sizes,
        &file(|file| &file.sha256) as _,
        &file(|file| &file.md5) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Settings that are wrong for one delivery are wrong for all: the platform's queue waits until an
/// operator resumes it.
pub(super) async fn pause_platform(
    conn: &mut PgConnection,
    delivery: &Delivery,
    fault: Option<&Fault>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let reason =
        fault.map(|fault| storable(&format!("{}: {}", fault.code, fault.message)).into_owned());
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
