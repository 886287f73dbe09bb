//! The commands, a file each, and what they have in common: arguments, logs, errors, exit codes.

mod audit;
mod by;
mod check;
mod cron;
mod ddex;
mod deliveries;
mod demo;
mod jobs;
mod keys;
mod migrate;
mod notifications;
mod openapi;
mod out;
mod pages;
mod platforms;
mod rates;
mod retention;
mod royalties;
mod run;
mod sandbox;
mod schedules;
mod stats;
mod table;
mod usage;
mod watch;
mod workers;

use std::{ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode};

use self::out::out;
use ::jobs::{database::Pooling, schema::SchemaError};
use clap::{Parser, Subcommand};
use sqlx::PgPool;

use crate::{
    config::{Config, Database, Layers, PACKAGED},
    telemetry,
};

/// It ran, and the answer is no.
const EX_NO: u8 = 1;
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
#[command(name = "tunemantra-worker", version, after_help = AFTER_HELP)]
struct Arguments {
    /// A configuration file; may be given several times in one place, later ones win. Each is
    /// followed by the *.toml in FILE.d. Without it: /etc/tunemantra-worker/worker.toml, if that
    /// is there. All keys and their defaults: config/default.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Environment:
  DATABASE_URL                 postgres://user:password@host:port/database
  TUNEMANTRA_<SECTION>_<KEY>   any key of the configuration: TUNEMANTRA_QUEUE_SLOTS=8
  RUST_LOG                     what is logged, before log.filter: debug, jobs=debug

Exit codes: 0 all well; 1 it ran, and the answer is no; 64 wrong arguments; 66 no such delivery,
platform or document; 69 database or partner unavailable; 70 a fault of this program; 78 wrong
configuration or database schema.

To begin with: `demo` shows it all on this machine. With a database of your own: `migrate`, `check`,
`run`; `sandbox` gives partners to try with.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Migrate(migrate::Arguments),
    Check(check::Arguments),
    Deliveries(deliveries::Arguments),
    Platforms(platforms::Arguments),
    Schedules(schedules::Arguments),
    Jobs(jobs::Arguments),
    Workers(workers::Arguments),
    Audit(audit::Arguments),
    Keys(keys::Arguments),
    Openapi(openapi::Arguments),
    Notifications(notifications::Arguments),
    Sandbox(sandbox::Arguments),
    Ddex(ddex::Arguments),
    Cron(cron::Arguments),
    Retention(retention::Arguments),
    Completions(pages::Completions),
    Man(pages::Man),
    Rates(rates::Arguments),
    Stats(stats::Arguments),
    Usage(usage::Arguments),
    Royalties(royalties::Arguments),
}

/// An error with the exit code it has.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(format!("{:#}", self.error).trim_end())
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

    pub(crate) fn no(sentence: String) -> Self {
        Self {
            code: EX_NO,
            error: anyhow::anyhow!(sentence),
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
            | SchemaError::NoTemporaryTables(_)
            | SchemaError::Behind(_) => Self::configuration(error),
            _ => Self::unavailable(error),
        }
    }

    /// Any error: one that has its exit code already, or the database's, or a fault of ours.
    fn of(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        let code = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<sqlx::Error>())
            .map(of_database);
        match code {
            Some((code, sentence)) => Self {
                code,
                error: anyhow::anyhow!(sentence),
            },
            None => Self {
                code: EX_SOFTWARE,
                error,
            },
        }
    }
}

/// Whether an SQLSTATE says that the database cannot do anything now: connection, resources,
/// operator, system, read-only.
fn is_passing(sqlstate: &str) -> bool {
    let class = sqlstate.get(..2).unwrap_or_default();
    sqlstate == "25006" || ["08", "53", "57", "58"].contains(&class)
}

