//! `tunemantra-worker`: the command line, and the exit code.

mod cli;
mod config;
mod connection;
mod console;
mod daemon;
mod demo;
mod embedded;
mod generations;
mod http;
mod metrics;
mod partners;
mod service;
mod signals;
mod silence;
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
