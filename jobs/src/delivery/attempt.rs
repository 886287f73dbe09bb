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
    Event, Services,
    adapters::Known,
    conclude::{finish, follow},
    job,
    limits::{self, Scope},
    load::load,
    outcome::after,
    record::{self, Shown},
    row::{self, Delivery},
    transition,
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
pub(super) enum Made {
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
pub(super) struct Begun {
    pub(super) delivery: Delivery,
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
