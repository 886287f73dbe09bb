//! `migrate`: brings a database to what this version needs.

use std::{io::Write as _, process::ExitCode};

use jobs::schema::{self, PublicTables};

use crate::{cli::Failure, config::Config};

/// One migrates, one to spare.
const CONNECTIONS: u32 = 2;

/// Create the tables in an empty database, or compare those of the web application with what the
/// worker needs; then bring the worker's own tables up to date. Safe to repeat.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The database, instead of database.url: postgres://user:password@host:port/database
    #[arg(long)]
    database_url: Option<String>,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let url = arguments
        .database_url
        .as_ref()
        .unwrap_or(&config.database.url.0);
    let pool = super::connect(url, "tunemantra-worker migrate", CONNECTIONS).await?;
    let report = schema::migrate(&pool).await;
    pool.close().await;
    let report = report.map_err(Failure::of_schema)?;

    let mut out = std::io::stdout().lock();
    match report.public {
        PublicTables::Created => writeln!(out, "public: the tables were created")?,
        PublicTables::Verified => {
            writeln!(
                out,
                "public: the tables have what the worker needs; nothing was changed"
            )?;
        }
    }
    if report.applied.is_empty() {
        writeln!(out, "worker: up to date")?;
    }
    for migration in &report.applied {
        writeln!(out, "worker: applied {migration}")?;
    }
    Ok(ExitCode::SUCCESS)
}
