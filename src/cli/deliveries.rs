//! `deliveries`: what is on its way, the whole story of one, and what is done to them.

mod acknowledge;
mod conditions;
mod operate;
mod revise;
mod show;
mod top;

use std::{io::Write as _, process::ExitCode};

use clap::Subcommand;
use jobs::delivery::{self, Filter, Listed, Operation};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    cli::{
        Failure,
        by::now,
        table::{json, table, text},
        watch::Watch,
    },
    config::Config,
};

use conditions::Conditions;

pub(super) use operate::print as print_tally;

/// Deliveries: what goes to which platform, where it stands, and why; and what is done to them.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List deliveries, the newest first.
    List {
        #[command(flatten)]
        conditions: Conditions,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        #[command(flatten)]
        watch: Watch,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one delivery: what happened, what was sent, what came back.
    Show {
        /// The delivery's id.
        id: Uuid,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    Acknowledge(acknowledge::Arguments),
    /// Print a document kept as evidence, as it was sent or received.
    Evidence {
        /// The delivery's id.
        id: Uuid,
        /// The document's name, as `show` lists it.
        name: String,
    },
    /// Watch what waits for whom and how long, and what needs a person. Ctrl-C ends it.
    Top(top::Arguments),
    #[command(flatten)]
    Change(Change),
}

/// What changes something.
#[derive(Debug, Subcommand)]
enum Change {
    /// Hold deliveries: no attempts until they are released.
    Hold(operate::Arguments),
    /// Release held deliveries: they are tried again, with all their attempts.
    Release(operate::Arguments),
    /// Call deliveries off that were not sent.
    ///
    /// One that is just being sent is stopped, and then looked whether it arrived: what lies whole
    /// at the partner is accepted, and `deliveries takedown` takes it away.
    Cancel(operate::Arguments),
    /// Try deliveries again now, close their batch now, or ask the partner again now, instead of
    /// waiting.
    Retry(operate::Arguments),
    /// Hand decided deliveries over once more, as a new transmission.
    Redeliver(operate::Arguments),
    /// Let waiting deliveries go before the others to their platform.
    Expedite(operate::Arguments),
    /// Take a release down where it is. What is still on its way there is called off first.
    Takedown {
        #[command(flatten)]
        place: revise::Where,
        /// Only in this territory: two letters of ISO 3166-1.
        #[arg(long, value_name = "CODE")]
        territory: Option<String>,
    },
    /// Have one platform forget a release, as if it had never been there.
    ///
    /// By a PurgeReleaseMessage of DDEX, and only where the platform's format_specs.ddex.purge allows
    /// it: for what cannot be taken down in the normal way. What is still on its way there is called
    /// off first.
    Purge(revise::Forgotten),
    /// Sell a release again in a territory where it was taken down.
    Restore {
        #[command(flatten)]
        place: revise::Where,
        /// The territory: two letters of ISO 3166-1.
        #[arg(long, value_name = "CODE")]
        territory: String,
    },
    /// Send what changed of a release since it was delivered. Nothing is sent where nothing did.
    Update {
        #[command(flatten)]
        place: revise::Where,
    },
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let pool = super::connect(
        &config.database.url.0,
        "tunemantra-worker deliveries",
        super::COMMAND_CONNECTIONS,
    )
    .await?;
    let mut out = crate::cli::out();
    match arguments.command {
        Command::List {
            conditions,
            limit,
            watch,
            json: as_json,
        } => {
            drop(out);
            let look = async |out: &mut Vec<u8>| {
                let filter = Filter {
                    selection: conditions.selection(now()),
                    after: None,
                    limit: limit.into(),
                };
                let listed = delivery::list(&pool, &filter).await?;
                if as_json {
                    json(out, &listed)?;
                } else if listed.is_empty() {
                    writeln!(out, "no deliveries")?;
                } else {
                    print_list(out, &listed)?;
                }
                Ok(())
            };
            watch.looks(look).await?;
        }
        Command::Show { id, json: as_json } => {
            let Some(story) = delivery::story(&pool, id).await? else {
                return Err(Failure::missing(format!("there is no delivery {id}")).into());
            };
            if as_json {
                json(&mut out, &story)?;
            } else {
                show::print(&mut out, &story, now())?;
            }
        }
        Command::Acknowledge(arguments) => acknowledge::run(&mut out, &pool, arguments).await?,
        Command::Evidence { id, name } => {
            let Some(body) = delivery::evidence(&pool, id, &name).await? else {
                return Err(Failure::missing(format!(
                    "nothing named {name:?} is kept of delivery {id}; `deliveries show` lists it"
                ))
                .into());
            };
            out.write_all(&body)?;
        }
        Command::Top(arguments) => {
            drop(out);
            top::run(&pool, &arguments).await?;
        }
        Command::Change(change) => return make(&mut out, &pool, change).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a change.
async fn make(
    out: &mut impl std::io::Write,
    pool: &PgPool,
    change: Change,
) -> anyhow::Result<ExitCode> {
    let (operation, arguments) = match change {
        Change::Hold(arguments) => (Operation::Hold, arguments),
        Change::Release(arguments) => (Operation::Release, arguments),
        Change::Cancel(arguments) => (Operation::Cancel, arguments),
        Change::Retry(arguments) => (Operation::Retry, arguments),
        Change::Redeliver(arguments) => (Operation::Redeliver, arguments),
        Change::Expedite(arguments) => (Operation::Expedite, arguments),
        Change::Takedown { place, territory } => {
            return revise::take_down(out, pool, place, territory).await;
        }
        Change::Purge(what) => return revise::purge(out, pool, what).await,
        Change::Restore { place, territory } => {
            return revise::restore(out, pool, place, &territory).await;
        }
        Change::Update { place } => return revise::update(out, pool, place).await,
    };
    operate::run(out, pool, operation, arguments).await
}

fn confirmed(listed: &Listed) -> String {
    let said = |key: &str| {
        listed
            .receipt
            .as_ref()
            .and_then(|receipt| receipt.get(key)?.as_str().map(ToOwned::to_owned))
    };
    match &listed.fault_message {
        Some(message) => {
            format!(
                "{}: {message}",
                listed.fault_code.as_deref().unwrap_or("fault")
            )
        }
        None => said("confirmed").unwrap_or_default(),
    }
}

fn print_list(out: &mut impl std::io::Write, listed: &[Listed]) -> anyhow::Result<()> {
    let rows = listed.iter().map(|one| {
        [
            one.id.to_string(),
            one.release.clone(),
            text(one.upc.as_ref()),
            one.platform.clone(),
            one.method.clone(),
            format!("{} {}", one.kind, one.revision),
            one.state.clone(),
            one.attempts.to_string(),
            confirmed(one),
        ]
    });
    let head = [
        "id",
        "release",
        "upc",
        "platform",
        "method",
        "what",
        "state",
        "attempts",
        "last word",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}
