//! How an attempt ends: what it came to is written down, with the policy's word on a fault. An
//! outcome that the queue decided is followed here too.

use std::time::Duration;

use chrono::{DateTime, Utc};
use platform_adapters::{Code, Fault, FaultClass};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Event, Services, State,
    attempt::{Begun, Made, Progress},
    batch, deliver_queue, job,
    outcome::{self, Happened, Late, OutcomeError, after},
    partner,
    row::{self, Delivery},
    short_notice::ShortNotice,
    unknown,
};
use crate::{
    catalog::Withheld,
    queue::{self, Done, JobFault, Lease, Outcome, circuit::Recorded},
};

/// Writes down what the attempt came to. Once a package is handed over this is tried until the
/// database takes it or the lease is lost: an outcome that is not written would be asked of the
/// partner again.
pub(super) async fn finish(
    services: &Services,
    begun: &Begun,
    lease: &Lease,
    made: &Made,
    progress: &Progress,
) -> Result<Done, JobFault> {
    let mut failures = 0;
    loop {
        match write(services, begun, lease, made, progress).await {
            Ok(state) => {
                tracing::info!(
                    delivery.id = %begun.delivery.id,
                    delivery.attempt = begun.delivery.attempts,
                    release.id = begun.delivery.release_id,
                    platform.id = begun.delivery.platform_id,
                    "{}: {state}",
                    begun.delivery.name(),
                );
                return Ok(Done::Settled);
            }
            Err(OutcomeError::LeaseLost) => return Ok(Done::Settled),
            Err(OutcomeError::Refused(refused)) => {
                return Err(JobFault::dead("delivery_state", refused.to_string()));
            }
            Err(OutcomeError::Database(error)) => {
                failures += 1;
                let wait = services.retry.database_wait(failures, (services.random)());
                tracing::warn!(
                    delivery.id = %begun.delivery.id,
                    "the outcome could not be written, next try in {wait:?}: {error}"
                );
                tokio::time::sleep(wait).await;
            }
        }
    }
}

async fn write(
    services: &Services,
    begun: &Begun,
    lease: &Lease,
    made: &Made,
    progress: &Progress,
) -> Result<State, OutcomeError> {
    let now = (services.clock)();
    let mut delivery = begun.delivery.clone();
    // Mostly there is nothing to record, and that can be asked for many at once.
    let is_well = matches!(made, Made::HandedOver { .. })
        && services
            .reader
            .is_well(deliver_queue(delivery.platform_id))
            .await?;
    let mut tx = super::begin(&services.pool).await?;
    let recorded = match is_well {
        true => Recorded::default(),
        false => record_partner(&mut tx, services, &delivery, made, progress, now).await?,
    };
    let ended = Happened {
        ends_attempt: true,
        is_answered: progress.is_answered,
        ask_after: services.confirm.first_wait(),
        audience: Some(&services.audience),
        ..Happened::default()
    };
    let package = progress.package.as_deref();
    let judged;
    let (event, happened) = match made {
        Made::HandedOver {
            receipt,
            fingerprint,
        } => {
            let happened = Happened {
                receipt: Some(receipt),
                package,
                fingerprint: Some(fingerprint),
                short_notice: ShortNotice::of(&delivery, package, progress.lead_days, now),
                ..ended
            };
            let is_final = receipt.is_final;
            let event = match progress.place {
                Some(_) => Event::Batched,
                None => Event::HandedOver { is_final },
            };
            (event, happened)
        }
        Made::Unchanged {
            receipt,
            fingerprint,
        } => {
            let happened = Happened {
                receipt: Some(receipt),
                fingerprint: Some(fingerprint),
                ..ended
            };
            (Event::Unchanged, happened)
        }
        Made::CalledOff => (Event::CalledOff, ended),
        Made::Faulted(fault) => {
            let is_hurried = was_just_called_off(&mut tx, &delivery).await?;
            judged = judge(services, begun, progress, is_hurried, fault, &recorded, now);
            let happened = Happened {
                fault: Some(&judged.fault),
                last_step: Some(&fault.message),
                package,
                late: judged.late,
                expires_at: Some(judged.expires_at),
                ..ended
            };
            (judged.event, happened)
        }
    };
    let state = outcome::apply(&mut tx, &mut delivery, event, &happened, Some(lease), now).await?;
    if let Some(place) = &progress.place {
        batch::attempt_ended(&mut tx, place, delivery.platform_id, now).await?;
    }
    tx.commit().await?;
    partner::log(&recorded, &delivery);
    Ok(state)
}

