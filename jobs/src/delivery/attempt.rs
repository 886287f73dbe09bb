//! One attempt to deliver: begin, make the package, hand it over, write down what happened.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use platform_adapters::{
    Adapter, Code, Fault, FaultClass, Kind, Located, Receipt,
    package::{self, Package},
    settings::Platform,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Event, Services, State,
    adapters::Known,
    job,
    limits::{self, Scope},
    load::load,
    outcome::{self, Happened, OutcomeError, after},
    partner,
    record::{self, Shown},
    row::{self, Delivery},
    transition,
};
use crate::{
    catalog::Withheld,
    queue::{self, Done, Job, JobFault, Lease, Outcome, circuit::Recorded},
};

/// The job that delivers: arguments of kind `deliver`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deliver {
    /// `worker.deliveries.id`.
    pub delivery: Uuid,
}

impl Job for Deliver {
    type Context = Arc<Services>;
    const KIND: &'static str = "deliver";
    /// The delivery's own policy gives up earlier; this bounds attempts that end in a panic.
    const MAX_ATTEMPTS: i16 = 100;
    /// A large album over a slow line; a line that stalls is noticed by the adapter long before.
    const TIMEOUT: Duration = Duration::from_secs(12 * 3600);
    const PREFETCH: bool = false;
    const BEGINS_ITSELF: bool = true;

    async fn run(self, services: Arc<Services>, lease: Lease) -> Result<Done, JobFault> {
        let Some(begun) = begin(&services, self.delivery, &lease).await? else {
            return Ok(Done::Settled);
        };
        let made = attempt(&services, &begun).await;
        finish(&services, &begun, &lease, &made).await
    }

    async fn decided_by_queue(
        conn: &mut PgConnection,
        _lease: &Lease,
        arguments: &Value,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let Ok(Self { delivery }) = serde_json::from_value(arguments.clone()) else {
            return Ok(());
        };
        follow(conn, delivery, outcome, now).await
    }
}

/// What an attempt came to.
enum Made {
    HandedOver {
        receipt: Receipt,
        package: Box<Package>,
        fingerprint: String,
    },
    Unchanged {
        receipt: Receipt,
        fingerprint: String,
    },
    /// It was called off, and nothing of it lies at the partner.
    CalledOff,
    Faulted {
        fault: Fault,
        package: Option<Box<Package>>,
    },
}

/// A delivery whose attempt has begun.
struct Begun {
    delivery: Delivery,
    /// An earlier attempt of this transmission began: look at the partner before sending.
    is_repeated: bool,
}

/// Counts the attempt. `None`: the lease is lost, or there is nothing to deliver any more.
async fn begin(services: &Services, id: Uuid, lease: &Lease) -> Result<Option<Begun>, JobFault> {
    let now = (services.clock)();
    let mut tx = services.pool.begin().await?;
    let must_wait = job::must_wait(&mut tx, id).await?;
    if queue::begin(&mut tx, lease, Some(id), now).await?.is_none() {
        return Ok(None);
    }
    if must_wait {
        queue::settle(&mut tx, lease, &job::waiting(), now).await?;
        tx.commit().await?;
        return Ok(None);
    }
    let delivery = row::lock(&mut tx, id).await?;
    let started = delivery
        .as_ref()
        .map(|held| transition(held.state, Event::Started));
    let (Some(mut delivery), Some(Ok((state, _)))) = (delivery, started) else {
        // Decided, held or gone since it was claimed: the job has no work any more.
        queue::settle(&mut tx, lease, &Outcome::Canceled, now).await?;
        tx.commit().await?;
        return Ok(None);
    };
    let is_repeated = delivery.started_at.is_some();
    delivery.state = state;
    delivery.attempts += 1;
    if delivery.kind == Kind::Update && !delivery.is_live() {
        // What it was to update has been refused or called off meanwhile.
        delivery.kind = Kind::Insert;
    }
    delivery.started_at.get_or_insert(now);
    let patience = Duration::from_secs(services.retry.give_up_after_s);
    delivery.expires_at.get_or_insert(after(now, patience));
    sqlx::query!(
        r#"update worker.deliveries
           set state = $2, attempts = $3, started_at = $4, expires_at = $5,
               next_attempt_at = null, updated_at = $6, kind = $7
           where id = $1"#,
        delivery.id,
        state.as_str(),
        delivery.attempts,
        delivery.started_at,
        delivery.expires_at,
        now,
        delivery.kind.as_str(),
    )
    .execute(&mut *tx)
    .await?;
    let shown = Shown {
        state,
        receipt: None,
        fault: None,
        next_attempt_at: None,
        attempt: None,
    };
    record::show(&mut tx, &delivery, &shown, now).await?;
    tx.commit().await?;
    Ok(Some(Begun {
        delivery,
        is_repeated,
    }))
}

