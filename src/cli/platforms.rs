//! `platforms`: how they stand, whether they can be connected to, and going on after a pause.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;
use jobs::{catalog, delivery};
use platform_adapters::{ConnectOptions, Fault, connect, package::AssetStore, settings::Platform};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table::{self, table, text},
    },
    config::Config,
};

const CONNECTIONS: u32 = 2;

/// Look after platforms: list them, check one's settings and connection, hold one, let one go on.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List platforms with what waits for them.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Validate a platform's settings and connect to it. Delivers nothing.
    ///
    /// Looks at name, host key or certificate, credentials, write access. Exit code: 0 if all is
    /// well, 1 otherwise. `tunemantra-worker check --connect` does so for every active platform.
    Check {
        /// The platform's id.
        id: i32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Hold a platform: no new attempts from now on; those under way finish.
    Pause {
        /// The platform's id.
        id: i32,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a platform go on after its settings were mended.
    ///
    /// Its queue is no longer paused, and its held deliveries are queued again.
    Resume {
        /// The platform's id.
        id: i32,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let pool = super::connect(
        &config.database.url.0,
        "tunemantra-worker platforms",
        CONNECTIONS,
    )
    .await?;
    let mut out = std::io::stdout().lock();
    match arguments.command {
        Command::List { json } => {
            let listed = catalog::platforms(&pool).await?;
            if json {
                table::json(&mut out, &listed)?;
            } else if listed.is_empty() {
                writeln!(out, "no platforms")?;
            } else {
                print_list(&mut out, &listed)?;
            }
        }
        Command::Check { id, json: as_json } => {
            let mut connection = pool.acquire().await?;
            let Some(row) = catalog::platform_row(&mut connection, id).await? else {
                return Err(Failure::missing(format!(
                    "there is no platform {id}; `platforms list` shows those there are"
                ))
                .into());
            };
            let found = check(&row, config).await;
            if as_json {
                let fault = found.as_ref().err().map(|fault| {
                    json!({"code": fault.code.as_str(), "message": fault.message,
                           "remedy": fault.remedy()})
                });
                let in_order = found.as_ref().ok();
                let answer = json!({"platform": row.name, "ok": found.is_ok(),
                                    "in_order": in_order, "fault": fault});
                table::json(&mut out, &answer)?;
            } else {
                match &found {
                    Ok(sentences) => {
                        for sentence in sentences {
                            writeln!(out, "ok   {sentence}")?;
                        }
                    }
                    Err(fault) => {
                        writeln!(out, "FAIL {}: {}", fault.code, fault.message)?;
                        writeln!(out, "     {}", fault.remedy())?;
                    }
                }
            }
            if found.is_err() {
                return Ok(ExitCode::from(EX_NO));
            }
        }
        Command::Pause { id, reason, json } => {
            let by = reason.by()?;
            let mut transaction = pool.begin().await?;
            known(&mut transaction, id).await?;
            let paused = delivery::pause_platform(&mut transaction, id, &by, now()).await?;
            transaction.commit().await?;
            if json {
                table::json(&mut out, &paused)?;
            } else {
                let was = if paused.was_paused {
                    "was paused already and stays so"
                } else {
                    "is paused"
                };
                writeln!(
                    out,
                    "platform {id} {was}; attempts that still finish: {}",
                    paused.running
                )?;
            }
        }
        Command::Resume { id, reason, json } => {
            let by = reason.by()?;
            let mut transaction = pool.begin().await?;
            known(&mut transaction, id).await?;
            let resumed = delivery::resume_platform(&mut transaction, id, &by, now()).await?;
            transaction.commit().await?;
            if json {
                table::json(&mut out, &resumed)?;
            } else {
                let was = if resumed.was_paused {
                    "was paused and goes on"
                } else {
                    "was not paused"
                };
                writeln!(
                    out,
                    "platform {id} {was}; deliveries released: {}",
                    resumed.released
                )?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The platform is there.
async fn known(conn: &mut PgConnection, id: i32) -> anyhow::Result<()> {
    match catalog::platform_row(conn, id).await? {
        Some(_) => Ok(()),
        None => Err(Failure::missing(format!(
            "there is no platform {id}; `platforms list` shows those there are"
        ))
        .into()),
    }
}

async fn check(
    row: &platform_adapters::settings::PlatformRow,
    config: &Config,
) -> Result<Vec<String>, Fault> {
    let platform = Platform::from_row(row)?;
    let assets = AssetStore::local(&config.assets.root)?;
    // Settings of DDEX's schemas matter to messages, not to the connection.
    connect(platform, assets, &ConnectOptions::default())?
        .check()
        .await
}

fn print_list(
    out: &mut impl std::io::Write,
    listed: &[catalog::PlatformQueue],
) -> anyhow::Result<()> {
    let rows = listed.iter().map(|one| {
        let state = match one.paused_at {
            Some(at) => format!(
                "paused since {}: {}",
                at.format("%F %T UTC"),
                text(one.paused_reason.as_ref())
            ),
            None => one.status.clone(),
        };
        [
            one.id.to_string(),
            one.name.clone(),
            one.method.clone(),
            state,
            one.waiting.to_string(),
            one.sending.to_string(),
            one.sent.to_string(),
            one.held.to_string(),
        ]
    });
    let head = [
        "id", "platform", "method", "state", "waiting", "sending", "sent", "held",
    ];
    writeln!(out, "{}", table(head, rows)).context("standard output")
}
