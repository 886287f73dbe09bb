//! Logs: on standard error, for people or as JSON. What a command answers goes to standard output.
//! Traces, in a build that can: spans of deliveries by OTLP.

#[cfg(feature = "otlp")]
mod otlp;

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat, Traces};

/// What was started; dropping it sends what is still to be sent.
pub(crate) struct Telemetry {
    #[cfg(feature = "otlp")]
    _traces: Option<otlp::Collected>,
}

/// Starts logging, and traces where they are given. `RUST_LOG` goes before the configured filter.
pub(crate) fn start(log: &Log, traces: Option<&Traces>) -> anyhow::Result<Telemetry> {
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        Err(_) => EnvFilter::try_new(&log.filter)
            .with_context(|| format!("log.filter {:?}", log.filter))?,
    };
    let logs = tracing_subscriber::fmt::layer()
        // What cannot be written, as on a full disk, would be complained of where it cannot be written,
        // which panics, wherever the event came from.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let logs = match log.format {
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let all = tracing_subscriber::registry().with(logs.with_filter(filter));
    #[cfg(not(feature = "otlp"))]
    let (all, telemetry) = {
        let _ = traces;
        (all, Telemetry {})
    };
    #[cfg(feature = "otlp")]
    let (all, telemetry) = {
        let traces = traces.filter(|traces| !traces.endpoint.is_empty());
        let (layer, collected) = traces.map(otlp::start).transpose()?.unzip();
        (all.with(layer), Telemetry { _traces: collected })
    };
    all.try_init()
        .map_err(|error| anyhow::anyhow!("logs could not be started: {error}"))?;
    Ok(telemetry)
}
