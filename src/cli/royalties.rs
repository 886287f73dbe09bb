//! `royalties`: runs, statements, balances, and what decides them.

mod accounts;
mod documents;
mod print;
mod runs;

use std::process::ExitCode;

use clap::Subcommand;
use jobs::royalty::{self, Period, Refused, Run};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{cli::Failure, config::Config};

/// Look after royalties: runs, statements, balances.
///
/// A run is named by its id, or by its period (2026-10), which means the newest run of that month
/// that is not void. Amounts are in the accounting currency (royalties.currency); in JSON they are
/// text.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Runs(runs::Command),
    #[command(flatten)]
    Documents(documents::Command),
    #[command(flatten)]
    Accounts(accounts::Command),
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let url = &config.database.url.0;
    let name = "tunemantra-worker royalties";
    let pool = super::connect(url, name, super::COMMAND_CONNECTIONS).await?;
    match arguments.command {
        Command::Runs(command) => runs::run(command, &pool, config).await,
        Command::Documents(command) => documents::run(command, &pool, config).await,
        Command::Accounts(command) => accounts::run(command, &pool, config).await,
    }
}

/// Which run: its id or its period.
#[derive(Clone, Copy, Debug)]
enum Which {
    Id(Uuid),
    Period(Period),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        text.parse().map(Self::Period).map_err(|_| {
            format!(
                "{text:?} is neither a run's id nor a period; write year and month, such as 2026-10"
            )
        })
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Period(period) => period.fmt(f),
        }
    }
}

/// The run that is meant.
async fn find(conn: &mut PgConnection, which: Which) -> anyhow::Result<Run> {
    let run = match which {
        Which::Id(id) => royalty::get(conn, id).await?,
        Which::Period(period) => royalty::newest(conn, period).await?,
    };
    Ok(run.ok_or_else(|| {
        Failure::missing(format!(
            "there is no royalty run {which}; `royalties list` shows them"
        ))
    })?)
}

async fn find_in(pool: &PgPool, which: Which) -> anyhow::Result<Run> {
    find(&mut *pool.acquire().await?, which).await
}

/// A refusal is an answer, and the database's fault its own.
fn refusal(error: Refused) -> anyhow::Error {
    match error {
        Refused::Database(error) => error.into(),
        Refused::Missing(_) => Failure::missing(error.to_string()).into(),
        Refused::NotOver(_)
        | Refused::State { .. }
        | Refused::SetAside { .. }
        | Refused::Outdated(_)
        | Refused::Stale(_)
        | Refused::OtherOpen(_)
        | Refused::NothingDue { .. } => Failure::no(error.to_string()).into(),
        Refused::Compute(_) | Refused::Job(_) => error.into(),
    }
}
