//! `jobs`: what waits in each queue, those that have died, and giving them another life.

use std::{io::Write, process::ExitCode};

use clap::Subcommand;
use jobs::{
    dead,
    queue::{
        self, AttemptsOf, DeadFilter, DeadJob, JobFilter, ListedAttempt, ListedJob, ListedQueue,
    },
};
use uuid::Uuid;

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        deliveries,
        table::{json, table, text},
        watch::Watch,
    },
    config::Config,
};

/// The most attempts that are shown; more than a job ever has.
const ATTEMPTS: i64 = 1000;

/// Look after jobs: what waits in each queue, the jobs themselves, retrying dead ones.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only those of this kind, such as deliver or royalty_run.
    #[arg(long)]
    kind: Option<String>,
    /// Only those of this queue, such as deliver/7.
    #[arg(long)]
    queue: Option<String>,
    /// At most so many, the oldest first.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List queues with what waits in them, since when, and whether they are paused.
    Queues {
        #[command(flatten)]
        watch: Watch,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List jobs, the newest first.
    List {
        /// Only those in this state: available, running, held, completed, canceled, dead.
        #[arg(long)]
        state: Option<String>,
        /// Only those of this kind, such as deliver or royalty_run.
        #[arg(long)]
        kind: Option<String>,
        /// Only those of this queue, such as deliver/7.
        #[arg(long)]
        queue: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a job with its attempts.
    Show {
        /// The job's id.
        id: Uuid,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List dead jobs that nobody has followed up, the oldest first.
    Dead {
        #[command(flatten)]
        which: Which,
    },
    /// Retry dead jobs of a kind or a queue.
    ///
    /// A job that delivers is retried through its delivery, as `deliveries redeliver` does, one that
    /// notifies through its notification; any other gets all its attempts back.
    Retry {
        #[command(flatten)]
        which: Which,
        /// Do it; without this they are only counted.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        reason: Reason,
    },
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let pool = super::connect(
        &config.database.url.0,
        "tunemantra-worker jobs",
        super::COMMAND_CONNECTIONS,
    )
    .await?;
    match arguments.command {
        Command::List {
            state,
            kind,
            queue,
            limit,
            json: as_json,
        } => {
            let filter = JobFilter {
                state,
                kind,
                queue,
                after: None,
                limit: limit.into(),
            };
            let listed = queue::jobs(&pool, &filter).await?;
            let mut out = crate::cli::out();
            if as_json {
                json(&mut out, &listed)?;
            } else if listed.is_empty() {
                writeln!(out, "no jobs")?;
            } else {
                print_jobs(&mut out, &listed)?;
            }
        }
        Command::Show { id, json: as_json } => {
            let attempts = queue::attempts(&pool, AttemptsOf::Job(id), ATTEMPTS).await?;
            let Some(job) = queue::job(&pool, id).await? else {
                let missing = format!("there is no job {id}; finished ones are removed by age");
                return Err(Failure::missing(missing).into());
            };
            let mut out = crate::cli::out();
            if as_json {
                json(
                    &mut out,
                    &serde_json::json!({"job": job, "attempts": attempts}),
                )?;
            } else {
                print_jobs(&mut out, std::slice::from_ref(&job))?;
                print_attempts(&mut out, &attempts)?;
            }
        }
        Command::Queues {
            watch,
            json: as_json,
        } => {
            let look = async |out: &mut Vec<u8>| {
                let queues = queue::queues(&pool, now()).await?;
                if as_json {
                    json(out, &queues)?;
                } else {
                    print_queues(out, &queues)?;
                }
                Ok(())
            };
            watch.looks(look).await?;
        }
        Command::Dead { which } => {
            let mut out = crate::cli::out();
            let listed = queue::dead(&pool, &filter(&which)).await?;
            if which.json {
                json(&mut out, &listed)?;
            } else if listed.is_empty() {
                writeln!(out, "no dead jobs")?;
            } else {
                print_list(&mut out, &listed)?;
            }
        }
        Command::Retry { which, yes, reason } => {
            let mut out = crate::cli::out();
            let by = reason.by()?;
            if which.kind.is_none() && which.queue.is_none() {
                return Err(Failure::usage(anyhow::anyhow!("give --kind or --queue")).into());
            }
            let listed = queue::dead(&pool, &filter(&which)).await?;
            if !yes {
                if which.json {
                    json(&mut out, &serde_json::json!({"would_change": listed.len()}))?;
                } else {
                    writeln!(
                        out,
                        "{} dead jobs fit; nothing is changed yet. With --yes they are retried.",
                        listed.len()
                    )?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            let tally = dead::retry(&pool, &listed, &by, now()).await?;
            deliveries::print_tally(&mut out, &tally, which.json)?;
            if !tally.refused.is_empty() {
                return Ok(ExitCode::from(EX_NO));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_queues(out: &mut impl Write, queues: &[ListedQueue]) -> anyhow::Result<()> {
    if queues.is_empty() {
        writeln!(out, "nothing waits")?;
        return Ok(());
    }
    let rows = queues.iter().map(|one| {
        let since = one.oldest_due;
        let paused = one.paused_at.map(|at| {
            let why = one.paused_reason.as_deref().unwrap_or_default();
            format!("{}: {why}", at.format("%F %T UTC"))
        });
        [
            one.name.clone(),
            one.due.to_string(),
            one.later.to_string(),
            one.running.to_string(),
            one.held.to_string(),
            one.dead.to_string(),
            since.map_or_else(String::new, |at| at.format("%F %T UTC").to_string()),
            text(paused.as_ref()),
        ]
    });
    let head = [
        "queue",
        "due",
        "later",
        "running",
        "held",
        "dead",
        "due since",
        "paused",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}

fn print_jobs(out: &mut impl Write, jobs: &[ListedJob]) -> anyhow::Result<()> {
    let rows = jobs.iter().map(|one| {
        let when = one.finished_at.unwrap_or(one.run_at);
        [
            one.id.to_string(),
            one.queue.clone(),
            one.kind.clone(),
            one.state.clone(),
            format!("{} of {}", one.attempt, one.max_attempts),
            when.format("%F %T UTC").to_string(),
            text(one.worker.as_ref()),
            text(one.fault_code.as_ref()),
            text(one.fault_message.as_ref()),
        ]
    });
    let head = [
        "id", "queue", "kind", "state", "attempts", "when", "held by", "code", "why",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}

fn print_attempts(out: &mut impl Write, attempts: &[ListedAttempt]) -> anyhow::Result<()> {
    let rows = attempts.iter().map(|one| {
        let end = one.ended_at;
        [
            one.number.to_string(),
            one.started_at.format("%F %T UTC").to_string(),
            end.map_or_else(String::new, |at| at.format("%T").to_string()),
            one.outcome.clone().unwrap_or_else(|| "under way".into()),
            text(one.fault_message.as_ref()),
        ]
    });
    let head = ["no", "started", "ended", "outcome", "fault"];
    writeln!(out, "\n{}", table(head, rows))?;
    Ok(())
}

fn filter(which: &Which) -> DeadFilter {
    DeadFilter {
        kind: which.kind.clone(),
        queue: which.queue.clone(),
        limit: which.limit.into(),
    }
}

fn print_list(out: &mut impl std::io::Write, listed: &[DeadJob]) -> anyhow::Result<()> {
    let rows = listed.iter().map(|one| {
        [
            one.id.to_string(),
            one.queue.clone(),
            one.kind.clone(),
            one.attempt.to_string(),
            one.crashes.to_string(),
            one.finished_at
                .map(|at| at.format("%F %T UTC").to_string())
                .unwrap_or_default(),
            text(one.fault_code.as_ref()),
            text(one.fault_message.as_ref()),
        ]
    });
    let head = [
        "id", "queue", "kind", "attempts", "crashes", "died", "code", "why",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}
