//! `retention`: what is old enough to be removed.

use std::process::ExitCode;

use anyhow::Context as _;
use jobs::retention::{Mode, Pruned, prune, prune_by_operator};

use crate::{
    cli::{
        by::{Reason, now},
        table::{self, table},
    },
    config::Config,
};

/// Remove what is older than the configuration keeps, as the daemon does every night; or only
/// count it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Remove nothing: print what would go.
    #[arg(long, required_unless_present = "reason", conflicts_with = "reason")]
    dry_run: bool,
    #[command(flatten)]
    reason: Option<Reason>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let url = &config.database.url.0;
    let pool = super::connect(
        url,
        "tunemantra-worker retention",
        super::COMMAND_CONNECTIONS,
    )
    .await?;
    let (mode, pruned) = match &arguments.reason {
        Some(reason) => {
            let pruned = prune_by_operator(&pool, &config.retention, &reason.by()?, now()).await?;
            (Mode::Remove, pruned)
        }
        None => {
            let counted = prune(&pool, &config.retention, Mode::Count, now()).await?;
            (Mode::Count, counted)
        }
    };
    let mut out = crate::cli::out();
    if arguments.json {
        table::json(&mut out, &pruned)?;
    } else {
        print(&mut out, &pruned, mode)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl std::io::Write, pruned: &[Pruned], mode: Mode) -> anyhow::Result<()> {
    let rows = pruned.iter().map(|one| {
        let kept = match one.days {
            0 => "for ever".to_owned(),
            days => format!("{days} days"),
        };
        [one.table.to_owned(), kept, one.rows.to_string()]
    });
    let rows_head = match mode {
        Mode::Remove => "rows removed",
        Mode::Count => "rows that would go",
    };
    writeln!(out, "{}", table(["table", "kept", rows_head], rows)).context("standard output")
}
