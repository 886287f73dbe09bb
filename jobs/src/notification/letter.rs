//! A notification in words: what a person reads in a mail or a ticket.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Event, notify::Told};

/// The subject, one line.
pub(super) fn subject(told: &Told) -> String {
    let payload = &told.payload;
    let release = quoted(payload.pointer("/release/title"));
    let platform = text(payload.pointer("/platform/name"));
    let line = match told.event {
        Event::ScheduleCompleted => format!("{release} has been distributed"),
        Event::SchedulePartial => format!("{release} has been distributed to some platforms only"),
        Event::ScheduleFailed => format!("{release} could not be distributed"),
        Event::DeliveryFailed => format!("{release} will not be sent to {platform}"),
        Event::DeliveryRejected => format!("{platform} rejected {release}"),
        Event::DeliveryHeld => format!("{release} to {platform} is held"),
        Event::DeliveryUnknown => format!("Did {release} arrive at {platform}?"),
        Event::DeliveryLate => format!("{release} to {platform} keeps failing"),
        Event::DeliveryContradicted => format!("{platform} contradicts itself about {release}"),
        Event::DeliverySilent => format!("{platform} is silent about {release}"),
        Event::PlatformPaused => format!("Nothing is sent to {platform} any more"),
    };
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The text below the subject.
pub(super) fn body(told: &Told) -> String {
    let mut lines = subject(told);
    lines.push_str(".\n\n");
    if told.event.is_of_schedule() {
        schedule(&mut lines, &told.payload);
    } else {
        delivery(&mut lines, &told.payload);
    }
    // Writing to a String cannot fail.
    let _ = write!(lines, "\n{} {}\n", told.event.as_str(), told.subject);
    lines
}

fn schedule(lines: &mut String, payload: &Value) {
    let platforms = |key: &str| {
        payload
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let done: Vec<&str> = platforms("completed")
        .map(|one| text(one.get("name")))
        .collect();
    if !done.is_empty() {
        let _ = writeln!(lines, "Distributed to {}.", done.join(", "));
    }
    let mut failed = platforms("failed").peekable();
    if failed.peek().is_some() {
        lines.push_str("Not distributed to:\n");
    }
    for one in failed {
        let name = match (one.get("name").and_then(Value::as_str), one.get("id")) {
            (Some(name), _) => name.to_owned(),
            (None, Some(id)) if id != 0 => format!("platform {id}"),
            _ => "no platform".to_owned(),
        };
        let reason = one.get("message").and_then(Value::as_str);
        let _ = writeln!(
            lines,
            "- {name}: {}",
            reason.unwrap_or("for an unknown reason")
        );
    }
}

fn delivery(lines: &mut String, payload: &Value) {
    for key in ["message", "remedy"] {
        if let Some(said) = payload.get(key).and_then(Value::as_str) {
            let _ = writeln!(lines, "{said}");
        }
    }
    if let Some(id) = payload.get("delivery").and_then(Value::as_str) {
        let _ = writeln!(
            lines,
            "\nThe whole story: tunemantra-worker deliveries show {id}"
        );
    }
}

fn text(value: Option<&Value>) -> &str {
    value
        .and_then(Value::as_str)
        .unwrap_or("an unknown platform")
}

fn quoted(value: Option<&Value>) -> String {
    format!("\"{}\"", value.and_then(Value::as_str).unwrap_or("?"))
}
