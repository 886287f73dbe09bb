//! `tunemantra-worker`: the command line, and the exit code.

mod cli;
#[allow(dead_code, reason = "the commands that run it come with the daemon")]
mod embedded;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