/// Called off since the attempt began: what it came to still counts, but there is no waiting for the
/// look at the partner that decides it.
async fn was_just_called_off(
    conn: &mut PgConnection,
    delivery: &Delivery,
) -> Result<bool, sqlx::Error> {
    if delivery.is_called_off {
        return Ok(false);
    }
    let is_called_off = sqlx::query_scalar!(
        r#"select cancel_requested_at is not null as "is_called_off!" from worker.deliveries
           where id = $1"#,
        delivery.id
    )
    .fetch_optional(conn)
    .await?;
    Ok(is_called_off.unwrap_or(false))
}

/// What the attempt showed of the partner.
async fn record_partner(
    conn: &mut PgConnection,
    services: &Services,
    delivery: &Delivery,
    made: &Made,
    progress: &Progress,
    now: DateTime<Utc>,
) -> Result<Recorded, sqlx::Error> {
    let fault = match made {
        // The partner was not asked, or has no way to answer.
        Made::Unchanged { .. } | Made::CalledOff => return Ok(Recorded::default()),
        Made::Faulted(_) if progress.is_unanswerable => return Ok(Recorded::default()),
        Made::Faulted(fault) => Some(fault),
        Made::HandedOver { .. } => None,
    };
    partner::record(conn, services, delivery, fault, now).await
}

/// A fault with the policy's word on what follows from it.
struct Judged {
    event: Event,
    fault: Fault,
    late: Option<Late>,
    expires_at: DateTime<Utc>,
}

/// While the circuit is open the attempt was a probe: it costs the delivery neither an attempt nor
/// time.
fn judge(
    services: &Services,
    begun: &Begun,
    progress: &Progress,
    is_hurried: bool,
    fault: &Fault,
    recorded: &Recorded,
    now: DateTime<Utc>,
) -> Judged {
    let delivery = &begun.delivery;
    let policy = &progress.policy;
    let attempt = i16::try_from(delivery.attempts - delivery.attempts_before).unwrap_or(i16::MAX);
    let wait = match is_hurried {
        true => Duration::ZERO,
        false => policy.asked_wait(fault.retry_after, policy.wait(attempt, (services.random)())),
    };
    let class = match fault.class() {
        FaultClass::Transient if recorded.before.open.is_some() => FaultClass::Throttled,
        class => class,
    };
    let patience = Duration::from_secs(policy.give_up_after_s);
    let expires_at = delivery
        .expires_at
        .unwrap_or_else(|| after(begun.at, patience));
    let is_open = !progress.is_answered && class != FaultClass::Configuration;
    let is_last = after(now, wait) >= expires_at + partner::outage(recorded, delivery, now)
        || (attempt >= policy.max_attempts && class != FaultClass::Throttled)
        // Looking once more would find no more.
        || progress.is_unanswerable
        || (delivery.is_called_off && class == FaultClass::Unknown);
    let event = if fault.code == Code::PartnerRefused && !is_open {
        Event::Rejected
    } else if fault.code == Code::ReleaseWithheld
        && services.withholding.withheld == Withheld::Hold
        && !is_open
    {
        Event::Withheld
    } else {
        Event::Faulted {
            class,
            wait,
            is_last,
            is_open,
        }
    };
    let mut fault = fault.clone();
    if is_open && !progress.is_unanswerable {
        fault = unknown::unanswered(fault);
    }
    if fault.class() == FaultClass::Unknown && (is_last || class == FaultClass::Permanent) {
        fault = unknown::laid_out(delivery, progress.package.as_deref(), fault);
    }
    let begun_at = delivery.started_at.unwrap_or(begun.at);
    let late_at = after(begun_at, Duration::from_secs(policy.notify_after_s));
    let late = (now >= late_at).then_some(Late {
        outage_since: recorded.before.open.map(|open| open.since),
    });
    Judged {
        event,
        fault,
        late,
        expires_at,
    }
}

