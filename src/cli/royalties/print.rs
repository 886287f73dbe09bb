//! How runs look to people.

use std::io::Write;

use chrono::{DateTime, Utc};
use jobs::royalty::{Kind, Run, SetAsideTrack, Totals};

use crate::cli::table::{table, text};

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(String::new, |at| at.format("%F %T UTC").to_string())
}

pub(super) fn runs(out: &mut impl Write, runs: &[Run]) -> anyhow::Result<()> {
    let rows = runs.iter().map(|run| {
        let none = Totals::default();
        let totals = run.totals.as_ref().unwrap_or(&none);
        let figure = |figure: String| run.totals.as_ref().map_or_else(String::new, |_| figure);
        [
            run.id.to_string(),
            run.period.to_string(),
            run.revision.to_string(),
            run.state.as_str().to_owned(),
            figure(totals.tracks.to_string()),
            figure(totals.set_aside.to_string()),
            figure(format!("{} {}", totals.revenue, run.currency)),
            figure(totals.payable.to_string()),
            time(run.computed_at),
            time(run.final_at),
        ]
    });
    let head = [
        "id",
        "period",
        "revision",
        "state",
        "tracks",
        "set aside",
        "revenue",
        "payable",
        "computed",
        "final",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}

pub(super) fn run(out: &mut impl Write, run: &Run, aside: &[SetAsideTrack]) -> anyhow::Result<()> {
    writeln!(
        out,
        "royalty run {}: {} ({})",
        run.name(),
        run.state.as_str(),
        run.id
    )?;
    if let Some(fault) = &run.fault {
        writeln!(out, "it could not be computed: {fault}")?;
    }
    if let Some(progress) = &run.progress {
        writeln!(
            out,
            "{}: {} of {}",
            progress.phase, progress.done, progress.total
        )?;
    }
    if let Some(totals) = &run.totals {
        self::totals(out, run, totals)?;
    }
    if !aside.is_empty() {
        writeln!(out, "\nset aside")?;
        let rows = aside.iter().map(|one| {
            [
                one.track_id.to_string(),
                one.title.clone(),
                text(one.isrc.as_ref()),
                one.usage_month.to_string(),
                one.revenue.to_string(),
                format!("{}: {}", one.code, one.why),
            ]
        });
        let head = ["track", "title", "isrc", "month", "revenue", "why"];
        writeln!(out, "{}", table(head, rows))?;
    }
    for (name, digest) in [("input", &run.input_digest), ("output", &run.output_digest)] {
        if let Some(digest) = digest {
            writeln!(out, "{name} {digest}")?;
        }
    }
    Ok(())
}

fn totals(out: &mut impl Write, run: &Run, totals: &Totals) -> anyhow::Result<()> {
    let currency = &run.currency;
    writeln!(
        out,
        "{} tracks, {} payees, {} streams, {} downloads",
        totals.tracks, totals.payees, totals.streams, totals.downloads
    )?;
    writeln!(out, "revenue {} {currency}", totals.revenue)?;
    if !totals.late_revenue.is_zero() {
        writeln!(
            out,
            "  of months that were final: {} {currency}",
            totals.late_revenue
        )?;
    }
    for (kind, amount) in Kind::ALL
        .iter()
        .filter_map(|kind| Some((kind, totals.kinds.get(kind)?)))
    {
        writeln!(out, "  {}: {amount} {currency}", kind.label())?;
    }
    writeln!(out, "payable {} {currency}", totals.payable)?;
    if totals.set_aside > 0 {
        writeln!(
            out,
            "set aside: {} tracks, {} {currency}",
            totals.set_aside, totals.set_aside_revenue
        )?;
    }
    Ok(())
}
