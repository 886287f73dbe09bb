//! What attempts and questions show of a partner. Each is recorded with the circuit of its own queue:
//! where a partner takes deliveries is often not where it answers. An outage costs the deliveries
//! that wait for it neither attempts nor time.

use chrono::{DateTime, TimeDelta, Utc};
use platform_adapters::{Code, Fault};
use sqlx::PgConnection;

use super::{Services, confirm_queue, deliver_queue, row::Delivery};
use crate::database::storable;
use crate::queue::circuit::{self, LastFault, Observation, Recorded, Signal};

/// What a fault shows of the partner; `None`: nothing, for it is ours.
fn signal(fault: &Fault) -> Option<Signal> {
    match fault.code {
        Code::ConnectionFailed
        | Code::ConnectionLost
        | Code::TimedOut
        | Code::PartnerError
        | Code::PartnerFull
        | Code::TransferCorrupt
        | Code::OutcomeUnknown => Some(Signal::Fault),
        Code::Throttled => Some(Signal::Throttled),
        // A no is an answer.
        Code::PartnerRefused => Some(Signal::Success),
        _ => None,
    }
}

/// Records an attempt that spoke with the partner and ended with this fault, or with none.
pub(super) async fn record(
    conn: &mut PgConnection,
    services: &Services,
    delivery: &Delivery,
    fault: Option<&Fault>,
    now: DateTime<Utc>,
) -> Result<Recorded, sqlx::Error> {
    let queue = deliver_queue(delivery.platform_id);
    let recorded = observe(conn, services, &queue, fault, now).await?;
    if let (Some(open), None) = (recorded.before.open, recorded.after.open) {
        give_back_time(conn, delivery.platform_id, open.since, now).await?;
    }
    Ok(recorded)
}

/// Records a question to the partner that ended with this fault, or with an answer.
pub(super) async fn record_question(
    conn: &mut PgConnection,
    services: &Services,
    delivery: &Delivery,
    fault: Option<&Fault>,
    now: DateTime<Utc>,
) -> Result<Recorded, sqlx::Error> {
    let queue = confirm_queue(delivery.platform_id);
    observe(conn, services, &queue, fault, now).await
}

async fn observe(
    conn: &mut PgConnection,
    services: &Services,
    queue: &str,
    fault: Option<&Fault>,
    now: DateTime<Utc>,
) -> Result<Recorded, sqlx::Error> {
    let Some(signal) = fault.map_or(Some(Signal::Success), signal) else {
        return Ok(Recorded::default());
    };
    let message = fault.map(|fault| storable(&fault.message));
    let observed = Observation {
        signal,
        fault: fault
            .zip(message.as_deref())
            .filter(|_| signal != Signal::Success)
            .map(|(fault, message)| LastFault {
                code: fault.code.as_str(),
                message,
            }),
        default_concurrency: services.platform_concurrency,
        random: (services.random)(),
    };
    circuit::record(conn, &services.circuit, queue, observed, now).await
}

/// How long the delivery could not be sent for the partner's outage, which lasts.
pub(super) fn outage(recorded: &Recorded, delivery: &Delivery, now: DateTime<Utc>) -> TimeDelta {
    recorded.before.open.map_or(TimeDelta::zero(), |open| {
        let since = delivery
            .started_at
            .map_or(open.since, |started| started.max(open.since));
        (now - since).max(TimeDelta::zero())
    })
}

/// The clocks of deliveries that wait stood still while the circuit was open.
async fn give_back_time(
    conn: &mut PgConnection,
    platform_id: i32,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update worker.deliveries
           set expires_at = expires_at + ($3 - greatest(started_at, $2))
           where platform_id = $1 and state in ('queued', 'retrying', 'unknown', 'held')
             and expires_at is not null and started_at < $3"#,
        platform_id,
        since,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Says so when the circuit opened or closed. To be called when it is written.
pub(super) fn log(recorded: &Recorded, delivery: &Delivery) {
    say(recorded, delivery, "its deliveries");
}

/// The same of the circuit of questions.
pub(super) fn log_question(recorded: &Recorded, delivery: &Delivery) {
    say(recorded, delivery, "questions to it");
}

fn say(recorded: &Recorded, delivery: &Delivery, what: &str) {
    let platform = &delivery.platform_name;
    match (recorded.before.open, recorded.after.open) {
        (None, Some(open)) => tracing::warn!(
            platform.id = delivery.platform_id,
            circuit.faults = recorded.after.faults,
            circuit.probe_at = %open.probe_at,
            "{platform} seems to be down: {what} wait until a probe gets through"
        ),
        (Some(open), None) => tracing::info!(
            platform.id = delivery.platform_id,
            circuit.opened_at = %open.since,
            circuit.failed_probes = open.probes,
            "{platform} is there again: {what} go on"
        ),
        _ => {}
    }
}
