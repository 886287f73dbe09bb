//! `deliveries hold`, `release`, `cancel`, `retry`, `redeliver`, `expedite`: of some deliveries, or
//! of all that fit.

use std::{io::Write, process::ExitCode};

use chrono::TimeDelta;
use jobs::delivery::{self, Operation, Selection, State, Tally};
use sqlx::PgPool;
use uuid::Uuid;

use crate::cli::{
    EX_NO, Failure,
    by::{Reason, now},
    table::json,
};

/// Which deliveries, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The deliveries' ids; without any, all that fit the conditions.
    #[arg(value_name = "DELIVERY")]
    ids: Vec<Uuid>,
    /// Only those to this platform.
    #[arg(long, value_name = "ID", conflicts_with = "ids")]
    platform: Option<i32>,
    /// Only those in this state.
    #[arg(long, conflicts_with = "ids", value_parser = super::state)]
    state: Option<State>,
    /// Only those of this release.
    #[arg(long, value_name = "ID", conflicts_with = "ids")]
    release: Option<i32>,
    /// Only those of the release with this UPC.
    #[arg(long, conflicts_with = "ids")]
    upc: Option<String>,
    /// Only those with this fault, such as host_key_changed.
    #[arg(long, value_name = "CODE", conflicts_with = "ids")]
    fault: Option<String>,
    /// Only those made longer ago than this: 90m, 12h, 3d.
    #[arg(long, value_name = "AGE", conflicts_with = "ids", value_parser = age)]
    older_than: Option<TimeDelta>,
    /// At most so many, the oldest first.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        conflicts_with = "ids"
    )]
    limit: u32,
    /// Do it to all that fit; without this they are only counted.
    #[arg(long, conflicts_with = "ids")]
    yes: bool,
    #[command(flatten)]
    reason: Reason,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Does it, or says to how many it would be done.
pub(super) async fn run(
    out: &mut impl Write,
    pool: &PgPool,
    operation: Operation,
    arguments: Arguments,
) -> anyhow::Result<ExitCode> {
    let by = arguments.reason.by()?;
    let tally = if arguments.ids.is_empty() {
        let selection = selection(&arguments)?;
        if !arguments.yes {
            let count = delivery::count(pool, &selection, operation).await?;
            return announce(out, operation, count, &arguments);
        }
        let limit = arguments.limit.into();
        delivery::operate_all(pool, &selection, operation, limit, &by, now()).await?
    } else {
        delivery::operate_each(pool, &arguments.ids, operation, &by, now()).await?
    };
    print(out, &tally, arguments.json)?;
    Ok(match tally.refused.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EX_NO),
    })
}

fn selection(arguments: &Arguments) -> Result<Selection, Failure> {
    let selection = Selection {
        platform_id: arguments.platform,
        states: arguments.state.into_iter().collect(),
        release_id: arguments.release,
        upc: arguments.upc.clone(),
        fault_code: arguments.fault.clone(),
        created_before: arguments.older_than.map(|age| now() - age),
        ..Selection::default()
    };
    if selection.is_everything() {
        return Err(Failure::usage(anyhow::anyhow!(
            "name the deliveries, or give a condition such as --platform, --state or --release"
        )));
    }
    Ok(selection)
}

/// Counts before anything is changed.
fn announce(
    out: &mut impl Write,
    operation: Operation,
    count: i64,
    arguments: &Arguments,
) -> anyhow::Result<ExitCode> {
    if arguments.json {
        json(out, &serde_json::json!({"would_change": count}))?;
    } else {
        let action = operation.as_str();
        writeln!(
            out,
            "{count} deliveries fit and can take {action}; nothing is changed yet. With --yes it is \
             done to {}, the oldest first.",
            count.min(arguments.limit.into())
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what was done, and what was not and why.
pub(in crate::cli) fn print(
    out: &mut impl Write,
    tally: &Tally,
    as_json: bool,
) -> anyhow::Result<()> {
    if as_json {
        return json(out, tally);
    }
    writeln!(out, "done: {}", tally.changed)?;
    if tally.stopping > 0 {
        writeln!(
            out,
            "being stopped: {} (what arrived at the partner decides; see `deliveries show`)",
            tally.stopping
        )?;
    }
    for (id, why) in &tally.refused {
        writeln!(out, "not done: {id}: {why}")?;
    }
    Ok(())
}

/// `90m`, `12h`, `3d`.
fn age(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("{text:?} is no age; write 90m, 12h or 3d");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    let age = match text.get(digits.len()..) {
        Some("s") => TimeDelta::try_seconds(number),
        Some("m") => TimeDelta::try_minutes(number),
        Some("h") => TimeDelta::try_hours(number),
        Some("d") => TimeDelta::try_days(number).filter(|_| number < 100_000),
        _ => None,
    };
    age.filter(|age| *age >= TimeDelta::zero())
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_people_write_them() {
        assert_eq!(age("90m"), Ok(TimeDelta::minutes(90)));
        assert_eq!(age("3d"), Ok(TimeDelta::days(3)));
        for wrong in ["", "3", "d", "-1h", "3w", "9999999999999999d", "3dd"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
