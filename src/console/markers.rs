//! Words as pages show them: states with their colours, times, ages, sizes. Templates call these with
//! references.

use chrono::{DateTime, TimeDelta, Utc};

/// The class of a state's badge.
pub(super) fn tone(state: &str) -> &'static str {
    match state {
        "accepted" | "completed" | "running" | "closed" | "active" => "good",
        "failed" | "rejected" | "dead" | "gone" | "open" | "partial" => "bad",
        "held" | "unknown" | "retrying" | "retry" | "snoozed" | "half_open" | "paused"
        | "crashed" => "warn",
        "sending" | "batched" | "sent" | "processing" => "busy",
        _ => "calm",
    }
}

/// A time as markup, which scripts show in the viewer's zone too.
pub(super) fn time(at: &DateTime<Utc>) -> String {
    let (machine, person) = (at.format("%FT%TZ"), at.format("%F %T"));
    format!("<time datetime=\"{machine}\">{person} UTC</time>")
}

/// How long ago, in the two largest units.
pub(super) fn ago(at: &DateTime<Utc>, now: &DateTime<Utc>) -> String {
    let passed = *now - *at;
    match passed < TimeDelta::zero() {
        true => format!("in {}", span(-passed)),
        false => format!("{} ago", span(passed)),
    }
}

/// A span in the unit that says enough.
pub(crate) fn span(span: TimeDelta) -> String {
    let (seconds, minutes, hours, days) = (
        span.num_seconds(),
        span.num_minutes(),
        span.num_hours(),
        span.num_days(),
    );
    match () {
        () if seconds < 60 => format!("{seconds} s"),
        () if minutes < 60 => format!("{minutes} min"),
        () if hours < 48 => format!("{hours} h {:02} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// A size in the unit that says enough.
pub(super) fn bytes(size: &(impl Copy + Into<i64>)) -> String {
    let size: i64 = (*size).into();
    let size = u64::try_from(size).unwrap_or_default();
    let mut unit = "B";
    let mut scaled = size as f64;
    for next in ["kB", "MB", "GB", "TB"] {
        if scaled < 1000.0 {
            break;
        }
        scaled /= 1000.0;
        unit = next;
    }
    match unit {
        "B" => format!("{size} B"),
        _ => format!("{scaled:.1} {unit}"),
    }
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: &impl ToString) -> String {
    let text = number.to_string();
    let (whole, rest) = match text.split_once('.') {
        Some((whole, rest)) => (whole, Some(rest)),
        None => (text.as_str(), None),
    };
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", whole),
    };
    let mut grouped = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(rest) = rest {
        grouped.push('.');
        grouped.push_str(rest);
    }
    grouped
}

/// What an operation is called on a button.
pub(super) fn verb(operation: &jobs::delivery::Operation) -> &'static str {
    use jobs::delivery::Operation as O;
    match operation {
        O::Hold => "Hold",
        O::Release => "Release",
        O::Cancel => "Cancel",
        O::Retry => "Retry now",
        O::Redeliver => "Redeliver",
        O::Expedite => "Expedite",
    }
}

/// What it does, in a sentence.
pub(super) fn meaning(operation: &jobs::delivery::Operation) -> &'static str {
    use jobs::delivery::Operation as O;
    match operation {
        O::Hold => "No attempts until it is released.",
        O::Release => "It is tried again, with all its attempts.",
        O::Cancel => {
            "It is called off. What is just being sent is stopped, and what arrived decides."
        }
        O::Retry => {
            "The next attempt, or the next question to the partner, is made now; its batch is closed now."
        }
        O::Redeliver => "It is handed over once more, as a new transmission.",
        O::Expedite => "It goes before the others to its platform.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let read = |number: &str| grouped(&number);
        assert_eq!(read("17589.6839"), "17,589.6839");
        assert_eq!(
            (read("0").as_str(), read("-999.5").as_str()),
            ("0", "-999.5")
        );
        assert_eq!(read("-1000000"), "-1,000,000");
    }

    #[test]
    fn spans_and_sizes_read_well() {
        assert_eq!(span(TimeDelta::seconds(59)), "59 s");
        assert_eq!(span(TimeDelta::minutes(61)), "1 h 01 min");
        assert_eq!(span(TimeDelta::hours(50)), "2 d 2 h");
        assert_eq!(
            (bytes(&999).as_str(), bytes(&75_300).as_str()),
            ("999 B", "75.3 kB")
        );
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(ago(&(now + TimeDelta::minutes(5)), &now), "in 5 min");
    }
}
