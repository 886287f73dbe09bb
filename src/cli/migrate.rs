//! `migrate`: brings a database to what this version needs.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use jobs::schema::{self, PublicTables, SchemaError};

/// As in sysexits.h: what was configured does not fit. Here: the database.
const EX_CONFIG: u8 = 78;

/// One migrates, one to spare.
const CONNECTIONS: u32 = 2;

/// Create the tables in an empty database, or compare those of the web application with what the
/// worker needs; then bring the worker's own tables up to date. Safe to repeat.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The database: postgres://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let pool = jobs::database::connect(
        &arguments.database_url,
        "tunemantra-worker migrate",
        CONNECTIONS,
    )
    .await
    .context("the database cannot be connected to")?;
    let report = schema::migrate(&pool).await;
    pool.close().await;
    let report = match report {
        Ok(report) => report,
        Err(
            error @ (SchemaError::Mismatch(_) | SchemaError::Newer(_) | SchemaError::Changed(_)),
        ) => return Ok(super::fail(EX_CONFIG, &error.into())),
        Err(error) => return Err(error.into()),
    };

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
