//! The commands, a file each, and what they have in common: arguments, logs, exit codes.

mod migrate;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// As in sysexits.h: the arguments are wrong.
const EX_USAGE: u8 = 64;
/// Something this depends on, such as the database, is unavailable.
const EX_UNAVAILABLE: u8 = 69;
/// This program is at fault.
const EX_SOFTWARE: u8 = 70;

/// Delivers scheduled music releases to streaming services and stores.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Migrate(migrate::Arguments),
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
    start_logs();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(EX_SOFTWARE, &error.into()),
    };
    let result = match arguments.command {
        Command::Migrate(arguments) => runtime.block_on(migrate::run(arguments)),
    };
    match result {
        Ok(code) => code,
        Err(error) => fail(EX_UNAVAILABLE, &error),
    }
}

/// Says on standard error what went wrong, with its causes, and gives the exit code.
fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many errors already end with what caused them.
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    // There is nowhere to report that standard error is closed.
    let _ = writeln!(std::io::stderr(), "tunemantra-worker{text}");
    ExitCode::from(code)
}

/// Logs go to standard error; what a command answers goes to standard output.
fn start_logs() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
