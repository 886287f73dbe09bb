//! Statements, and how an amount came about.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use jobs::royalty::{
    self, Run,
    document::{Fonts, write_csv, write_pdf},
    statement::{self, Statement},
};
use serde_json::json;
use sqlx::PgPool;

use super::{Which, find_in};
use crate::{
    cli::{EX_NO, Failure, table},
    config::Config,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a payee's statement of a run, or write the statements of all payees, a file each. One
    /// of a run that is not final is a draft.
    Statement {
        /// The run's id or period.
        run: Which,
        /// For this payee, on standard output or into --out.
        #[arg(long, value_name = "USER", required_unless_present = "all")]
        payee: Option<i32>,
        /// For all payees, into --out.
        #[arg(long, conflicts_with = "payee", requires = "out")]
        all: bool,
        /// The layout.
        #[arg(long, value_enum, default_value_t = Layout::Csv)]
        format: Layout,
        /// The directory to write to; it is made if it is not there.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Tell how a payee's amount for a track came about, from usage through each step. Exit code 1:
    /// the payee has nothing of the track in that run.
    Explain {
        /// The run's id or period.
        #[arg(long, value_name = "RUN", alias = "period")]
        run: Which,
        /// The payee.
        #[arg(long, value_name = "USER")]
        payee: i32,
        /// The track.
        #[arg(long, value_name = "ID")]
        track: i32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// How a statement is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Layout {
    /// For spreadsheets and programs.
    Csv,
    /// To be sent to an artist.
    Pdf,
    /// For programs.
    Json,
}

pub(super) async fn run(
    command: Command,
    pool: &PgPool,
    config: &Config,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Statement {
            run,
            payee,
            all: _,
            format,
            out,
        } => {
            let run = find_in(pool, run).await?;
            let writer = Writer::new(format, &config.royalties.fonts)?;
            match (payee, out) {
                (Some(payee), None) => {
                    let statement =
                        statement::statement(&mut *pool.acquire().await?, &run, payee).await?;
                    crate::cli::out().write_all(&writer.write(&statement)?)?;
                }
                (Some(payee), Some(out)) => write_all(pool, &run, &[payee], &writer, &out).await?,
                (None, out) => {
                    let out = out.context("--all needs --out")?;
                    let payees = statement::payees(&mut *pool.acquire().await?, run.id).await?;
                    write_all(pool, &run, &payees, &writer, &out).await?;
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain {
            run,
            payee,
            track,
            json,
        } => {
            let run = find_in(pool, run).await?;
            let told = royalty::explain(&mut *pool.acquire().await?, &run, payee, track).await?;
            let mut out = crate::cli::out();
            if json {
                let answer = json!({"run": run.id, "payee": payee, "track": track, "lines": told});
                table::json(&mut out, &answer)?;
            } else {
                for line in &told {
                    writeln!(out, "{line}")?;
                }
            }
            if told.is_empty() {
                writeln!(
                    io::stderr(),
                    "royalty run {} has nothing of track {track}",
                    run.name()
                )?;
                return Ok(ExitCode::from(EX_NO));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Statements in one layout.
struct Writer {
    layout: Layout,
    fonts: Option<Fonts>,
}

impl Writer {
    fn new(layout: Layout, fonts: &[PathBuf]) -> anyhow::Result<Self> {
        let fonts = match layout {
            Layout::Pdf => Some(Fonts::read(fonts).map_err(Failure::configuration)?),
            Layout::Csv | Layout::Json => None,
        };
        Ok(Self { layout, fonts })
    }

    fn extension(&self) -> &'static str {
        match self.layout {
            Layout::Csv => "csv",
            Layout::Pdf => "pdf",
            Layout::Json => "json",
        }
    }

    fn write(&self, statement: &Statement) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match (self.layout, &self.fonts) {
            (Layout::Pdf, Some(fonts)) => bytes = write_pdf(statement, fonts)?,
            (Layout::Csv, _) => write_csv(&mut bytes, [statement])?,
            (Layout::Json | Layout::Pdf, _) => table::json(&mut bytes, statement)?,
        }
        Ok(bytes)
    }
}

/// Writes a file for each payee, `<run>-<payee>.<extension>`, and tells how far it is.
async fn write_all(
    pool: &PgPool,
    run: &Run,
    payees: &[i32],
    writer: &Writer,
    out: &Path,
) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    let mut conn = pool.acquire().await?;
    for (payee, done) in payees.iter().zip(1..) {
        let statement = statement::statement(&mut conn, run, *payee).await?;
        let path = out.join(statement.file_name(writer.extension()));
        fs::write(&path, writer.write(&statement)?)
            .with_context(|| format!("{}", path.display()))?;
        if done % 100 == 0 || done == payees.len() {
            writeln!(io::stderr(), "{done} of {} statements", payees.len())?;
        }
    }
    Ok(())
}
