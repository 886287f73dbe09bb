//! `deliveries show`: the whole story of one, for people.

use std::io::Write;

use chrono::{DateTime, Utc};
use jobs::delivery::{InDoubt, Story};

use crate::{
    cli::table::{table, text},
    console::span,
};

/// Prints it as it stands at `now`.
pub(super) fn print(out: &mut impl Write, story: &Story, now: DateTime<Utc>) -> anyhow::Result<()> {
    let one = &story.delivery;
    writeln!(
        out,
        "{} of {:?} (UPC {}) to {} by {}: {}",
        one.kind,
        one.release,
        text(one.upc.as_ref()),
        one.platform,
        one.method,
        one.state
    )?;
    if let Some(batch) = &story.in_batch {
        let words = match one.state.as_str() {
            "batched" => batch.waits_for(&span(now - batch.opened_at)),
            _ => format!("{} with {} releases", batch.state, batch.releases),
        };
        writeln!(out, "  batch {}: {words}", batch.id)?;
    }
    match (&story.unknown, &one.fault_message) {
        (Some(unknown), _) => in_doubt(out, unknown)?,
        (None, Some(message)) => writeln!(out, "  {}: {message}", text(one.fault_code.as_ref()))?,
        (None, None) => {}
    }
    if let Some(remedy) = &one.fault_remedy {
        writeln!(out, "  {remedy}")?;
    }
    if let Some(at) = one.next_attempt_at {
        writeln!(out, "  next attempt {}", at.format("%F %T UTC"))?;
    }
    if let Some(receipt) = &one.receipt {
        writeln!(out, "  receipt {receipt}")?;
    }
    attempts(out, story)?;
    documents(out, story)
}

/// What is known of a hand-over whose outcome is not.
fn in_doubt(out: &mut impl Write, unknown: &InDoubt) -> anyhow::Result<()> {
    let time = |at: DateTime<Utc>| at.format("%F %T UTC").to_string();
    writeln!(
        out,
        "  not known whether it arrived, since {}",
        time(unknown.since)
    )?;
    writeln!(out, "    last certain step: {}", unknown.last_step)?;
    writeln!(out, "    key at the partner: {}", unknown.key)?;
    writeln!(out, "    folder at the partner: {}", unknown.folder)?;
    let first = unknown
        .first_sent_at
        .map_or_else(|| "never".to_owned(), time);
    writeln!(out, "    first sent: {first}")?;
    match unknown.files {
        0 => writeln!(out, "    files: not recorded, no attempt came to its end")?,
        files => writeln!(
            out,
            "    files: {files} of {} bytes, listed below",
            unknown.bytes
        )?,
    }
    if unknown.is_called_off {
        writeln!(
            out,
            "    called off: if the partner does not have it, nothing more is sent"
        )?;
    }
    Ok(())
}

fn attempts(out: &mut impl Write, story: &Story) -> anyhow::Result<()> {
    writeln!(out, "\nattempts")?;
    let rows = story.attempts_made.iter().map(|attempt| {
        [
            attempt.number.to_string(),
            attempt.started_at.format("%F %T UTC").to_string(),
            attempt
                .ended_at
                .map(|at| at.format("%T").to_string())
                .unwrap_or_default(),
            text(attempt.outcome.as_ref()),
            text(attempt.fault_message.as_ref()),
            attempt.worker.clone(),
        ]
    });
    writeln!(
        out,
        "{}",
        table(
            ["no", "started", "ended", "outcome", "fault", "worker"],
            rows
        )
    )?;
    Ok(())
}

fn documents(out: &mut impl Write, story: &Story) -> anyhow::Result<()> {
    let one = &story.delivery;
    writeln!(out, "\nfiles")?;
    let rows = story.files.iter().map(|file| {
        [
            file.name.clone(),
            file.size.to_string(),
            file.sha256.clone(),
        ]
    });
    writeln!(out, "{}", table(["name", "bytes", "sha256"], rows))?;
    writeln!(
        out,
        "\nevidence (print one with `deliveries evidence {} NAME`)",
        one.id
    )?;
    let rows = story.evidence.iter().map(|kept| {
        [
            kept.name.clone(),
            kept.media_type.clone(),
            kept.bytes.to_string(),
            kept.created_at.format("%F %T UTC").to_string(),
        ]
    });
    writeln!(out, "{}", table(["name", "type", "bytes", "kept"], rows))?;
    Ok(())
}
