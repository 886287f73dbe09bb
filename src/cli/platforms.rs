//! `platforms`: how they and their partners stand, whether they can be connected to, going on after a
//! pause, their secrets and the schemas of their settings.

mod host_key;
mod sealing;

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use jobs::{catalog, delivery};
use platform_adapters::settings::{self, Windows};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table::{self, table, text},
        watch::Watch,
    },
    config::Config,
    connection::{self, Means},
};

/// Look after platforms: list them, show one, check one's settings and connection, hold one, let
/// one go on, seal their secrets.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List platforms with what waits for them.
    List {
        #[command(flatten)]
        watch: Watch,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a platform: its limits as they are in force, how the partner stands, what waits for it.
    Show {
        /// The platform's id.
        id: i32,
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
    /// Make the worker's key, with which secrets in api_credentials are sealed.
    ///
    /// It is written to the file that secrets.key names, for its owner alone. An existing one is
    /// never replaced.
    Key {
        /// Put a new key before those in the file: secrets are sealed with the new one, and open
        /// with any.
        #[arg(long)]
        rotate: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Seal secrets with the worker's key, so that only the worker reads them.
    ///
    /// With a platform's id: all that stand in its api_credentials in plain, and those that an older
    /// key sealed. Without: one from standard input, printed as it is to stand in api_credentials.
    Seal {
        /// The platform's id.
        #[arg(requires = "reason")]
        id: Option<i32>,
        /// Why: it is kept in the audit, with your name.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of a platform's column.
    Schema {
        /// The column.
        column: Column,
    },
    /// Show the host keys of a platform's SFTP server, or pin one.
    ///
    /// Exit code: 0 if the pinned key is one of them, 1 otherwise. Needs no credentials, and sends
    /// nothing.
    HostKey(host_key::Arguments),
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
    /// Try a partner at once whose circuit is open, instead of waiting for the next probe.
    ///
    /// The next delivery is the probe; if it succeeds, the others follow.
    Probe {
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

/// A column of `distribution_platforms` that holds JSON.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Column {
    ApiCredentials,
    Requirements,
    FormatSpecs,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    match without_database(&arguments.command, config)? {
        true => Ok(ExitCode::SUCCESS),
        false => with_database(arguments, config).await,
    }
}

/// Does what needs no database; whether it was that.
fn without_database(command: &Command, config: &Config) -> anyhow::Result<bool> {
    let mut out = crate::cli::out();
    match *command {
        Command::Key { rotate, json } => {
            sealing::make_key(&mut out, &config.secrets, rotate, json)?;
        }
        Command::Seal { id: None, .. } => {
            sealing::seal_one(&mut out, &config.secrets.keyring())?;
        }
        Command::Schema { column } => {
            let schema = match column {
                Column::ApiCredentials => settings::schema_of_credentials(),
                Column::Requirements => settings::schema_of_requirements(),
                Column::FormatSpecs => settings::schema_of_format_specs(),
            };
            table::json(&mut out, &schema)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

async fn with_database(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let pool = super::connect(
        &config.database.url.0,
        "tunemantra-worker platforms",
        super::COMMAND_CONNECTIONS,
    )
    .await?;
    let mut out = crate::cli::out();
    match arguments.command {
        Command::List { watch, json } => {
            drop(out);
            let look = async |out: &mut Vec<u8>| {
                let listed = catalog::platforms(&pool, jobs::clock::system()()).await?;
                if json {
                    table::json(out, &listed)?;
                } else if listed.is_empty() {
                    writeln!(out, "no platforms")?;
                } else {
                    print_list(out, &listed)?;
                }
                Ok(())
            };
            watch.looks(look).await?;
        }
        Command::Show { id, json } => {
            let now = jobs::clock::system()();
            let Some(one) = catalog::platform_queue(&pool, id, now).await? else {
                return Err(missing(id).into());
            };
            if json {
                table::json(&mut out, &one)?;
            } else {
                print_one(&mut out, &one)?;
            }
        }
        Command::Check { id, json: as_json } => {
            let mut connection = pool.acquire().await?;
            let Some(row) = catalog::platform_row(&mut connection, id).await? else {
                return Err(missing(id).into());
            };
            let found = connection::check(&row, &Means::of(config)).await;
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
        // Done without a database.
        Command::Key { .. } | Command::Seal { id: None, .. } | Command::Schema { .. } => {}
        Command::Seal {
            id: Some(id),
            reason,
            json,
        } => {
            let by = Reason::of(reason.unwrap_or_default()).by()?;
            let keyring = config.secrets.keyring();
            sealing::seal_platform(&mut out, &pool, &keyring, id, &by, json).await?;
        }
        Command::HostKey(arguments) => {
            let id = arguments.id();
            let row = catalog::platform_row(&mut *pool.acquire().await?, id).await?;
            let row = row.ok_or_else(|| missing(id))?;
            return host_key::run(arguments, &row, &pool, &mut out).await;
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
        Command::Probe { id, reason, json } => {
            let by = reason.by()?;
            let mut transaction = pool.begin().await?;
            known(&mut transaction, id).await?;
            let is_due = delivery::probe_platform(&mut transaction, id, &by, now()).await?;
            transaction.commit().await?;
            if json {
                table::json(&mut out, &json!({"platform_id": id, "probe_due": is_due}))?;
            } else if is_due {
                writeln!(out, "platform {id}: the next delivery is a probe, at once")?;
            } else {
                writeln!(
                    out,
                    "platform {id}: its circuit is closed, nothing to probe"
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

fn missing(id: i32) -> Failure {
    Failure::missing(format!(
        "there is no platform {id}; `platforms list` shows those there are"
    ))
}

/// The one thing about a platform that an operator must know first.
fn state(one: &catalog::PlatformQueue) -> String {
    if let Some(at) = one.paused_at {
        let reason = text(one.paused_reason.as_ref());
        return format!("paused since {}: {reason}", time(at));
    }
    match one.standing.circuit_opened_at {
        Some(at) => format!("circuit open since {}: {}", time(at), next_probe(one)),
        None => one.status.clone(),
    }
}

fn next_probe(one: &catalog::PlatformQueue) -> String {
    let code = text(one.standing.circuit_fault_code.as_ref());
    match one.standing.circuit_probe_at {
        Some(at) if one.standing.circuit == "open" => {
            format!("{code}; next probe {}", time(at))
        }
        _ => format!("{code}; the next delivery is a probe"),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%F %T UTC").to_string()
}

fn print_one(out: &mut impl std::io::Write, one: &catalog::PlatformQueue) -> anyhow::Result<()> {
    let standing = &one.standing;
    let limit = |limit: Option<i32>| limit.map_or("no limit".to_owned(), |limit| limit.to_string());
    let windows = standing
        .windows
        .clone()
        .map(serde_json::from_value::<Windows>);
    let windows = match windows {
        None => "always".to_owned(),
        Some(Ok(windows)) => windows.to_string(),
        Some(Err(error)) => format!("never: worker.queues.windows cannot be read: {error}"),
    };
    let fault = standing.circuit_fault_at.map_or("none".to_owned(), |at| {
        let code = text(standing.circuit_fault_code.as_ref());
        let message = text(standing.circuit_fault_message.as_ref());
        format!("{} {code}: {message}", time(at))
    });
    let at_once = match standing.concurrency {
        Some(limit) => limit.to_string(),
        None => "as configured (queue.platform_concurrency)".to_owned(),
    };
    let rows = [
        ["platform", &one.name],
        ["method", &one.method],
        ["state", &state(one)],
        ["deliveries at once", &at_once],
        ["borne by the partner", &limit(standing.pace)],
        ["per second", &limit(standing.per_second)],
        ["per hour", &limit(standing.per_hour)],
        ["per day", &limit(standing.per_day)],
        ["windows", &windows],
        ["circuit", &standing.circuit],
        ["faults in a row", &standing.circuit_faults.to_string()],
        ["last fault of the partner", &fault],
        ["waiting", &one.waiting.to_string()],
        ["sending", &one.sending.to_string()],
        ["sent", &one.sent.to_string()],
        ["held", &one.held.to_string()],
    ];
    let rows = rows.map(|row| row.map(str::to_owned));
    writeln!(
        out,
        "{}",
        table(["", &format!("platform {}", one.id)], rows)
    )
    .context("standard output")
}

fn print_list(
    out: &mut impl std::io::Write,
    listed: &[catalog::PlatformQueue],
) -> anyhow::Result<()> {
    let rows = listed.iter().map(|one| {
        [
            one.id.to_string(),
            one.name.clone(),
            one.method.clone(),
            state(one),
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
