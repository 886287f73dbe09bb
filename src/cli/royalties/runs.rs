//! Runs: starting, watching, looking, computing again, calling off, making final, correcting, paying.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Subcommand;
use jobs::royalty::{self, Period, Run, RunFilter, SetAsideTrack, State};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Which, find, find_in, print, refusal};
use crate::{
    cli::{
        EX_NO,
        by::{Reason, now},
        table,
        watch::Watch,
    },
    config::Config,
};

/// Between two looks at what is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start the run of a month. If there is one already it says so, with the same id, and changes
    /// nothing; so a scheduler may repeat it. A daemon computes it.
    Start {
        /// The month, such as 2026-10.
        period: Period,
        /// Keep nothing: compute it here and print what it would come to. The month need not be
        /// over.
        #[arg(long, conflicts_with_all = ["wait", "reason"])]
        dry_run: bool,
        /// Wait until it is computed.
        #[arg(long)]
        wait: bool,
        /// Why: it is kept in the audit, with your name.
        #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
        reason: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Correct a month whose run is final: the revision posts the difference between what the
    /// ledger says and what is right now (usage, shares, terms). An open revision is the answer if
    /// there is one.
    Revise {
        /// The month.
        period: Period,
        /// Wait until it is computed.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Wait until a run is computed, and print how far it is meanwhile. Exit code 1: it could not be
    /// computed, or was called off.
    Watch {
        /// The run's id or period.
        run: Which,
        /// Print JSON at the end.
        #[arg(long)]
        json: bool,
    },
    /// List runs, the newest first.
    List {
        /// Only those of this month.
        #[arg(long)]
        period: Option<Period>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a run: what it comes to, its digests, and the tracks that are set aside, with the reasons.
    Show {
        /// The run's id or period.
        run: Which,
        #[command(flatten)]
        watch: Watch,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compute a pending run again, from what usage says now.
    Recompute {
        /// The run's id or period.
        run: Which,
        /// From what it read before, by today's configuration and balances.
        #[arg(long)]
        keep_input: bool,
        /// Wait until it is computed.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Call off a run that is not final. One that is being computed is stopped.
    Void {
        /// The run's id or period.
        run: Which,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a pending run final: its entries go into the ledger, and nothing of it changes any more.
    Finalise {
        /// The run's id or period.
        run: Which,
        /// Also if tracks are set aside; a later run settles them.
        #[arg(long)]
        accept_set_aside: bool,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Note that payees were paid what a final run owes them.
    Pay {
        /// The run's id or period.
        run: Which,
        /// Only this one; otherwise all who are not paid yet.
        #[arg(long, value_name = "USER")]
        payee: Option<i32>,
        /// The payment's reference, such as the bank's.
        #[arg(long, value_name = "TEXT")]
        reference: Option<String>,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(
    command: Command,
    pool: &PgPool,
    config: &Config,
) -> anyhow::Result<ExitCode> {
    let settings = &config.royalties;
    match command {
        Command::Start {
            period,
            dry_run: true,
            json,
            ..
        } => {
            let clock = jobs::clock::system();
            let (run, aside) = royalty::rehearse(pool, period, settings, &clock)
                .await
                .map_err(refusal)?;
            let mut out = crate::cli::out();
            print_run(&mut out, &run, &aside, json)?;
            if !json {
                writeln!(out, "nothing of this was kept")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Start {
            period,
            wait,
            reason,
            json,
            ..
        } => {
            let by = Reason::of(reason.unwrap_or_default()).by()?;
            let started = royalty::start(pool, period, settings, &by, now())
                .await
                .map_err(refusal)?;
            tell_started(pool, &started, wait, json).await
        }
        Command::Revise {
            period,
            wait,
            reason,
            json,
        } => {
            let started = royalty::revise(pool, period, settings, &reason.by()?, now())
                .await
                .map_err(refusal)?;
            tell_started(pool, &started, wait, json).await
        }
        Command::Watch { run, json } => {
            let run = find_in(pool, run).await?;
            finish(pool, run.id, true, json).await
        }
        Command::List {
            period,
            limit,
            json,
        } => list(pool, period, limit, json).await,
        Command::Show { run, watch, json } => {
            let look = async |out: &mut Vec<u8>| {
                let mut conn = pool.acquire().await?;
                let run = find(&mut conn, run).await?;
                let aside = royalty::set_aside(&mut conn, run.id, None, 1000).await?;
                print_run(out, &run, &aside, json)
            };
            watch.looks(look).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Recompute {
            run,
            keep_input,
            wait,
            reason,
            json,
        } => {
            let run = find_in(pool, run).await?;
            let run = royalty::recompute(pool, run.id, keep_input, settings, &reason.by()?, now())
                .await
                .map_err(refusal)?;
            finish(pool, run.id, wait, json).await
        }
        Command::Void { run, reason, json } => {
            let run = find_in(pool, run).await?;
            let run = royalty::void(pool, run.id, &reason.by()?, now())
                .await
                .map_err(refusal)?;
            print_state(&run, json)
        }
        Command::Finalise {
            run,
            accept_set_aside,
            reason,
            json,
        } => {
            let run = find_in(pool, run).await?;
            let run = royalty::finalise(pool, run.id, accept_set_aside, &reason.by()?, now())
                .await
                .map_err(refusal)?;
            print_state(&run, json)
        }
        Command::Pay {
            run,
            payee,
            reference,
            reason,
            json,
        } => {
            let run = find_in(pool, run).await?;
            let reference = reference.as_deref();
            let paid = royalty::pay(pool, run.id, payee, reference, &reason.by()?, now()).await;
            let (run, payments) = paid.map_err(refusal)?;
            print_payments(&run, &payments, json)
        }
    }
}

async fn tell_started(
    pool: &PgPool,
    started: &royalty::Started,
    wait: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    if !json {
        let run = &started.run;
        let is = if started.is_new {
            "is started"
        } else {
            "is there already"
        };
        writeln!(
            crate::cli::out(),
            "royalty run {} {is}: {} ({})",
            run.name(),
            run.id,
            run.state.as_str()
        )?;
    }
    if !wait && json {
        let answer = json!({"run": started.run, "is_new": started.is_new});
        table::json(&mut crate::cli::out(), &answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    match wait {
        true => finish(pool, started.run.id, true, json).await,
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Prints a run, once it is computed if that is waited for.
async fn finish(pool: &PgPool, id: Uuid, wait: bool, json: bool) -> anyhow::Result<ExitCode> {
    let mut told = None;
    let run = loop {
        let run = find_in(pool, Which::Id(id)).await?;
        if !wait || run.state != State::Running || run.fault.is_some() {
            break run;
        }
        if told != run.progress {
            told.clone_from(&run.progress);
            if let (Some(progress), false) = (&told, json) {
                let (phase, done, total) = (&progress.phase, progress.done, progress.total);
                writeln!(io::stderr(), "{phase}: {done} of {total}")?;
            }
        }
        tokio::time::sleep(LOOK).await;
    };
    if let Some(fault) = run.fault.as_ref().filter(|_| run.state == State::Running) {
        writeln!(io::stderr(), "it could not be computed: {fault}")?;
    }
    if wait {
        let mut conn = pool.acquire().await?;
        let aside = royalty::set_aside(&mut conn, id, None, 1000).await?;
        print_run(&mut crate::cli::out(), &run, &aside, json)?;
    } else {
        print_state(&run, json)?;
    }
    let is_well = run.fault.is_none() && run.state != State::Void;
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EX_NO)
    })
}

async fn list(
    pool: &PgPool,
    period: Option<Period>,
    limit: u32,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let filter = RunFilter {
        period,
        limit: Some(limit.into()),
        ..RunFilter::default()
    };
    let runs = royalty::list(&mut *pool.acquire().await?, &filter).await?;
    let mut out = crate::cli::out();
    if json {
        table::json(&mut out, &runs)?;
    } else if runs.is_empty() {
        writeln!(out, "no royalty runs")?;
    } else {
        print::runs(&mut out, &runs)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_run(
    out: &mut impl io::Write,
    run: &Run,
    aside: &[SetAsideTrack],
    json: bool,
) -> anyhow::Result<()> {
    if json {
        return table::json(out, &json!({"run": run, "set_aside": aside}));
    }
    print::run(out, run, aside)
}

fn print_state(run: &Run, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = crate::cli::out();
    if json {
        table::json(&mut out, &json!({"run": run}))?;
    } else {
        writeln!(out, "royalty run {} is {}", run.name(), run.state.as_str())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_payments(
    run: &Run,
    payments: &[royalty::Payment],
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut out = crate::cli::out();
    if json {
        table::json(&mut out, &json!({"run": run, "payments": payments}))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = payments.iter().map(|one| {
        [
            one.payee.to_string(),
            one.payable.to_string(),
            one.paid.to_string(),
        ]
    });
    writeln!(out, "{}", table::table(["payee", "owed", "paid"], rows))?;
    writeln!(out, "royalty run {} is {}", run.name(), run.state.as_str())?;
    Ok(ExitCode::SUCCESS)
}
