//! One attempt to deliver: begin, make the package, hand it over, write down what happened.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use platform_adapters::{
    Code, Fault, Handover, Kind, Located, Receipt,
    package::{self, Package},
    release::Release,
    settings::{Platform, PlatformRow},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::{
    BEGIN, Event, Services, State,
    adapters::Known,
    batch::{self, Place},
    conclude::{finish, follow},
    job,
    limits::{self, Scope},
    load::load,
    policy::RetryPolicy,
    record::{self, Begins, Written},
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
        let Some(begun) = begin_whole(&services, self.delivery, &lease).await? else {
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
    /// `requirements.lead_days` of the platform, once its settings are read.
    pub(super) lead_days: u16,
    /// It is known what became of every earlier attempt.
    pub(super) is_answered: bool,
    /// The partner offers no way to find out.
    pub(super) is_unanswerable: bool,
    /// Where it goes in a batch, if it does.
    pub(super) place: Option<Place>,
}

/// A delivery whose attempt has begun.
pub(super) struct Begun {
    pub(super) delivery: Delivery,
    pub(super) at: DateTime<Utc>,
    /// An earlier attempt of this transmission began: look at the partner before sending.
    is_repeated: bool,
    /// What it works on, or why that cannot be read.
    loaded: Result<(Arc<PlatformRow>, Release), Fault>,
}

/// [`begin`], to its end even if nobody waits for it any more: cut off between two statements it would
/// give the pool a connection with an open transaction.
async fn begin_whole(
    services: &Arc<Services>,
    id: Uuid,
    lease: &Lease,
) -> Result<Option<Begun>, JobFault> {
    let (services, lease) = (Arc::clone(services), lease.clone());
    let begun = tokio::spawn(async move { begin(&services, id, &lease).await });
    begun
        .await
        .unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(JobFault::retry("worker_stopped", error.to_string())),
        })
}

/// Counts the attempt and reads what it works on. `None`: the lease is lost, or
/// there is nothing to deliver now.
async fn begin(services: &Services, id: Uuid, lease: &Lease) -> Result<Option<Begun>, JobFault> {
    let now = (services.clock)();
    let mut conn = services.pool.acquire().await?;
    let counted = count(&mut conn, id, lease, now).await?;
    drop(conn);
    let Some((delivery, is_repeated)) = counted else {
        return Ok(None);
    };
    let loaded = load(services, &delivery).await;
    Ok(Some(Begun {
        delivery,
        at: now,
        is_repeated,
        loaded,
    }))
}

/// Counts the attempt; with whether one of this transmission began before.
async fn count(
    conn: &mut PgConnection,
    id: Uuid,
    lease: &Lease,
    now: DateTime<Utc>,
) -> Result<Option<(Delivery, bool)>, JobFault> {
    let Some((mut tx, delivery)) = take(conn, id, lease, now).await? else {
        return Ok(None);
    };
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
    let written = Written {
        begun: Some(Begins {
            kind: delivery.kind,
            started_at: delivery.started_at,
            unknown: delivery.unknown.as_ref(),
        }),
        ..Written::default()
    };
    record::write(&mut tx, &delivery, state, &written, now).await?;
    tx.commit().await?;
    Ok(Some((delivery, is_repeated)))
}

/// Locks job and delivery and begins the attempt, unless the lease is lost or the delivery must wait for
/// an earlier one.
async fn take<'c>(
    conn: &'c mut PgConnection,
    id: Uuid,
    lease: &Lease,
    now: DateTime<Utc>,
) -> Result<Option<(Transaction<'c, Postgres>, Option<Delivery>)>, JobFault> {
    let mut tx = conn.begin_with(BEGIN).await?;
    if queue::begin(&mut tx, lease, Some(id), now).await?.is_none() {
        return Ok(None);
    }
    let delivery = row::lock(&mut tx, id).await?;
    if !delivery.as_ref().is_some_and(|found| found.has_earlier) {
        return Ok(Some((tx, delivery)));
    }
    // Seldom. Whether it must wait is asked under locks that come before all others: from the start.
    for statement in ["rollback", BEGIN] {
        sqlx::raw_sql(statement).execute(&mut *tx).await?;
    }
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
    Ok(Some((tx, delivery)))
}

/// Makes the package and hands it over. Nothing is written to the database but its place in a batch.
async fn attempt(services: &Services, begun: &Begun) -> (Made, Progress) {
    let delivery = &begun.delivery;
    let mut progress = Progress {
        policy: services.retry.clone(),
        package: None,
        lead_days: 0,
        // What became of an earlier transmission is not this one's question.
        is_answered: delivery.unknown.is_none() || !begun.is_repeated,
        is_unanswerable: false,
        place: None,
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
    let (platform_row, release) = begun.loaded.as_ref().map_err(Fault::clone)?;
    let Known {
        platform,
        adapter,
        is_new,
    } = services.adapters.get(platform_row)?;
    if is_new {
        refresh_limits(services, &platform).await?;
    }
    progress.policy = services.retry.for_platform(&platform.format_specs.retry);
    progress.lead_days = platform.requirements.lead_days;
    let package = package::assemble(release, &platform, delivery.kind, &services.assets)
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
    let mut handover = delivery.handover();
    if let Some(specs) = platform.batches() {
        let place = batch::take_place(services, delivery, package, specs).await?;
        let place = progress.place.insert(place);
        // The partner does not look into an open batch: what an earlier attempt left there is gone on
        // with, and may be called off.
        progress.is_answered |= !place.is_first;
        handover.batch = Some(place.name.clone());
    }
    if begun.is_repeated && !(progress.is_answered && handover.batch.is_some()) {
        // An attempt without a place in a batch laid nothing into one.
        let alone = Handover {
            batch: None,
            ..handover.clone()
        };
        let looking = adapter.locate(&alone, package);
        match looking.instrument(trace::phase("locate")).await? {
            Located::Complete(receipt) => {
                progress.is_answered = true;
                progress.place = None;
                return Ok(Made::HandedOver {
                    receipt: *receipt,
                    fingerprint,
                });
            }
            Located::Absent => progress.is_answered = true,
            // What failed for certain may be sent again; what may have arrived may not.
            Located::CannotTell | Located::Repeatable if progress.is_answered => {}
            // A yes to the same once more is the answer; a no is none.
            Located::Repeatable if !delivery.is_called_off => {}
            Located::CannotTell | Located::Repeatable => {
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
