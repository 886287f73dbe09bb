//! `schedules`: which there are, making one, calling one off, running one now.

use std::{io::Write as _, process::ExitCode};

use chrono::{DateTime, Utc};
use clap::Subcommand;
use jobs::schedule::{self, ListFilter, Listed, NewSchedule, Rescheduled};

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table::{json, table, text},
        watch::Watch,
    },
    config::Config,
};

/// Look after schedules: list them, make one, call one off, run one now.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List schedules, the latest due first.
    List {
        /// Only those in this status: pending, scheduled, processing, completed, partial, failed,
        /// canceled.
        #[arg(long)]
        status: Option<String>,
        /// Only those of this release.
        #[arg(long, value_name = "ID")]
        release: Option<i32>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        #[command(flatten)]
        watch: Watch,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Schedule a release to platforms, in the name of its owner.
    Create {
        /// The release.
        #[arg(long, value_name = "ID")]
        release: i32,
        /// The platforms; may be given several times, or with commas between them.
        #[arg(long, value_name = "ID", required = true, value_delimiter = ',')]
        platform: Vec<i32>,
        /// When it is due, such as 2027-01-31T06:00:00Z; without it, now.
        #[arg(long, value_name = "TIME")]
        due: Option<DateTime<Utc>>,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Call a schedule off that has not been taken up. For one that has, see `deliveries cancel`.
    Cancel {
        /// The schedule's id.
        id: i32,
        #[command(flatten)]
        reason: Reason,
    },
    /// Make a schedule due now.
    RunNow {
        /// The schedule's id.
        id: i32,
        #[command(flatten)]
        reason: Reason,
    },
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let pool = super::connect(
        &config.database.url.0,
        "tunemantra-worker schedules",
        super::COMMAND_CONNECTIONS,
    )
    .await?;
    let mut out = crate::cli::out();
    let (id, changed, done) = match arguments.command {
        Command::List {
            status,
            release,
            limit,
            watch,
            json: as_json,
        } => {
            let filter = ListFilter {
                status,
                release_id: release,
                limit: limit.into(),
                ..ListFilter::default()
            };
            drop(out);
            let look = async |out: &mut Vec<u8>| {
                let listed = schedule::list(&pool, &filter).await?;
                if as_json {
                    json(out, &listed)?;
                } else if listed.is_empty() {
                    writeln!(out, "no schedules")?;
                } else {
                    print_list(out, &listed)?;
                }
                Ok(())
            };
            watch.looks(look).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Create {
            release: release_id,
            platform: platform_ids,
            due,
            reason,
            json: as_json,
        } => {
            let (by, now) = (reason.by()?, now());
            let new = NewSchedule {
                release_id,
                platform_ids,
                due: due.unwrap_or(now),
                user_id: None,
            };
            let made = schedule::create(&pool, &new, &by, now).await?;
            let id =
                made.map_err(|why| Failure::missing(format!("nothing was scheduled: {why}")))?;
            if as_json {
                json(&mut out, &schedule::one(&pool, id).await?)?;
            } else {
                writeln!(
                    out,
                    "schedule {id} is made, due {}",
                    new.due.format("%F %T UTC")
                )?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Command::Cancel { id, reason } => {
            let changed = schedule::cancel(&pool, id, None, &reason.by()?, now()).await?;
            (id, changed, "is called off")
        }
        Command::RunNow { id, reason } => {
            let changed = schedule::run_now(&pool, id, None, &reason.by()?, now()).await?;
            (id, changed, "is due now")
        }
    };
    match changed {
        Rescheduled::Done => {
            writeln!(out, "schedule {id} {done}")?;
            Ok(ExitCode::SUCCESS)
        }
        Rescheduled::TakenUp(status) => {
            writeln!(
                out,
                "schedule {id} is {status}: it has been taken up or is over; nothing was changed"
            )?;
            Ok(ExitCode::from(EX_NO))
        }
        // Nobody says here what was seen.
        Rescheduled::Stale | Rescheduled::Missing => Err(Failure::missing(format!(
            "there is no schedule {id}; `schedules list` shows them"
        ))
        .into()),
    }
}

fn print_list(out: &mut impl std::io::Write, listed: &[Listed]) -> anyhow::Result<()> {
    let ids = |ids: &[i32]| {
        let words: Vec<String> = ids.iter().map(ToString::to_string).collect();
        words.join(" ")
    };
    let rows = listed.iter().map(|one| {
        let failed: Vec<&str> = one
            .failed_platforms
            .as_ref()
            .and_then(|failed| failed.as_object())
            .map(|failed| failed.keys().map(String::as_str).collect())
            .unwrap_or_default();
        [
            one.id.to_string(),
            one.release.clone(),
            text(one.upc.as_ref()),
            one.scheduled_date.format("%F %T UTC").to_string(),
            ids(&one.platform_ids),
            one.status.clone(),
            ids(one.completed_platform_ids.as_deref().unwrap_or_default()),
            failed.join(" "),
        ]
    });
    let head = [
        "id",
        "release",
        "upc",
        "due",
        "platforms",
        "status",
        "completed",
        "failed",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}
