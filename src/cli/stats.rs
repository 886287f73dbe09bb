//! `stats`: how daily statistics stand, rebuilding them, and rows that are there twice.

use std::{
    io::{IsTerminal as _, Write},
    process::ExitCode,
    time::Duration,
};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Subcommand;
use jobs::statistics::{
    self, Day, Duplicate, Range, Run, RunError, RunState, Status, UnreadableDay,
};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table::{json, table},
    },
    config::Config,
};

/// Between two looks at a run that is watched.
const LOOK: Duration = Duration::from_millis(500);

/// Daily statistics (`daily_stats`): how they stand, rebuilding them, rows that are there twice.
///
/// The daemon recomputes what changed every minute and compares all days every night (`cron list`).
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct Days {
    /// The first day; left out: the first there is.
    #[arg(long, value_name = "DATE")]
    from: Option<NaiveDate>,
    /// The last day; left out: the last there is.
    #[arg(long, value_name = "DATE")]
    to: Option<NaiveDate>,
}

impl Days {
    fn range(&self) -> Result<Range, Failure> {
        let range = Range {
            first: self.from.unwrap_or(Range::ALL.first),
            last: self.to.unwrap_or(Range::ALL.last),
        };
        if range.first > range.last {
            return Err(Failure::usage(anyhow::anyhow!(
                "--from {} is after --to {}",
                range.first,
                range.last
            )));
        }
        Ok(range)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what waits to be recomputed, the last runs, and what is not as it should be.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a user's days.
    Show {
        /// The user's id.
        user: i32,
        #[command(flatten)]
        days: Days,
        /// Print JSON, with the breakdowns.
        #[arg(long)]
        json: bool,
    },
    /// Compute days anew, whatever they were made of. The daemon does it; it goes on where it stopped.
    Rebuild {
        #[command(flatten)]
        days: Days,
        /// Also remove rows without usage that the worker did not write. They may be all that is left
        /// of usage that was cleared away.
        #[arg(long)]
        prune: bool,
        /// Do the work here as well, show how far it is, and wait until it is done.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a rebuild or a scan where it is. Exit code 1: it had ended.
    Cancel {
        /// The run's id, as `status` shows it.
        run: Uuid,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List users' days with more than one row, and merge them. Exit code 1: there are some, and they
    /// were not merged.
    Duplicates {
        /// Keep the newest row of each day, made right, and delete the others. The audit keeps them.
        #[arg(long, requires = "why")]
        merge: bool,
        /// Why: it is kept in the audit, with your name.
        #[arg(long = "reason", id = "why", value_name = "TEXT", requires = "merge")]
        reason: Option<String>,
        /// At most so many days, the oldest first.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let url = &config.database.url.0;
    let pool = super::connect(url, "tunemantra-worker stats", super::COMMAND_CONNECTIONS).await?;
    let mut out = crate::cli::out();
    match arguments.command {
        Command::Status { json: as_json } => {
            let status = statistics::status(&pool).await?;
            match as_json {
                true => json(&mut out, &status)?,
                false => print_status(&mut out, &status)?,
            }
        }
        Command::Show {
            user,
            days,
            json: as_json,
        } => {
            let days = statistics::days(&pool, user, days.range()?).await;
            let days = days.map_err(|error| match error {
                UnreadableDay::Database(error) => anyhow::Error::new(error),
                error => Failure::configuration(error).into(),
            })?;
            match as_json {
                true => json(&mut out, &days)?,
                false => print_days(&mut out, &days)?,
            }
        }
        Command::Rebuild {
            days,
            prune,
            watch,
            reason,
            json: as_json,
        } => {
            let by = reason.by()?;
            let run = statistics::rebuild(&pool, days.range()?, prune, &by, now()).await;
            let mut run = run.map_err(of_run)?;
            if watch {
                run = follow(&pool, config, run).await?;
            }
            match as_json {
                true => json(&mut out, &run)?,
                false => writeln!(out, "{}", sentence(&run))?,
            }
            if run.state == RunState::Canceled {
                return Ok(ExitCode::from(EX_NO));
            }
        }
        Command::Cancel {
            run,
            reason,
            json: as_json,
        } => {
            let canceled = statistics::cancel(&pool, run, &reason.by()?, now()).await;
            let canceled = canceled.map_err(of_run)?;
            match (as_json, canceled) {
                (true, _) => json(&mut out, &json!({"run": run, "canceled": canceled}))?,
                (false, true) => writeln!(out, "canceled; days that were done stay as they are")?,
                (false, false) => writeln!(out, "it had ended")?,
            }
            if !canceled {
                return Ok(ExitCode::from(EX_NO));
            }
        }
        Command::Duplicates {
            merge: _,
            reason,
            limit,
            json: as_json,
        } => return duplicates(&pool, config, reason, limit, as_json).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn of_run(error: RunError) -> anyhow::Error {
    match error {
        RunError::Missing(_) => Failure::missing(error.to_string()).into(),
        RunError::Range(..) => Failure::usage(error).into(),
        RunError::Database(error) => error.into(),
    }
}

/// Recomputes beside the daemon, if there is one, until the run has ended.
async fn follow(pool: &PgPool, config: &Config, run: Run) -> anyhow::Result<Run> {
    let working = {
        let (pool, settings) = (pool.clone(), config.statistics.clone());
        tokio::spawn(async move { statistics::recompute(&pool, &settings, now()).await })
    };
    let mut shown = -1;
    loop {
        let run = statistics::run(pool, run.id).await.map_err(of_run)?;
        if run.days_done != shown && std::io::stderr().is_terminal() {
            shown = run.days_done;
            writeln!(std::io::stderr(), "{}", sentence(&run))?;
        }
        if run.state != RunState::Running {
            // Of the days it wrote, the trends of the days after.
            working.await??;
            return Ok(run);
        }
        if working.is_finished() {
            // A daemon holds the last of it, or this is an error.
            working.await??;
            return wait(pool, run).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn wait(pool: &PgPool, mut run: Run) -> anyhow::Result<Run> {
    while run.state == RunState::Running {
        tokio::time::sleep(LOOK).await;
        run = statistics::run(pool, run.id).await.map_err(of_run)?;
    }
    Ok(run)
}

async fn duplicates(
    pool: &PgPool,
    config: &Config,
    reason: Option<String>,
    limit: u32,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let mut out = crate::cli::out();
    let found = statistics::duplicates(pool, limit.into()).await?;
    let merged = match &reason {
        None => 0,
        Some(reason) => {
            let by = super::by::because(reason)?;
            statistics::merge_duplicates(pool, &config.statistics, &found, &by, now()).await?
        }
    };
    if as_json {
        json(&mut out, &json!({"duplicates": found, "merged": merged}))?;
    } else {
        print_duplicates(&mut out, &found)?;
        if reason.is_some() {
            writeln!(out, "days merged: {merged}")?;
        }
    }
    Ok(match reason.is_none() && !found.is_empty() {
        true => ExitCode::from(EX_NO),
        false => ExitCode::SUCCESS,
    })
}

fn sentence(run: &Run) -> String {
    let days = match (run.first_day, run.last_day) {
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => "no days".to_owned(),
    };
    let state = match run.state {
        RunState::Running => "under way",
        RunState::Completed => "completed",
        RunState::Canceled => "canceled",
    };
    format!(
        "run {}, {days}: {state}; {} of {} days done, {} user-days computed, {} rows written",
        run.id, run.days_done, run.days_total, run.looked_at, run.written
    )
}

fn print_status(out: &mut impl Write, status: &Status) -> anyhow::Result<()> {
    let time = |at: DateTime<Utc>| at.format("%F %T UTC").to_string();
    writeln!(out, "rows of the worker: {}", status.rows)?;
    match (status.marks, status.waiting_since, status.oldest_marked_day) {
        (0, _, _) => writeln!(out, "nothing waits to be recomputed")?,
        (marks, since, oldest) => {
            write!(out, "marks that wait to be recomputed: {marks}")?;
            if let Some(since) = since {
                write!(out, ", since {}", time(since))?;
            }
            if let Some(oldest) = oldest {
                write!(out, ", from {oldest} on")?;
            }
            writeln!(out)?;
        }
    }
    if status.trend_marks > 0 {
        writeln!(
            out,
            "user-days whose later trends wait: {}",
            status.trend_marks
        )?;
    }
    if status.duplicates > 0 {
        writeln!(
            out,
            "users' days with more than one row: {} (`stats duplicates`)",
            status.duplicates
        )?;
    }
    if status.foreign_rows > 0 {
        writeln!(
            out,
            "rows without usage that the worker did not write: {} (`stats rebuild --prune` removes them)",
            status.foreign_rows
        )?;
    }
    if status.set_aside > 0 {
        writeln!(
            out,
            "users' days that could not be written, and are tried again: {}; the oldest:",
            status.set_aside
        )?;
        let rows = status.asides.iter().map(|one| {
            [
                one.user_id.to_string(),
                one.date.to_string(),
                one.attempts.to_string(),
                time(one.next_attempt_at),
                one.problem.clone(),
            ]
        });
        let head = ["user", "day", "attempts", "next attempt", "what is wrong"];
        writeln!(out, "{}", table(head, rows))?;
    }
    if status.runs.is_empty() {
        return Ok(());
    }
    let rows = status.runs.iter().map(|run| {
        [
            run.id.to_string(),
            format!("{:?}", run.kind).to_lowercase(),
            format!("{:?}", run.state).to_lowercase(),
            time(run.started_at),
            format!("{} of {}", run.days_done, run.days_total),
            run.written.to_string(),
        ]
    });
    let head = ["run", "kind", "state", "started", "days", "rows written"];
    writeln!(out, "\n{}", table(head, rows))?;
    Ok(())
}

fn print_days(out: &mut impl Write, days: &[Day]) -> anyhow::Result<()> {
    let rows = days.iter().map(|day| {
        let trend = &day.trend_data;
        let percent = trend.day_before.streams_percent;
        [
            day.date.to_string(),
            trend.totals.streams.to_string(),
            trend.totals.downloads.to_string(),
            format!("{:.4}", trend.totals.revenue),
            percent.map_or_else(String::new, |percent| format!("{percent:+} %")),
            format!("{}", trend.average_28_days.streams),
            match &trend.with_sub_labels {
                Some(all) => format!("{} / {:.4}", all.streams, all.revenue),
                None => String::new(),
            },
        ]
    });
    let head = [
        "day",
        "streams",
        "downloads",
        "revenue",
        "streams to the day before",
        "28 day average",
        "with sub-labels",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}

fn print_duplicates(out: &mut impl Write, found: &[Duplicate]) -> anyhow::Result<()> {
    if found.is_empty() {
        writeln!(out, "no duplicates")?;
        return Ok(());
    }
    let rows = found.iter().map(|one| {
        let others: Vec<String> = one.others.iter().map(i32::to_string).collect();
        [
            one.user_id.to_string(),
            one.date.to_string(),
            one.newest.to_string(),
            others.join(", "),
        ]
    });
    let head = ["user", "day", "newest row", "other rows"];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}
