//! `demo`: the worker at work, on a machine of its own.

use std::{path::PathBuf, process::ExitCode};

use crate::{
    cli::Failure,
    demo::{self, Ending, Options},
};

/// At least one delivery did not end as it should.
const EX_DELIVERIES: u8 = 1;
/// As a shell says of a program that Ctrl-C ended.
const EX_INTERRUPTED: u8 = 130;

/// What the demo itself logs: what goes wrong. The daemon's log is a file.
pub(super) const LOG_FILTER: &str = "warn";

/// Show the worker at work: a private PostgreSQL, four partners on this machine, a catalogue of 15
/// releases, and the daemon that delivers them.
///
/// What was interrupted, even by kill -9, goes on where it stopped. DDEX_DIR names the directory of
/// DDEX's schemas, if you have them: messages are then validated on both sides.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Exit code: 0 only if every delivery ended as it should, 1 otherwise, 130 if it was interrupted."
)]
pub(super) struct Arguments {
    /// Print the result as one JSON document on standard output.
    #[arg(long)]
    json: bool,
    /// Keep there what each partner received, message included.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave daemon, database and partners running until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Start over, whatever an earlier demo left.
    #[arg(long)]
    fresh: bool,
    /// Where the demo keeps its database, files and partners.
    #[arg(long, value_name = "DIR", default_value = ".demo")]
    state_dir: PathBuf,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let options = Options {
        json: arguments.json,
        out: arguments.out,
        keep: arguments.keep,
        fresh: arguments.fresh,
        state_dir: arguments.state_dir,
    };
    let ending = demo::run(&options).await.map_err(Failure::unavailable)?;
    Ok(match ending {
        Ending::AllWell => ExitCode::SUCCESS,
        Ending::NotAllWell => ExitCode::from(EX_DELIVERIES),
        Ending::Interrupted => ExitCode::from(EX_INTERRUPTED),
    })
}
