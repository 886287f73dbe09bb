//! `migrate`: brings a database to what this version needs.

use std::{io::Write as _, process::ExitCode};

use jobs::schema::{self, PublicTables};

use crate::{cli::Failure, config::Config};

/// Bring the database to what this version of the worker needs.
///
/// In an empty database the web application's tables are created. Where they are there already they
/// are compared with what the worker needs, and never changed: a mismatch is refused with the full
/// list. Then the worker's own tables (schema worker) are brought up to date. Safe to repeat.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The database, instead of database.url: postgres://user@host:port/database. Others on this
    /// machine can see it, so a password is better in DATABASE_URL.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let url = arguments
        .database_url
        .as_deref()
        .unwrap_or_else(|| config.database.direct());
    let pool = super::connect(url, "tunemantra-worker migrate", super::COMMAND_CONNECTIONS).await?;
    let report = schema::migrate(&pool).await;
    pool.close().await;
    let report = report.map_err(Failure::of_schema)?;

    let mut out = crate::cli::out();
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