/// What an outcome that the queue decided means for the delivery. `None`: nothing.
fn met(delivery: &Delivery, outcome: &Outcome) -> Option<(Event, Fault)> {
    Some(match outcome {
        Outcome::Dead { code, message }
            if matches!(delivery.state, State::Sending | State::Unknown) =>
        {
            let fault = Fault::new(Code::OutcomeUnknown, format!("{message} ({code})"));
            let fault = unknown::laid_out(delivery, None, fault);
            let remedy = format!(
                "Read the worker's log for what it died of, and mend that. Then `tunemantra-worker \
                 deliveries retry {} --reason WHY`: the next attempt looks at the partner before it \
                 sends. Or: {}",
                delivery.id,
                fault.remedy(),
            );
            (Event::Died, fault.with_remedy(remedy))
        }
        Outcome::Dead { code, message } => (
            Event::Died,
            Fault::new(Code::GaveUp, format!("{message} ({code})")).with_remedy(
                "Look at the partner whether it arrived, read the worker's log for the reason, \
                 then schedule the release again.",
            ),
        ),
        Outcome::Snooze { message, .. } => (
            Event::Lost,
            Fault::new(Code::WorkerStopped, message.clone()),
        ),
        Outcome::Retry { message, .. } => {
            (Event::Lost, Fault::new(Code::WorkerFault, message.clone()))
        }
        // Somebody had it stopped: what it left at the partner is for the next attempt to find out.
        Outcome::Canceled => (
            Event::Lost,
            Fault::new(
                Code::WorkerStopped,
                "the attempt was stopped because the delivery is called off",
            ),
        ),
        Outcome::Completed | Outcome::Held { .. } => return None,
    })
}

/// The delivery follows an outcome that the queue decided: a crash, a panic, a stop.
pub(super) async fn follow(
    conn: &mut PgConnection,
    id: Uuid,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let Some(mut delivery) = row::lock(conn, id).await? else {
        return Ok(());
    };
    let Some((event, fault)) = met(&delivery, outcome) else {
        return Ok(());
    };
    // A crash and a stop are no fault of the delivery: the queue gave their attempt back too.
    let was_given_back = match outcome {
        Outcome::Snooze { .. } | Outcome::Canceled => true,
        Outcome::Retry { code, .. } => code == queue::CRASHED,
        _ => false,
    };
    if was_given_back && delivery.state == State::Sending {
        delivery.attempts = (delivery.attempts - 1).max(0);
    }
    let last_step = match outcome {
        Outcome::Dead { message, .. } => Some(message.as_str()),
        _ => None,
    };
    let happened = Happened {
        fault: Some(&fault),
        last_step,
        ..Happened::default()
    };
    match outcome::apply(conn, &mut delivery, event, &happened, None, now).await {
        // Refused: it was not under way, there is nothing to follow.
        Ok(_) | Err(OutcomeError::Refused(_) | OutcomeError::LeaseLost) => {}
        Err(OutcomeError::Database(error)) => return Err(error),
    }
    let waits = matches!(
        delivery.state,
        State::Queued | State::Retrying | State::Unknown
    );
    if *outcome == Outcome::Canceled && waits {
        // The stop ended its job and not the delivery.
        let (platform_id, kind) = (delivery.platform_id, delivery.kind);
        job::enqueue_deliver(conn, id, platform_id, kind, now).await?;
    }
    Ok(())
}
