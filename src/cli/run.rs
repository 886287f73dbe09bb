//! `run`: the daemon.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use tokio::{
    io::AsyncReadExt as _,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{cli::Failure, config::Config, embedded::Embedded, generations::Process};

/// Run the daemon: find due schedules, deliver, and follow each delivery until it is decided.
///
/// The database must have been migrated (`migrate`), unless it is the private one of --embedded. Any
/// number of daemons may run on one database. SIGTERM or Ctrl-C: running deliveries finish within
/// queue.drain_s, the rest is given back; a second one ends at once, and nothing is lost then
/// either. SIGHUP: the configuration is read again; running deliveries finish under the one before. One
/// that is wrong is refused in the log, and nothing changes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// For trying it out: use a private PostgreSQL in the state directory instead of database.url.
    #[arg(long)]
    embedded: bool,
    /// Where the private PostgreSQL lives.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "tunemantra-state",
        requires = "embedded"
    )]
    state_dir: PathBuf,
    /// Stop when standard input closes: whoever started this daemon has died.
    #[arg(long, hide = true)]
    exit_on_stdin_close: bool,
}

pub(super) async fn run(
    arguments: Arguments,
    config: &Config,
    read: &(dyn Fn() -> anyhow::Result<Config> + Sync),
) -> anyhow::Result<ExitCode> {
    let shutdown = CancellationToken::new();
    stop_on_signals(&shutdown)?;
    if arguments.exit_on_stdin_close {
        stop_on_stdin_close(&shutdown);
    }
    let embedded = match arguments.embedded {
        true => Some(
            Embedded::start(&arguments.state_dir)
                .await
                .map_err(Failure::unavailable)?,
        ),
        false => None,
    };
    let process = Process {
        read,
        private: embedded.as_ref().map(Embedded::url),
        shutdown,
    };
    let ended = process.run(config).await;
    if let Some(embedded) = embedded {
        embedded.stop().await?;
    }
    ended.map(|()| ExitCode::SUCCESS)
}

/// SIGTERM and SIGINT drain; a second one ends at once.
fn stop_on_signals(shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let mut was_asked = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if was_asked {
                tracing::warn!(
                    "stopping at once; what is running is taken up again after its lease"
                );
                std::process::exit(130);
            }
            tracing::info!(
                "stopping: no new deliveries, running ones finish; once more to stop at once"
            );
            was_asked = true;
            shutdown.cancel();
        }
    });
    Ok(())
}

fn stop_on_stdin_close(shutdown: &CancellationToken) {
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let mut sink = [0; 64];
        let mut stdin = tokio::io::stdin();
        while !matches!(stdin.read(&mut sink).await, Ok(0) | Err(_)) {}
        tracing::warn!("standard input closed: stopping");
        shutdown.cancel();
    });
}
