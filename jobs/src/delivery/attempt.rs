//! One attempt to deliver: begin, make the package, hand it over, write down what happened.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use platform_adapters::{
    Code, Fault, Kind, Located, Receipt,
    package::{self, Package},
    settings::Platform,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::{
    Event, Services, State,
    adapters::Known,
    conclude::{finish, follow},
    job,
    limits::{self, Scope},
    load::load,
    policy::RetryPolicy,
    record::{self, Shown},
    row::{self, Delivery, Unknown},
    trace, transition, unknown,
};
use crate::queue::{self, Done, Job, JobFault, Lease, Outcome};

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
        let span = trace::attempt(&begun.delivery);
        let work = async {
            let (made, progress) = attempt(&services, &begun).await;
            if let Made::Faulted(fault) = &made {
                trace::faulted(&Span::current(), fault);
            }
            finish(&services, &begun, &lease, &made, &progress)
                .instrument(trace::phase("record"))
                .await
        };
        work.instrument(span).await
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
pub(super) enum Made {
    HandedOver {
        receipt: Receipt,
        fingerprint: String,
    },
    Unchanged {
        receipt: Receipt,
        fingerprint: String,
    },
    /// It was called off, and nothing of it lies at the partner.
    CalledOff,
    Faulted(Fault),
}

/// What an attempt learned on its way, whatever it came to.
pub(super) struct Progress {
    /// The worker's clocks, or the platform's own once its settings are read.
    pub(super) policy: RetryPolicy,
    pub(super) package: Option<Box<Package>>,
    /// It is known what became of every earlier attempt.
    pub(super) is_answered: bool,
    /// The partner offers no way to find out.
    pub(super) is_unanswerable: bool,
}

/// A delivery whose attempt has begun.
pub(super) struct Begun {
    pub(super) delivery: Delivery,
    pub(super) at: DateTime<Utc>,
    /// An earlier attempt of this transmission began: look at the partner before sending.
    is_repeated: bool,
}

/// Counts the attempt. `None`: the lease is lost, or there is nothing to deliver any more.
async fn begin(services: &Services, id: Uuid, lease: &Lease) -> Result<Option<Begun>, JobFault> {
    let now = (services.clock)();
    let mut tx = super::begin(&services.pool).await?;
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
    if delivery.state == State::Sending {
        // Its worker went away, and nobody has noted that yet.
        delivery.unknown.get_or_insert_with(|| Unknown {
            since: now,
            reason: "the worker that sent it went away".into(),
        });
    }
    delivery.state = state;
    delivery.attempts += 1;
    if delivery.kind == Kind::Update && !delivery.is_live() {
        // What it was to update has been refused or called off meanwhile.
        delivery.kind = Kind::Insert;
    }
    delivery.started_at.get_or_insert(now);
    let unknown = delivery.unknown.as_ref();
    sqlx::query!(
        r#"update worker.deliveries
           set state = $2, attempts = $3, started_at = $4, next_attempt_at = null, updated_at = $5,
               kind = $6, unknown_since = $7, unknown_reason = $8
           where id = $1"#,
        delivery.id,
        state.as_str(),
        delivery.attempts,
        delivery.started_at,
        now,
        delivery.kind.as_str(),
        unknown.map(|unknown| unknown.since),
        unknown.map(|unknown| unknown.reason.as_str()),
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
        at: now,
        is_repeated,
    }))
}

/// Makes the package and hands it over. Nothing is written to the database.
async fn attempt(services: &Services, begun: &Begun) -> (Made, Progress) {
    let delivery = &begun.delivery;
    let mut progress = Progress {
        policy: services.retry.clone(),
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
    if delivery.is_called_off && progress.is_answered {
        return Ok(Made::CalledOff);
    }
    let loading = load(services, delivery).instrument(trace::phase("load"));
    let (platform_row, release) = loading.await?;
    let Known {
        platform,
        adapter,
        is_new,
    } = services.adapters.get(&platform_row)?;
    if is_new {
        refresh_limits(services, &platform).await?;
    }
    progress.policy = services.retry.for_platform(&platform.format_specs.retry);
    let package = package::assemble(&release, &platform, delivery.kind, &services.assets)
        .instrument(trace::phase("package"))
        .await?;
    let package = progress.package.insert(Box::new(package));
    let fingerprint = package.fingerprint();
    if let Some(receipt) = unchanged(delivery, &fingerprint) {
        return Ok(Made::Unchanged {
            receipt,
            fingerprint,
        });
    }
    let handover = delivery.handover();
    if begun.is_repeated {
        let looking = adapter.locate(&handover, package);
        match looking.instrument(trace::phase("locate")).await? {
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
    if delivery.is_called_off {
        return Ok(Made::CalledOff);
    }
    let sending = adapter.deliver(&handover, package);
    let receipt = sending.instrument(trace::phase("hand over")).await?;
    Ok(Made::HandedOver {
        receipt,
        fingerprint,
    })
}

/// The receipt of an update that would send what the platform has already.
fn unchanged(delivery: &Delivery, fingerprint: &str) -> Option<Receipt> {
    let live = delivery.live.as_ref()?;
    let is_unchanged = live.fingerprint.as_deref() == Some(fingerprint)
        && delivery.kind == Kind::Update
        // A further transmission was asked for as it is.
        && delivery.transmission == 1
        && !delivery.is_called_off;
    is_unchanged.then(|| Receipt {
        confirmed: format!("unchanged since revision {}; not sent again", live.revision),
        ..live.receipt.clone().unwrap_or_default()
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
