//! `cron`: what runs at set times, when it ran and runs next, and running or pausing it by hand.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use jobs::queue::cron::{self, Entry, Listed};
use serde_json::json;

use crate::{
    cli::{
        Failure,
        by::{Reason, now},
        table::{self, table, text},
    },
    config::Config,
};

/// Look after what runs at set times.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the entries with their last and next runs. Times are in UTC.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run an entry now, besides its set times; also one that is paused.
    Run(Change),
    /// Pause an entry: its set times pass without a run.
    Pause(Change),
    /// Let a paused entry go on with its next set time.
    Resume(Change),
}

#[derive(Debug, clap::Args)]
struct Change {
    /// The entry's name, as `list` shows it.
    name: String,
    #[command(flatten)]
    reason: Reason,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let entries = config.cron.entries()?;
    let url = &config.database.url.0;
    let pool = super::connect(url, "tunemantra-worker cron", super::COMMAND_CONNECTIONS).await?;
    let now = now();
    let mut out = crate::cli::out();
    let mut tx = pool.begin().await?;
    let (json, answer, sentence) = match arguments.command {
        Command::List { json } => {
            let listed = cron::list(&mut tx, &entries, now).await?;
            if json {
                table::json(&mut out, &listed)?;
            } else {
                print_list(&mut out, &listed)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Command::Run(Change { name, reason, json }) => {
            let run = cron::run_now(&mut tx, find(&entries, &name)?, &reason.by()?, now).await?;
            let sentence = match run.job {
                Some(job) => format!("{name} runs as job {job}"),
                None => format!("{name} is running or waiting to run already"),
            };
            (json, json!({"name": name, "job": run.job}), sentence)
        }
        Command::Pause(Change { name, reason, json }) => {
            let changed = cron::pause(&mut tx, find(&entries, &name)?, &reason.by()?, now).await?;
            let was = if changed { "is" } else { "was already" };
            let answer = json!({"name": name, "paused": true, "changed": changed});
            (json, answer, format!("{name} {was} paused"))
        }
        Command::Resume(Change { name, reason, json }) => {
            let changed = cron::resume(&mut tx, find(&entries, &name)?, &reason.by()?, now).await?;
            let was = if changed { "goes on" } else { "was not paused" };
            let answer = json!({"name": name, "paused": false, "changed": changed});
            (json, answer, format!("{name} {was}"))
        }
    };
    tx.commit().await?;
    if json {
        table::json(&mut out, &answer)?;
    } else {
        writeln!(out, "{sentence}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(entries: &'a [Entry], name: &str) -> Result<&'a Entry, Failure> {
    entries
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
            Failure::missing(format!(
                "there is no cron entry {name:?} with an expression in the configuration; there \
                 are: {}",
                names.join(", ")
            ))
        })
}

fn print_list(out: &mut impl std::io::Write, listed: &[Listed]) -> anyhow::Result<()> {
    let time = |at: Option<DateTime<Utc>>| {
        at.map_or_else(String::new, |at| at.format("%F %T").to_string())
    };
    let rows = listed.iter().map(|one| {
        let last = one.last.as_ref();
        let state = last.map_or_else(String::new, |run| {
            let state = match (&run.state, run.job) {
                (Some(state), _) => state.clone(),
                (None, Some(_)) => "pruned".to_owned(),
                (None, None) => "left out: the run before was not finished".to_owned(),
            };
            match &run.fault {
                Some(fault) => format!("{state}: {fault}"),
                None => state,
            }
        });
        let next = match one.paused_at {
            Some(at) => format!(
                "paused since {}: {}",
                at.format("%F %T"),
                text(one.reason.as_ref())
            ),
            None => time(one.next),
        };
        [
            one.name.to_owned(),
            one.expression.clone(),
            next,
            time(last.map(|run| run.started_at)),
            state,
        ]
    });
    let head = ["entry", "when (UTC)", "next", "last", "last run"];
    writeln!(out, "{}", table(head, rows)).context("standard output")
}
