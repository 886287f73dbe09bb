//! Which changes of a delivery people are told of, and with what details.

use chrono::{DateTime, Utc};
use platform_adapters::Fault;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{Event, Next, State, outcome::Happened, row::Delivery};
use crate::{
    database::storable,
    notification::{self, Notice},
};

/// Raises what an event of a delivery gives to tell. `before` is the state it was in.
pub(super) async fn raise(
    conn: &mut PgConnection,
    delivery: &Delivery,
    before: State,
    event: Event,
    next: Next,
    happened: &Happened<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let notices: Vec<Notice> = worth_telling(delivery.state, before, event, next, happened)
        .map(|told| notice(delivery, told, happened))
        .collect();
    notification::raise(conn, &notices, now).await
}

fn worth_telling(
    state: State,
    before: State,
    event: Event,
    next: Next,
    happened: &Happened<'_>,
) -> impl Iterator<Item = notification::Event> {
    use notification::Event as Told;
    let contradicts = before.is_decided() && matches!(event, Event::Accepted | Event::Rejected);
    let changed = match (state, event) {
        _ if contradicts => Some(Told::DeliveryContradicted),
        (State::Failed, _) => Some(Told::DeliveryFailed),
        (State::Rejected, _) => Some(Told::DeliveryRejected),
        (State::Held, Event::Faulted { .. }) => Some(Told::DeliveryHeld),
        (State::Unknown, _) if next == Next::Hold => Some(Told::DeliveryUnknown),
        (State::Retrying | State::Unknown, _) if happened.late.is_some() => {
            Some(Told::DeliveryLate)
        }
        _ => None,
    };
    let silent = (state == State::Sent && happened.is_silent).then_some(Told::DeliverySilent);
    let short = happened.short_notice.map(|_| Told::DeliveryShortNotice);
    changed.into_iter().chain(silent).chain(short)
}

/// The partner has been silent for too long, and nothing else has happened.
pub(super) async fn silent(
    conn: &mut PgConnection,
    delivery: &Delivery,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let told = notification::Event::DeliverySilent;
    let notice = notice(delivery, told, &Happened::default());
    notification::raise(conn, &[notice], now).await
}

/// A batch cannot be closed for long; `delivery` lies in it.
pub(super) async fn batch_late(
    conn: &mut PgConnection,
    delivery: &Delivery,
    batch: &str,
    fault: &Fault,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let told = notification::Event::DeliveryLate;
    let happened = Happened {
        fault: Some(fault),
        ..Happened::default()
    };
    let notice = Notice {
        once: Some(format!("{}/batch/{batch}", told.as_str())),
        ..notice(delivery, told, &happened)
    };
    notification::raise(conn, &[notice], now).await
}

fn notice(delivery: &Delivery, told: notification::Event, happened: &Happened<'_>) -> Notice {
    use notification::Event as Told;
    let event = told.as_str();
    let once = match (told, happened.late.and_then(|late| late.outage_since)) {
        (Told::DeliveryLate, Some(since)) => {
            let since = since.timestamp_micros();
            Some(format!("{event}/platform/{}/{since}", delivery.platform_id))
        }
        (Told::DeliveryLate | Told::DeliverySilent | Told::DeliveryShortNotice, _) => {
            Some(format!("{event}/{}/{}", delivery.id, delivery.transmission))
        }
        _ => None,
    };
    let mut payload = json!({
        "delivery": delivery.id,
        "release": {
            "id": delivery.release_id, "title": delivery.release_title, "upc": delivery.upc,
        },
        "platform": {"id": delivery.platform_id, "name": delivery.platform_name},
        "kind": delivery.kind,
        "revision": delivery.revision,
        "transmission": delivery.transmission,
        "state": delivery.state.as_str(),
        "attempts": delivery.attempts,
    });
    let mut say = |key: &str, value: Value| {
        if let Value::Object(members) = &mut payload {
            members.insert(key.to_owned(), value);
        }
    };
    if told == Told::DeliverySilent {
        let since = delivery
            .sent_at
            .map(|at| at.format("%F %T UTC").to_string());
        let since = since.unwrap_or_else(|| "an unknown time".into());
        say("sent_at", json!(delivery.sent_at));
        say(
            "message",
            json!(format!(
                "sent on {since}; the partner has not decided within its processing time"
            )),
        );
        say(
            "remedy",
            json!("Ask the partner what became of it; the worker goes on asking by itself."),
        );
    } else if let Some(short) = happened
        .short_notice
        .filter(|_| told == Told::DeliveryShortNotice)
    {
        say("message", json!(short.to_string()));
        say(
            "remedy",
            json!("Tell the partner, or move the street date; schedule the next release earlier."),
        );
    } else if let Some(fault) = happened.fault {
        say("code", json!(fault.code.as_str()));
        say("message", json!(storable(&fault.message)));
        say("remedy", json!(storable(fault.remedy())));
    } else if let Some(receipt) = happened.receipt {
        say("message", json!(storable(&receipt.confirmed)));
    }
    Notice {
        event: told,
        subject: format!("delivery/{}", delivery.id),
        payload,
        once,
    }
}

/// The notice that nothing is sent to a platform any more.
pub(super) fn platform_paused(delivery: &Delivery, reason: &str, remedy: &str) -> Notice {
    Notice {
        event: notification::Event::PlatformPaused,
        subject: format!("platform/{}", delivery.platform_id),
        payload: json!({
            "platform": {"id": delivery.platform_id, "name": delivery.platform_name},
            "message": storable(reason),
            "remedy": storable(remedy),
        }),
        once: None,
    }
}