/// Makes the package and hands it over. Nothing is written to the database.
async fn attempt(services: &Services, begun: &Begun) -> Made {
    let delivery = &begun.delivery;
    let mut packaged = None;
    match hand_over(services, begun, &mut packaged).await {
        Ok(made) => made,
        Err(fault) => {
            let fault = if delivery.is_called_off {
                undecidable(fault)
            } else {
                fault
            };
            tracing::warn!(
                delivery.id = %delivery.id,
                delivery.attempt = delivery.attempts,
                release.id = delivery.release_id,
                platform.id = delivery.platform_id,
                fault.code = fault.code.as_str(),
                fault.class = ?fault.class(),
                "{}",
                record::sentence(delivery, &fault),
            );
            Made::Faulted {
                fault,
                package: packaged,
            }
        }
    }
}

async fn hand_over(
    services: &Services,
    begun: &Begun,
    packaged: &mut Option<Box<Package>>,
) -> Result<Made, Fault> {
    let delivery = &begun.delivery;
    let (platform_row, release) = load(services, delivery).await?;
    let Known {
        platform,
        adapter,
        is_new,
    } = services.adapters.get(&platform_row)?;
    if is_new {
        refresh_limits(services, &platform).await?;
    }
    let package = package::assemble(&release, &platform, delivery.kind, &services.assets).await?;
    let package = packaged.insert(Box::new(package));
    let fingerprint = package.fingerprint();
    if delivery.is_called_off {
        return look_only(&*adapter, begun, package, fingerprint).await;
    }
    if let Some(live) = &delivery.live
        && live.fingerprint.as_ref() == Some(&fingerprint)
        && delivery.kind == Kind::Update
        // A further transmission was asked for as it is.
        && delivery.transmission == 1
    {
        let confirmed = format!("unchanged since revision {}; not sent again", live.revision);
        let receipt = Receipt {
            confirmed,
            ..live.receipt.clone().unwrap_or_default()
        };
        return Ok(Made::Unchanged {
            receipt,
            fingerprint,
        });
    }
    let handover = delivery.handover();
    if begun.is_repeated
        && let Located::Complete(receipt) = adapter.locate(&handover, package).await?
    {
        return Ok(Made::HandedOver {
            receipt: *receipt,
            package: package.clone(),
            fingerprint,
        });
    }
    let receipt = adapter.deliver(&handover, package).await?;
    Ok(Made::HandedOver {
        receipt,
        package: package.clone(),
        fingerprint,
    })
}

/// Tells the queue how hard the platform may be used.
async fn refresh_limits(services: &Services, platform: &Platform) -> Result<(), Fault> {
    let now = (services.clock)();
    let refreshed = async {
        let mut conn = services.pool.acquire().await?;
        limits::refresh_limits(&mut conn, Scope::One(platform.id), now).await
    };
    refreshed.await.map_err(|error| {
        Fault::new(
            Code::WorkerFault,
            format!("the limits of {} could not be set: {error}", platform.name),
        )
    })
}

/// A delivery that was called off is not sent: it is only looked whether it lies at the partner.
async fn look_only(
    adapter: &dyn Adapter,
    begun: &Begun,
    package: &Package,
    fingerprint: String,
) -> Result<Made, Fault> {
    if !begun.is_repeated {
        return Ok(Made::CalledOff);
    }
    match adapter.locate(&begun.delivery.handover(), package).await? {
        Located::Complete(receipt) => Ok(Made::HandedOver {
            receipt: *receipt,
            package: Box::new(package.clone()),
            fingerprint,
        }),
        Located::Absent => Ok(Made::CalledOff),
        Located::CannotTell => Err(Fault::new(
            Code::OutcomeUnknown,
            "the partner offers no way to look whether it arrived",
        )),
    }
}

/// A called-off delivery whose whereabouts cannot be found out: whatever the fault, it is not known
/// to be absent, unless looking again can help.
fn undecidable(fault: Fault) -> Fault {
    if !matches!(fault.class(), FaultClass::Permanent | FaultClass::Unknown) {
        return fault;
    }
    let message = format!(
        "it was called off while it was being sent, and whether it arrived cannot be found out: {}",
        fault.message
    );
    Fault {
        code: Code::OutcomeUnknown,
        message,
        ..fault
    }
    .with_remedy(
        "Look at the partner. If nothing is there, cancel the delivery once more; if it is there \
         and must not be, cancel it and take it down.",
    )
}

