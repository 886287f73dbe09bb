//! A notification in words: what a person reads in a mail or a ticket.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Event, digest::Gathered, notify::Told};

/// Gathered notifications that a mail names; of the others it gives the number.
const NAMED: usize = 50;

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
        Event::DeliveryShortNotice => {
            format!("{platform} got {release} shortly before its street date")
        }
        Event::PlatformPaused => format!("Nothing is sent to {platform} any more"),
        Event::WorkerTest => "A test of tunemantra-worker".to_owned(),
    };
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The text below the subject.
pub(super) fn body(told: &Told, others: &[Gathered]) -> String {
    let mut lines = subject(told);
    lines.push_str(if lines.ends_with('?') {
        "\n\n"
    } else {
        ".\n\n"
    });
    if told.event.is_of_schedule() {
        schedule(&mut lines, &told.payload);
    } else {
        delivery(&mut lines, &told.payload);
    }
    gathered(&mut lines, others);
    // Writing to a String cannot fail.
    let _ = write!(lines, "\n{} {}\n", told.event.as_str(), told.subject);
    lines
}

/// What else of the kind has come since the last mail.
fn gathered(lines: &mut String, others: &[Gathered]) {
    if others.is_empty() {
        return;
    }
    let _ = writeln!(lines, "\n{} more of the same kind:", others.len());
    for one in others.iter().take(NAMED) {
        let release = quoted(one.payload.pointer("/release/title"));
        let upc = one.payload.pointer("/release/upc").and_then(Value::as_str);
        let _ = write!(lines, "- {release} (UPC {})", upc.unwrap_or("unknown"));
        let _ = match one.payload.get("delivery").and_then(Value::as_str) {
            Some(id) => writeln!(lines, ", delivery {id}"),
            None => writeln!(lines),
        };
    }
    if let Some(unnamed) = others.len().checked_sub(NAMED).filter(|left| *left > 0) {
        let _ = writeln!(
            lines,
            "- and {unnamed} others: tunemantra-worker notifications list"
        );
    }
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
    let said = |key: &str| payload.get(key).and_then(Value::as_str);
    if let Some(message) = said("message") {
        let _ = writeln!(lines, "{message}");
    }
    if let Some(remedy) = said("remedy") {
        let _ = writeln!(lines, "\nWhat to do: {remedy}");
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