/// What the database's error means for whoever called the program.
fn of_database(error: &sqlx::Error) -> (u8, String) {
    let sqlstate = error.as_database_error().and_then(|error| error.code());
    let message = match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    };
    match (sqlstate.as_deref(), error) {
        // Schema, table, column or type that is not there.
        (Some("3F000" | "42P01" | "42703" | "42704"), _) => (
            EX_CONFIG,
            format!(
                "the database is not what this version needs ({message}): run `tunemantra-worker \
                 migrate`, or `tunemantra-worker check` to see what is amiss"
            ),
        ),
        (Some("42501"), _) => (
            EX_CONFIG,
            format!("the database role may not do this ({message}): grant it, or use another role"),
        ),
        // The login, or the database itself.
        (Some("28000" | "28P01" | "3D000"), _) => (
            EX_CONFIG,
            format!(
                "the database refuses the connection ({message}): mend DATABASE_URL or database.url"
            ),
        ),
        // What a pooler between us and the server does not let through, or does not keep.
        (Some("08P01"), _) if message.contains("startup parameter") => (
            EX_CONFIG,
            format!(
                "the connection pooler refuses the connection ({message}): docs/pgbouncer.md says how \
                 to set it up"
            ),
        ),
        (Some("26000" | "42P05"), _) => (
            EX_CONFIG,
            format!(
                "prepared statements are lost on the way ({message}): a connection pooler changes \
                 sessions between transactions; docs/pgbouncer.md says how to set it up"
            ),
        ),
        // No connection, no room, shut down or starting, read-only: it passes, or somebody mends it.
        (Some(code), _) if is_passing(code) => (
            EX_UNAVAILABLE,
            format!("the database cannot work now: {message}"),
        ),
        (Some(_), _) => (
            EX_SOFTWARE,
            format!("the database refused a statement: {message}"),
        ),
        (None, sqlx::Error::Configuration(_)) => (
            EX_CONFIG,
            format!(
                "DATABASE_URL or database.url is not of the form postgres://user:password@host:port/database: {message}"
            ),
        ),
        (None, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut) => (
            EX_UNAVAILABLE,
            format!("the database does not answer: {message}"),
        ),
        (None, _) => (
            EX_SOFTWARE,
            format!("the database's answer is not understood: {message}"),
        ),
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
    if let Err(error) = all_files_read(&arguments, std::env::args_os()) {
        let _ = writeln!(std::io::stderr(), "tunemantra-worker: {error}");
        return ExitCode::from(error.code);
    }
    match start(arguments) {
        Ok(code) => code,
        Err(error) if is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = Failure::of(error);
            // There is nowhere to report that standard error is closed.
            let _ = writeln!(out::err(), "tunemantra-worker: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// Of an argument that is given before and after the command clap takes the latter only. A
/// configuration file may not be left out in silence.
fn all_files_read(
    arguments: &Arguments,
    given: impl Iterator<Item = OsString>,
) -> Result<(), Failure> {
    let given = given
        .take_while(|word| word != "--")
        .filter(|word| word == "--config" || word.as_encoded_bytes().starts_with(b"--config="))
        .count();
    if given == arguments.config.len() {
        return Ok(());
    }
    Err(Failure::usage(anyhow::anyhow!(
        "--config stands before and after the command; give all configuration files in one place"
    )))
}

/// Whoever read standard output has gone, as `head` does when it has seen enough.
fn is_unread(error: &anyhow::Error) -> bool {
    let written = error.downcast_ref().map(std::io::Error::kind);
    let serialized = error
        .downcast_ref()
        .and_then(serde_json::Error::io_error_kind);
    written.or(serialized) == Some(std::io::ErrorKind::BrokenPipe)
}

/// The configuration files to read.
fn files(given: Vec<PathBuf>) -> Vec<PathBuf> {
    let packaged = PathBuf::from(PACKAGED);
    match given.is_empty() && packaged.exists() {
        true => vec![packaged],
        false => given,
    }
}

fn start(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let files = files(arguments.config);
    let layers = Layers::read(&files, std::env::vars()).map_err(Failure::configuration)?;
    let mut config = Config::of(&layers).map_err(Failure::configuration)?;
    let filter = match arguments.command {
        Command::Demo(_) => Some(demo::LOG_FILTER),
        Command::Sandbox(_) => Some(sandbox::LOG_FILTER),
        // What is wrong is a finding.
        Command::Check(_) => Some(check::LOG_FILTER),
        _ => None,
    };
    if let Some(filter) = filter {
        filter.clone_into(&mut config.log.filter);
    }
    let traces = matches!(arguments.command, Command::Run(_)).then_some(&config.traces);
    let _telemetry = telemetry::start(&config.log, traces).map_err(Failure::configuration)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        match arguments.command {
            Command::Run(arguments) => {
                let read = || Config::of(&Layers::read(&files, std::env::vars())?);
                run::run(arguments, &config, &read).await
            }
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Migrate(arguments) => migrate::run(arguments, &config).await,
            Command::Check(arguments) => check::run(arguments, &config, &layers).await,
            Command::Sandbox(arguments) => sandbox::run(arguments, &config).await,
            Command::Deliveries(arguments) => deliveries::run(arguments, &config).await,
            Command::Platforms(arguments) => platforms::run(arguments, &config).await,
            Command::Cron(arguments) => cron::run(arguments, &config).await,
            Command::Retention(arguments) => retention::run(arguments, &config).await,
            Command::Royalties(arguments) => royalties::run(arguments, &config).await,
            Command::Rates(arguments) => rates::run(arguments, &config).await,
            Command::Ddex(arguments) => ddex::run(arguments, &config).await,
            Command::Stats(arguments) => stats::run(arguments, &config).await,
            Command::Usage(arguments) => usage::run(arguments, &config).await,
            Command::Schedules(arguments) => schedules::run(arguments, &config).await,
            Command::Jobs(arguments) => jobs::run(arguments, &config).await,
            Command::Workers(arguments) => workers::run(arguments, &config).await,
            Command::Audit(arguments) => audit::run(arguments, &config).await,
            Command::Keys(arguments) => keys::run(arguments, &config).await,
            Command::Openapi(arguments) => openapi::run(&arguments),
            Command::Notifications(arguments) => notifications::run(arguments, &config).await,
            Command::Completions(arguments) => pages::completions(&arguments),
            Command::Man(arguments) => pages::man(&arguments),
        }
    });
    // A thread may be waiting for standard input, which nothing can interrupt.
    runtime.shutdown_background();
    ended
}

/// What a command needs of the database: one connection asks, one is to spare.
const COMMAND_CONNECTIONS: u32 = 2;

/// Connects to a database, with the errors an operator can act on.
pub(crate) async fn connect(url: &str, name: &str, connections: u32) -> Result<PgPool, Failure> {
    if url.is_empty() {
        return Err(Failure::configuration(anyhow::anyhow!(
            "no database is configured: set DATABASE_URL, or database.url in a file given with \
             --config, or use `run --embedded` to try the worker out"
        )));
    }
    ::jobs::database::connect(url, name, connections)
        .await
        .map_err(|error| {
            let (code, sentence) = of_database(&error);
            if code == EX_CONFIG {
                return Failure::configuration(anyhow::anyhow!(sentence));
            }
            // With its causes it would say the same twice.
            Failure::unavailable(anyhow::anyhow!(
                "the database cannot be connected to: {error}"
            ))
        })
}

/// Refuses a database behind a connection pooler that does not keep what the worker needs: sessions for
/// the queue (`database.direct_url`, or `database.url` itself), prepared statements for all else.
pub(crate) async fn require_sessions(database: &Database) -> Result<(), Failure> {
    let pooling = async |url: &str| {
        let found = ::jobs::database::pooling(url, "tunemantra-worker").await;
        found.map_err(|error| {
            let (code, sentence) = of_database(&error);
            let error = anyhow::anyhow!(sentence);
            Failure { code, error }
        })
    };
    let (named, found) = match database.direct_url.0.is_empty() {
        true => ("database.url", pooling(&database.url.0).await?),
        false => (
            "database.direct_url",
            pooling(&database.direct_url.0).await?,
        ),
    };
    if found != Pooling::SessionsKept {
        return Err(Failure::configuration(anyhow::anyhow!(
            "{named} leads through a connection pooler that changes sessions between transactions, and \
             the queue needs sessions of its own: name the database past it in database.direct_url; \
             see docs/pgbouncer.md"
        )));
    }
    if !database.direct_url.0.is_empty()
        && pooling(&database.url.0).await? == Pooling::StatementsLost
    {
        return Err(Failure::configuration(anyhow::anyhow!(
            "database.url leads through a connection pooler that loses prepared statements: PgBouncer \
             keeps them from 1.21 on with max_prepared_statements; see docs/pgbouncer.md"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_mistypes_is_told_what_there_is() {
        let wrong = |line: &str| {
            let wrong = Arguments::try_parse_from(line.split(' '));
            wrong.expect_err("a wrong line").to_string()
        };
        assert!(wrong("worker delivery list").contains("deliveries"));
        assert!(wrong("worker deliveries lst").contains("list"));
        assert!(wrong("worker deliveries list --plattform 3").contains("--platform"));
    }

    #[test]
    fn configuration_files_in_two_places_are_refused() {
        let read = |line: &str| {
            let words = || line.split(' ').map(OsString::from);
            let arguments = Arguments::try_parse_from(words()).expect("arguments");
            all_files_read(&arguments, words())
        };
        assert!(read("worker --config a run --config=b").is_err());
        assert!(read("worker --config a --config=b run").is_ok());
        assert!(read("worker run --config a --config b").is_ok());
        assert!(read("worker run").is_ok());
    }

    /// The words of a line of shell: what stands between double quotes is one.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (place, part) in line.split('"').enumerate() {
            match place % 2 {
                1 => words.push(part.to_owned()),
                _ => words.extend(part.split_whitespace().map(ToOwned::to_owned)),
            }
        }
        words
    }

    /// The commands of a document: lines of its blocks, and what stands between backquotes.
    fn commands(document: &str) -> Vec<Vec<String>> {
        let mut is_block = false;
        let mut found = Vec::new();
        for line in document.lines() {
            if line.starts_with("```") {
                is_block = !is_block;
            } else if is_block {
                found.push(line.to_owned());
            } else {
                found.extend(line.split('`').skip(1).step_by(2).map(ToOwned::to_owned));
            }
        }
        let commands = found.iter().filter_map(|line| {
            let command = line
                .split("  #")
                .next()?
                .split([';', '|', '<', '>'])
                .next()?;
            let words = words(command);
            (words.first()? == "tunemantra-worker" && words.len() > 1).then_some(words)
        });
        commands.collect()
    }

    #[test]
    fn what_the_operations_guide_says_to_type_is_understood() {
        let guide = include_str!("../../docs/operations.md");
        let commands = commands(guide);
        assert!(commands.len() > 80, "{}", commands.len());
        for words in commands {
            if let Err(error) = Arguments::try_parse_from(&words) {
                panic!("{words:?}: {error}");
            }
        }
    }
}