/// Writes down what the attempt came to. Once a package is handed over this is tried until the
/// database takes it or the lease is lost: an outcome that is not written would be asked of the
/// partner again.
async fn finish(
    services: &Services,
    begun: &Begun,
    lease: &Lease,
    made: &Made,
) -> Result<Done, JobFault> {
    let mut failures = 0;
    loop {
        match write(services, begun.delivery.clone(), lease, made).await {
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
    mut delivery: Delivery,
    lease: &Lease,
    made: &Made,
) -> Result<State, OutcomeError> {
    let now = (services.clock)();
    let mut tx = services.pool.begin().await?;
    // Called off since the attempt began: what it came to still counts, but there is no waiting for
    // the look at the partner that decides it.
    let is_hurried = !delivery.is_called_off
        && sqlx::query_scalar!(
            r#"select cancel_requested_at is not null as "is_called_off!" from worker.deliveries
               where id = $1"#,
            delivery.id
        )
        .fetch_optional(&mut *tx)
        .await?
        .unwrap_or(false);
    let happened = match made {
        Made::HandedOver {
            receipt,
            package,
            fingerprint,
        } => Happened {
            receipt: Some(receipt),
            package: Some(package),
            fingerprint: Some(fingerprint),
            ..Happened::default()
        },
        Made::Unchanged {
            receipt,
            fingerprint,
        } => Happened {
            receipt: Some(receipt),
            fingerprint: Some(fingerprint),
            ..Happened::default()
        },
        Made::CalledOff => Happened::default(),
        Made::Faulted { fault, package } => Happened {
            fault: Some(fault),
            package: package.as_deref(),
            ..Happened::default()
        },
    };
    let happened = Happened {
        ends_attempt: true,
        ask_after: services.confirm.first_wait(),
        ..happened
    };
    let recorded = match made {
        // The partner was not asked.
        Made::Unchanged { .. } | Made::CalledOff => Recorded::default(),
        Made::HandedOver { .. } | Made::Faulted { .. } => {
            partner::record(&mut tx, services, &delivery, happened.fault, now).await?
        }
    };
    let event = match made {
        Made::HandedOver { receipt, .. } => Event::HandedOver {
            is_final: receipt.is_final,
        },
        Made::Unchanged { .. } => Event::Unchanged,
        Made::CalledOff => Event::CalledOff,
        Made::Faulted { fault, .. } => {
            faulted(services, &delivery, is_hurried, fault, &recorded, now)
        }
    };
    let state = outcome::apply(&mut tx, &mut delivery, event, &happened, Some(lease), now).await?;
    tx.commit().await?;
    partner::log(&recorded, &delivery);
    Ok(state)
}

/// A fault with the policy's word on what follows from it. While the circuit is open the attempt was
/// a probe: it costs the delivery neither an attempt nor time.
fn faulted(
    services: &Services,
    delivery: &Delivery,
    is_hurried: bool,
    fault: &Fault,
    recorded: &Recorded,
    now: DateTime<Utc>,
) -> Event {
    if fault.code == Code::PartnerRefused {
        return Event::Rejected;
    }
    if fault.code == Code::ReleaseWithheld && services.withholding.withheld == Withheld::Hold {
        return Event::Withheld;
    }
    let policy = &services.retry;
    let attempt = i16::try_from(delivery.attempts - delivery.attempts_before).unwrap_or(i16::MAX);
    let wait = match is_hurried {
        true => Duration::ZERO,
        false => policy.asked_wait(fault.retry_after, policy.wait(attempt, (services.random)())),
    };
    let class = match fault.class() {
        FaultClass::Transient if recorded.before.open.is_some() => FaultClass::Throttled,
        class => class,
    };
    let outage = partner::outage(recorded, delivery, now);
    let is_last = delivery
        .expires_at
        .is_some_and(|expiry| after(now, wait) >= expiry + outage)
        || (attempt >= policy.max_attempts && class != FaultClass::Throttled)
        // Looking once more would find no more.
        || (delivery.is_called_off && class == FaultClass::Unknown);
    Event::Faulted {
        class,
        wait,
        is_last,
    }
}

/// The delivery follows an outcome that the queue decided: a crash, a panic, a stop.
async fn follow(
    conn: &mut PgConnection,
    id: Uuid,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let Some(mut delivery) = row::lock(conn, id).await? else {
        return Ok(());
    };
    let (event, fault) = match outcome {
        Outcome::Dead { code, message } => (
            Event::Died,
            Some(
                Fault::new(Code::GaveUp, format!("{message} ({code})")).with_remedy(
                    "Look at the partner whether it arrived, read the worker's log for the reason, \
                 then schedule the release again.",
                ),
            ),
        ),
        Outcome::Snooze { message, .. } => (
            Event::Lost,
            Some(Fault::new(Code::WorkerStopped, message.clone())),
        ),
        Outcome::Retry { message, .. } => (
            Event::Lost,
            Some(Fault::new(Code::WorkerFault, message.clone())),
        ),
        // Somebody had it stopped: what it left at the partner is for the next attempt to find out.
        Outcome::Canceled => (
            Event::Lost,
            Some(Fault::new(
                Code::WorkerStopped,
                "the attempt was stopped because the delivery is called off",
            )),
        ),
        Outcome::Completed | Outcome::Held { .. } => return Ok(()),
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
    let happened = Happened {
        fault: fault.as_ref(),
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
