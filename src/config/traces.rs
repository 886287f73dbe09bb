//! `[traces]`: where spans of deliveries go.

use anyhow::ensure;
use serde::Deserialize;

/// `[traces]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Traces {
    pub(crate) endpoint: String,
    pub(crate) timeout_s: u64,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            timeout_s: 10,
        }
    }
}

impl Traces {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.timeout_s >= 1, "traces.timeout_s must be at least 1");
        if self.endpoint.is_empty() {
            return Ok(());
        }
        ensure!(
            cfg!(feature = "otlp"),
            "traces.endpoint is set, and this build cannot send traces: build it with --features otlp"
        );
        let is_http = url::Url::parse(&self.endpoint)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        ensure!(
            is_http,
            "traces.endpoint {:?} is no URL such as http://127.0.0.1:4318/v1/traces",
            self.endpoint
        );
        Ok(())
    }
}
