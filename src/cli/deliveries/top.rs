//! `deliveries top`: how it all stands, again and again.

use std::{io::Write, time::Duration};

use jobs::overview::{self, Overview};
use sqlx::PgPool;

use crate::cli::{
    by::now,
    table::{json, table, text},
    watch::looks,
};

/// How often, and how long.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// End after so many looks; without it, on Ctrl-C.
    #[arg(long, value_name = "N")]
    times: Option<u64>,
    /// Print JSON, a document for each look.
    #[arg(long)]
    json: bool,
}

/// The columns by age, as `jobs::overview::AGES_MIN` ends them.
const AGES: [&str; 8] = ["<5m", "<15m", "<1h", "<4h", "<1d", "<3d", "<7d", "older"];

/// Looks until it is interrupted. On a terminal each look replaces the one before.
pub(super) async fn run(pool: &PgPool, arguments: &Arguments) -> anyhow::Result<()> {
    let pause = Duration::from_secs(arguments.every);
    looks(pause, arguments.times, async |out| {
        let overview = overview::overview(pool, now()).await?;
        match arguments.json {
            true => json(out, &overview),
            false => print(out, &overview),
        }
    })
    .await
}

fn print(out: &mut impl Write, overview: &Overview) -> anyhow::Result<()> {
    let waiting: i64 = overview.shape.iter().map(|shape| shape.total).sum();
    let (accepted, rejected, failed) = overview.hours.last().map_or((0, 0, 0), |hour| {
        (hour.accepted, hour.rejected, hour.failed)
    });
    writeln!(
        out,
        "{}: {waiting} wait; this hour {accepted} accepted, {rejected} rejected, {failed} failed\n",
        overview.at.format("%F %T UTC")
    )?;
    let rows = overview.shape.iter().map(|shape| {
        let mut cells = shape.by_age.iter().map(ToString::to_string);
        std::array::from_fn::<String, 10, _>(|at| match at {
            0 => shape.platform.clone(),
            1 => shape.total.to_string(),
            _ => cells.next().unwrap_or_default(),
        })
    });
    let head: [&str; 10] = std::array::from_fn(|at| match at {
        0 => "platform",
        1 => "all",
        _ => AGES.get(at - 2).copied().unwrap_or_default(),
    });
    if overview.shape.is_empty() {
        writeln!(out, "every delivery is decided")?;
    } else {
        writeln!(out, "{}", table(head, rows))?;
    }
    if !overview.attention.is_empty() {
        let rows = overview.attention.iter().map(|one| {
            [
                one.kind.replace('_', " "),
                one.count.to_string(),
                text(one.platform.as_ref()),
                text(one.fault_code.as_ref()),
                text(one.message.as_ref()),
            ]
        });
        let head = [
            "needs a person",
            "",
            "platform",
            "fault",
            "in the words of the last",
        ];
        writeln!(out, "\n{}", table(head, rows))?;
    }
    Ok(())
}
