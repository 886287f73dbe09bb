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
    self, Run, document,
    sets::{self, SetState, StatementSet},
    statement::{self, Statement},
};
use serde_json::json;
use sqlx::PgPool;

use super::{Which, find_in, refusal, runs::LOOK};
use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table,
    },
    config::Config,
};

/// Files of a set that are read at once.
const FETCHED: i64 = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a payee's statement of a run, or write the statements of all payees here and now, a file
    /// each. One of a run that is not final is a draft. `statements` has a daemon write them all.
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
    /// Have a daemon write the statements of all payees of a run; say how far it is, and fetch them.
    /// Asked for again it is the same, until the run changes. Exit code 1: they could not be written.
    Statements {
        /// The run's id or period.
        run: Which,
        /// The layout.
        #[arg(long, value_enum, default_value_t = SetLayout::Pdf)]
        format: SetLayout,
        /// Wait until they are written, and print how far that is meanwhile.
        #[arg(long)]
        wait: bool,
        /// Wait, then write them into this directory, a file each; it is made if it is not there.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
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

/// How a daemon writes statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SetLayout {
    /// For spreadsheets and programs.
    Csv,
    /// To be sent to an artist.
    Pdf,
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
        Command::Statements {
            run,
            format,
            wait,
            out,
            reason,
            json,
        } => {
            let run = find_in(pool, run).await?;
            let layout = match format {
                SetLayout::Csv => document::Layout::Csv,
                SetLayout::Pdf => document::Layout::Pdf,
            };
            let ordered = sets::order(pool, run.id, layout, &reason.by()?, now())
                .await
                .map_err(refusal)?;
            let is_awaited = wait || out.is_some();
            let set = match is_awaited {
                true => finish(pool, ordered.set, json).await?,
                false => ordered.set,
            };
            if let (Some(out), SetState::Completed) = (&out, set.state) {
                fetch(pool, &set, out).await?;
            }
            tell(&run, &set, ordered.is_new, json)?;
            Ok(match set.state {
                SetState::Failed => ExitCode::from(EX_NO),
                SetState::Running | SetState::Completed => ExitCode::SUCCESS,
            })
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
enum Writer {
    Json,
    File(document::Layout, document::Writer),
}

impl Writer {
    fn new(layout: Layout, fonts: &[PathBuf]) -> anyhow::Result<Self> {
        let layout = match layout {
            Layout::Json => return Ok(Self::Json),
            Layout::Csv => document::Layout::Csv,
            Layout::Pdf => document::Layout::Pdf,
        };
        let writer = layout.writer(fonts).map_err(Failure::configuration)?;
        Ok(Self::File(layout, writer))
    }

    fn extension(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::File(layout, _) => layout.extension(),
        }
    }

    fn write(&self, statement: &Statement) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Json => {
                let mut bytes = Vec::new();
                table::json(&mut bytes, statement)?;
                Ok(bytes)
            }
            Self::File(_, writer) => Ok(writer.write(statement)?),
        }
    }
}

/// Waits until a set is written, and tells how far it is.
async fn finish(pool: &PgPool, mut set: StatementSet, json: bool) -> anyhow::Result<StatementSet> {
    let mut told = None;
    while set.state == SetState::Running {
        if told != Some(set.done) && !json {
            writeln!(io::stderr(), "{} of {} statements", set.done, set.total)?;
        }
        told = Some(set.done);
        tokio::time::sleep(LOOK).await;
        let now = sets::get(&mut *pool.acquire().await?, set.id).await?;
        set = now.context("somebody removed the statements")?;
    }
    Ok(set)
}

/// Writes the files of a set into a directory.
async fn fetch(pool: &PgPool, set: &StatementSet, out: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    let mut conn = pool.acquire().await?;
    let mut after = None;
    loop {
        let files = sets::files(&mut conn, set, after, FETCHED).await?;
        let Some(last) = files.last() else {
            return Ok(());
        };
        after = Some(last.payee);
        for file in files {
            let path = out.join(&file.name);
            fs::write(&path, &file.body).with_context(|| format!("{}", path.display()))?;
        }
    }
}

fn tell(run: &Run, set: &StatementSet, is_new: bool, json: bool) -> anyhow::Result<()> {
    if json {
        let answer = json!({"set": set, "is_new": is_new});
        return table::json(&mut io::stdout(), &answer);
    }
    let (name, layout) = (run.name(), set.layout.extension());
    let (done, total) = (set.done, set.total);
    let mut out = io::stdout();
    match &set.fault {
        Some(fault) => writeln!(
            out,
            "the statements of {name} could not be written: {fault}"
        )?,
        None => writeln!(
            out,
            "statements of {name} as {layout}: {done} of {total} are written ({})",
            set.id
        )?,
    }
    Ok(())
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
