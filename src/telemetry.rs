//! Logs: on standard error, for people or as JSON. What a command answers goes to standard output.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging. `RUST_LOG` goes before the configured filter.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        Err(_) => EnvFilter::try_new(&log.filter)
            .with_context(|| format!("log.filter {:?}", log.filter))?,
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // What cannot be written, as on a full disk, would be complained of where it cannot be written,
        // which panics, wherever the event came from.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logs could not be started: {error}"))
}
