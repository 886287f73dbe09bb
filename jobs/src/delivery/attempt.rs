//! One attempt to deliver: begin, make the package, hand it over, write down what happened.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use platform_adapters::{
    Code, Fault, FaultClass, Kind, Located, Receipt,
    package::{self, Package},
    release::Release,
    settings::{Platform, PlatformRow},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Event, Services, State,
    adapters::Known,
    deliver_queue,
    outcome::{self, Happened, OutcomeError, after},
    policy::RetryPolicy,
    record::{self, Shown},
    row::{self, Delivery, Unknown},
    transition, unknown,
};
use crate::{
    catalog::{self, CatalogError},
    queue::{self, Done, Job, JobFault, Lease, Outcome},
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
        let (made, progress) = attempt(&services, &begun).await;
        finish(&services, &begun, &lease, &made, &progress).await
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
        fingerprint: String,
    },
    Unchanged {
        receipt: Receipt,
        fingerprint: String,
    },
    Faulted(Fault),
}

/// What an attempt learned on its way, whatever it came to.
struct Progress {
    /// The worker's clocks, or the platform's own once its settings are read.
    policy: RetryPolicy,
    /// The platform's settings say how long is tried.
    has_own_expiry: bool,
    package: Option<Box<Package>>,
    /// It is known what became of every earlier attempt.
    is_answered: bool,
    /// The partner offers no way to find out.
    is_unanswerable: bool,
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
    if queue::begin(&mut tx, lease, Some(id), now).await?.is_none() {
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
    if delivery.state == State::Sending {
        // Its worker went away, and nobody has noted that yet.
        delivery.unknown.get_or_insert_with(|| Unknown {
            since: now,
            reason: "the worker that sent it went away".into(),
        });
    }
    delivery.state = state;
    delivery.attempts += 1;
    delivery.started_at.get_or_insert(now);
    let patience = Duration::from_secs(services.retry.give_up_after_s);
    delivery.expires_at.get_or_insert(after(now, patience));
    sqlx::query!(
        r#"update worker.deliveries
           set state = $2, attempts = $3, started_at = $4, expires_at = $5,
               next_attempt_at = null, updated_at = $6, unknown_since = $7, unknown_reason = $8
           where id = $1"#,
        delivery.id,
        state.as_str(),
        delivery.attempts,
        delivery.started_at,
        delivery.expires_at,
        now,
        delivery.unknown.as_ref().map(|unknown| unknown.since),
        delivery
            .unknown
            .as_ref()
            .map(|unknown| unknown.reason.as_str()),
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
async fn attempt(services: &Services, begun: &Begun) -> (Made, Progress) {
    let delivery = &begun.delivery;
    let mut progress = Progress {
        policy: services.retry.clone(),
        has_own_expiry: false,
        package: None,
        // What became of an earlier transmission is not this one's question.
        is_answered: delivery.unknown.is_none() || !begun.is_repeated,
        is_unanswerable: false,
    };
    let made = hand_over(services, begun, &mut progress).await;
    let made = made.unwrap_or_else(|fault| {
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
        Made::Faulted(fault)
    });
    (made, progress)
}

async fn hand_over(
    services: &Services,
    begun: &Begun,
    progress: &mut Progress,
) -> Result<Made, Fault> {
    let delivery = &begun.delivery;
    let (platform_row, release) = load(services, delivery).await?;
    let Known {
        platform,
        adapter,
        is_new,
    } = services.adapters.get(&platform_row)?;
    if is_new {
        limit(services, &platform).await?;
    }
    let specs = &platform.format_specs.retry;
    progress.policy = services.retry.for_platform(specs);
    progress.has_own_expiry = specs.give_up_after_s.is_some();
    let package = package::assemble(&release, &platform, delivery.kind, &services.assets).await?;
    let package = progress.package.insert(Box::new(package));
    let fingerprint = package.fingerprint();
    if let Some(live) = &delivery.live
        && live.fingerprint.as_ref() == Some(&fingerprint)
        && delivery.kind == Kind::Update
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
    if begun.is_repeated {
        match adapter.locate(&handover, package).await? {
            Located::Complete(receipt) => {
                progress.is_answered = true;
                return Ok(Made::HandedOver {
                    receipt: *receipt,
                    fingerprint,
                });
            }
            Located::Absent => progress.is_answered = true,
            // What failed for certain may be sent again; what may have arrived may not.
            Located::CannotTell if progress.is_answered => {}
            Located::CannotTell => {
                progress.is_unanswerable = true;
                return Err(unknown::no_answer());
            }
        }
    }
    let receipt = adapter.deliver(&handover, package).await?;
    Ok(Made::HandedOver {
        receipt,
        fingerprint,
    })
}

/// Tells the queue how many deliveries at a time the platform takes, over all daemons.
async fn limit(services: &Services, platform: &Platform) -> Result<(), Fault> {
    let concurrency = platform.format_specs.limits.concurrency.map(i32::from);
    let queue = deliver_queue(platform.id);
    let now = (services.clock)();
    let limited = async {
        let mut conn = services.pool.acquire().await?;
        queue::limit(&mut conn, &queue, concurrency, now).await
    };
    limited.await.map_err(|error| {
        Fault::new(
            Code::WorkerFault,
            format!("the queue {queue} could not be limited: {error}"),
        )
    })
}

async fn load(services: &Services, delivery: &Delivery) -> Result<(PlatformRow, Release), Fault> {
    let unreachable = |error: sqlx::Error| {
        Fault::new(
            Code::WorkerFault,
            format!("the catalogue could not be read: {error}"),
        )
    };
    let mut conn = services.pool.acquire().await.map_err(unreachable)?;
    let platform = catalog::platform_row(&mut conn, delivery.platform_id)
        .await
        .map_err(unreachable)?
        .ok_or_else(|| {
            let id = delivery.platform_id;
            Fault::new(
                Code::SettingsInvalid,
                format!("platform {id} is not there any more"),
            )
        })?;
    let release = catalog::load(
        &mut conn,
        delivery.release_id,
        &services.withholding,
        (services.clock)(),
    )
    .await
    .map_err(|error| match error {
        CatalogError::Fault(fault) => fault,
        CatalogError::Database(error) => unreachable(error),
    })?;
    Ok((platform, release))
}

/// Writes down what the attempt came to. Once a package is handed over this is tried until the
/// database takes it or the lease is lost: an outcome that is not written would be asked of the
/// partner again.
async fn finish(
    services: &Services,
    begun: &Begun,
    lease: &Lease,
    made: &Made,
    progress: &Progress,
) -> Result<Done, JobFault> {
    let mut failures = 0;
    loop {
        match write(services, begun.delivery.clone(), lease, made, progress).await {
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
    progress: &Progress,
) -> Result<State, OutcomeError> {
    let now = (services.clock)();
    let package = progress.package.as_deref();
    let judged;
    let (event, happened) = match made {
        Made::HandedOver {
            receipt,
            fingerprint,
        } => (
            Event::HandedOver {
                is_final: receipt.is_final,
            },
            Happened {
                receipt: Some(receipt),
                package,
                fingerprint: Some(fingerprint),
                ..Happened::default()
            },
        ),
        Made::Unchanged {
            receipt,
            fingerprint,
        } => (
            Event::Unchanged,
            Happened {
                receipt: Some(receipt),
                fingerprint: Some(fingerprint),
                ..Happened::default()
            },
        ),
        Made::Faulted(fault) => {
            judged = judge(services, &delivery, progress, fault, now);
            (
                judged.event,
                Happened {
                    fault: Some(&judged.fault),
                    package,
                    is_late: judged.is_late,
                    expires_at: judged.expires_at,
                    ..Happened::default()
                },
            )
        }
    };
    let happened = Happened {
        ends_attempt: true,
        is_answered: progress.is_answered,
        ask_after: services.confirm.first_wait(),
        ..happened
    };
    let mut tx = services.pool.begin().await?;
    let state = outcome::apply(&mut tx, &mut delivery, event, &happened, Some(lease), now).await?;
    tx.commit().await?;
    Ok(state)
}

/// A fault with the policy's word on what follows from it.
struct Judged {
    event: Event,
    fault: Fault,
    is_late: bool,
    expires_at: Option<DateTime<Utc>>,
}

fn judge(
    services: &Services,
    delivery: &Delivery,
    progress: &Progress,
    fault: &Fault,
    now: DateTime<Utc>,
) -> Judged {
    let policy = &progress.policy;
    let begun_at = delivery.started_at.unwrap_or(now);
    let since = |seconds: u64| after(begun_at, Duration::from_secs(seconds));
    let own_expiry = progress
        .has_own_expiry
        .then(|| since(policy.give_up_after_s));
    let attempt = i16::try_from(delivery.attempts).unwrap_or(i16::MAX);
    let wait = policy.asked_wait(fault.retry_after, policy.wait(attempt, (services.random)()));
    let class = fault.class();
    let is_open = !progress.is_answered && class != FaultClass::Configuration;
    let is_last = own_expiry
        .or(delivery.expires_at)
        .is_some_and(|expiry| after(now, wait) >= expiry)
        || (attempt >= policy.max_attempts && class != FaultClass::Throttled)
        || progress.is_unanswerable
        || (is_open && class == FaultClass::Permanent);
    let mut fault = fault.clone();
    if is_open && !progress.is_unanswerable {
        fault = unknown::unanswered(fault);
    }
    if is_last && fault.class() == FaultClass::Unknown {
        fault = unknown::laid_out(delivery, progress.package.as_deref(), fault);
    }
    let event = if fault.code == Code::PartnerRefused {
        Event::Rejected
    } else {
        Event::Faulted {
            class: fault.class(),
            wait,
            is_last,
        }
    };
    Judged {
        event,
        fault,
        is_late: now >= since(policy.notify_after_s),
        expires_at: own_expiry,
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
        Outcome::Completed | Outcome::Canceled | Outcome::Held { .. } => return Ok(()),
    };
    // A crash and a stop are no fault of the delivery: the queue gave their attempt back too.
    let was_given_back = match outcome {
        Outcome::Snooze { .. } => true,
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
        Ok(_) => Ok(()),
        // It was not under way: there is nothing to follow.
        Err(OutcomeError::Refused(_) | OutcomeError::LeaseLost) => Ok(()),
        Err(OutcomeError::Database(error)) => Err(error),
    }
}
