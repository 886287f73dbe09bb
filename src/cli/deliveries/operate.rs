//! `deliveries hold`, `release`, `cancel`, `retry`, `redeliver`, `expedite`: of some deliveries, or
//! of all that fit.

use std::{io::Write, process::ExitCode};

use jobs::delivery::{self, Operation, Selection, Tally};
use sqlx::PgPool;
use uuid::Uuid;

use super::conditions::Conditions;
use crate::cli::{
    EX_NO, Failure,
    by::{Reason, now},
    table::json,
};

/// Which deliveries, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The deliveries' ids; without any, all that fit the conditions.
    #[arg(value_name = "DELIVERY", conflicts_with = "Conditions")]
    ids: Vec<Uuid>,
    #[command(flatten)]
    conditions: Conditions,
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
    let selection = arguments.conditions.selection(now());
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
