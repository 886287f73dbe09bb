//! The commands, a file each, and what they have in common: arguments, logs, errors, exit codes.

mod cron;
mod deliveries;
mod demo;
mod migrate;
mod platforms;
mod retention;
mod run;
mod table;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use jobs::schema::SchemaError;
use sqlx::PgPool;

use crate::{config::Config, telemetry};

/// As in sysexits.h: the arguments are wrong.
const EX_USAGE: u8 = 64;
/// What was asked for is not there.
const EX_NOINPUT: u8 = 66;
/// Something this depends on, such as the database, is unavailable.
const EX_UNAVAILABLE: u8 = 69;
/// This program is at fault.
const EX_SOFTWARE: u8 = 70;
/// What is configured does not fit.
const EX_CONFIG: u8 = 78;

/// Delivers scheduled music releases to streaming services and stores, and follows each delivery
/// until the platform has accepted it.
#[derive(Debug, Parser)]
#[command(name = "tunemantra-worker", version)]
struct Arguments {
    /// A configuration file; may be given several times, later ones win. All keys and their
    /// defaults: config/default.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Migrate(migrate::Arguments),
    Deliveries(deliveries::Arguments),
    Platforms(platforms::Arguments),
    Cron(cron::Arguments),
    Retention(retention::Arguments),
}

/// An error with the exit code it has.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: EX_USAGE,
            error: error.into(),
        }
    }

    pub(crate) fn missing(sentence: String) -> Self {
        Self {
            code: EX_NOINPUT,
            error: anyhow::anyhow!(sentence),
        }
    }

    pub(crate) fn unavailable(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: EX_UNAVAILABLE,
            error: error.into(),
        }
    }

    pub(crate) fn configuration(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: EX_CONFIG,
            error: error.into(),
        }
    }

    /// A database that does not fit is a matter of configuration; one that fails is not.
    pub(crate) fn of_schema(error: SchemaError) -> Self {
        match error {
            SchemaError::Mismatch(_)
            | SchemaError::Newer(_)
            | SchemaError::Changed(_)
            | SchemaError::Behind(_) => Self::configuration(error),
            _ => Self::unavailable(error),
        }
    }
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, and are no error.
            let code = if error.use_stderr() { EX_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match start(arguments) {
        Ok(code) => code,
        Err(error) => {
            let code = error
                .downcast_ref()
                .map_or(EX_SOFTWARE, |failure: &Failure| failure.code);
            // There is nowhere to report that standard error is closed.
            let _ = writeln!(std::io::stderr(), "tunemantra-worker: {error:#}");
            ExitCode::from(code)
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut config =
        Config::load(&arguments.config, std::env::vars()).map_err(Failure::configuration)?;
    if let Command::Demo(_) = arguments.command {
        demo::LOG_FILTER.clone_into(&mut config.log.filter);
    }
    telemetry::start(&config.log).map_err(Failure::configuration)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        match arguments.command {
            Command::Run(arguments) => run::run(arguments, &config).await,
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Migrate(arguments) => migrate::run(arguments, &config).await,
            Command::Deliveries(arguments) => deliveries::run(arguments, &config).await,
            Command::Platforms(arguments) => platforms::run(arguments, &config).await,
            Command::Cron(arguments) => cron::run(arguments, &config).await,
            Command::Retention(arguments) => retention::run(arguments, &config).await,
        }
    });
    // A thread may be waiting for standard input, which nothing can interrupt.
    runtime.shutdown_background();
    ended
}

/// Connects to a database, with the errors an operator can act on.
pub(crate) async fn connect(url: &str, name: &str, connections: u32) -> Result<PgPool, Failure> {
    if url.is_empty() {
        return Err(Failure::configuration(anyhow::anyhow!(
            "no database is configured: set DATABASE_URL, or database.url in a file given with \
             --config, or use `run --embedded` to try the worker out"
        )));
    }
    jobs::database::connect(url, name, connections)
        .await
        .map_err(|error| match error {
            sqlx::Error::Configuration(_) => {
                Failure::configuration(anyhow::anyhow!("database.url cannot be read: {error}"))
            }
            error => Failure::unavailable(
                anyhow::Error::new(error).context("the database cannot be connected to"),
            ),
        })
}
