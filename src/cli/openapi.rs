//! `openapi`: the description of the API.

use std::process::ExitCode;

use crate::{cli::table::json, http};

/// Print the description of the HTTP API, OpenAPI 3.1 as JSON. A daemon answers the same at
/// /api/v1/openapi.json.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> anyhow::Result<ExitCode> {
    json(&mut crate::cli::out(), &http::document())?;
    Ok(ExitCode::SUCCESS)
}
