//! `notifications`: who was told what, sending again what did not arrive, and trying the channels.

use std::{io::Write, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;
use jobs::notification::{self, Channels, Event, Filter, Listed, Remedied, Remedy, Story};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    cli::{
        EX_NO, EX_UNAVAILABLE, Failure,
        by::{Reason, now},
        table::{json, table, text},
    },
    config::Config,
};

/// The states of a notification.
const STATES: [&str; 5] = ["pending", "delivered", "failed", "unaddressed", "dismissed"];

/// Notifications: who was told what, and what did not arrive.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List notifications, the newest first.
    List {
        #[command(flatten)]
        which: Which,
        /// Only those in this state: pending, delivered, failed (some channel did not take it),
        /// unaddressed (no channel wanted it), dismissed.
        #[arg(long, value_parser = STATES)]
        state: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one notification: its details, and what each channel said.
    Show {
        /// The notification's id.
        id: Uuid,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send notifications again to the channels that have not taken them; without ids, all that
    /// failed and fit.
    Retry(Change),
    /// Let failed notifications be: they are no longer listed as failed. Without ids, all that fit.
    Dismiss(Change),
    /// Send a test to every webhook and to every operator's address, as the configuration has them.
    ///
    /// Needs no database. Exit code 69 if a channel did not take it.
    Test {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which notifications.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only those of this event, such as delivery.unknown.
    #[arg(long, value_parser = event)]
    event: Option<Event>,
    /// Only those that tell of this: schedule/12, platform/3, delivery/ID.
    #[arg(long, value_name = "KIND/ID")]
    subject: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

impl Which {
    fn filter(&self, state: Option<String>) -> Filter {
        Filter {
            state,
            event: self.event.map(|event| event.as_str().to_owned()),
            subject: self.subject.clone(),
            after: None,
            limit: self.limit.into(),
        }
    }
}

#[derive(Debug, clap::Args)]
struct Change {
    /// The notifications' ids.
    #[arg(value_name = "NOTIFICATION", conflicts_with_all = ["event", "subject", "limit"])]
    ids: Vec<Uuid>,
    #[command(flatten)]
    which: Which,
    /// Do it to all failed ones that fit; without this they are only counted.
    #[arg(long, conflicts_with = "ids")]
    yes: bool,
    #[command(flatten)]
    reason: Reason,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn event(word: &str) -> Result<Event, String> {
    Event::from_word(word).ok_or_else(|| {
        let known: Vec<&str> = Event::ALL.iter().map(|event| event.as_str()).collect();
        format!("there is no such event; there are {}", known.join(", "))
    })
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let mut out = crate::cli::out();
    let connect = || {
        let name = "tunemantra-worker notifications";
        super::connect(&config.database.url.0, name, super::COMMAND_CONNECTIONS)
    };
    match arguments.command {
        Command::List {
            which,
            state,
            json: as_json,
        } => {
            let listed = notification::list(&connect().await?, &which.filter(state)).await?;
            if as_json {
                json(&mut out, &listed)?;
            } else if listed.is_empty() {
                writeln!(out, "no notifications")?;
            } else {
                print_list(&mut out, &listed)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { id, json: as_json } => {
            let Some(story) = notification::story(&connect().await?, id).await? else {
                return Err(Failure::missing(format!("there is no notification {id}")).into());
            };
            if as_json {
                json(&mut out, &story)?;
            } else {
                print_story(&mut out, &story)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Retry(change) => make(&mut out, &connect().await?, Remedy::Retry, change).await,
        Command::Dismiss(change) => {
            make(&mut out, &connect().await?, Remedy::Dismiss, change).await
        }
        Command::Test { json: as_json } => test(&mut out, config, as_json).await,
    }
}

/// Makes a change to each, and says what was not done.
async fn make(
    out: &mut impl Write,
    pool: &PgPool,
    remedy: Remedy,
    change: Change,
) -> anyhow::Result<ExitCode> {
    let by = change.reason.by()?;
    let ids = if change.ids.is_empty() {
        let filter = change.which.filter(Some("failed".into()));
        let failed = notification::list(pool, &filter).await?;
        if !change.yes {
            let count = failed.len();
            match change.json {
                true => json(out, &serde_json::json!({"would_change": count}))?,
                false => writeln!(
                    out,
                    "{count} failed notifications fit; nothing is changed yet. With --yes it is \
                     done to them."
                )?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        failed.into_iter().map(|one| one.id).collect()
    } else {
        change.ids
    };
    let (mut done, mut refused) = (0_u64, Vec::new());
    for id in ids {
        match notification::remedy(pool, id, remedy, &by, now()).await? {
            Remedied::Done => done += 1,
            Remedied::Refused(state) => refused.push((id, format!("it is {state}"))),
            Remedied::Missing => refused.push((id, "there is no such notification".to_owned())),
        }
    }
    if change.json {
        json(
            out,
            &serde_json::json!({"changed": done, "refused": refused}),
        )?;
    } else {
        writeln!(out, "done: {done}")?;
        for (id, why) in &refused {
            writeln!(out, "not done: {id}: {why}")?;
        }
    }
    Ok(match refused.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EX_NO),
    })
}

async fn test(out: &mut impl Write, config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let channels = Channels::new(&config.notifications)
        .map_err(anyhow::Error::msg)
        .context("section notifications")
        .map_err(Failure::configuration)?;
    let tried = channels.test(now()).await;
    if as_json {
        let said: Vec<_> = tried
            .iter()
            .map(|(channel, sent)| {
                let problem = sent.as_ref().err();
                serde_json::json!({"channel": channel, "taken": sent.is_ok(), "problem": problem})
            })
            .collect();
        json(out, &said)?;
    } else if tried.is_empty() {
        writeln!(
            out,
            "no channel is configured: see [notifications] in config/default.toml"
        )?;
    } else {
        for (channel, sent) in &tried {
            match sent {
                Ok(()) => writeln!(out, "ok    {channel}: taken")?,
                Err(problem) => writeln!(out, "FAIL  {channel}: {problem}")?,
            }
        }
    }
    Ok(match tried.iter().all(|(_, sent)| sent.is_ok()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EX_UNAVAILABLE),
    })
}

fn print_list(out: &mut impl Write, listed: &[Listed]) -> anyhow::Result<()> {
    let rows = listed.iter().map(|one| {
        [
            one.id.to_string(),
            one.created_at.format("%F %T UTC").to_string(),
            one.event.clone(),
            one.subject.clone(),
            one.state.clone(),
            one.taken.to_string(),
            text(one.problems.as_ref()),
        ]
    });
    let head = ["id", "raised", "event", "of", "state", "taken", "not taken"];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}

fn print_story(out: &mut impl Write, story: &Story) -> anyhow::Result<()> {
    let one = &story.notification;
    let raised = one.created_at.format("%F %T UTC");
    writeln!(
        out,
        "{} of {}, raised {raised}: {}",
        one.event, one.subject, one.state
    )?;
    if let Some(at) = story.next_try_at {
        writeln!(out, "  next try {}", at.format("%F %T UTC"))?;
    }
    writeln!(out, "\nchannels")?;
    let rows = story.sends.iter().map(|send| {
        let state = match (send.delivered_at, send.given_up_at) {
            (Some(at), _) => format!("taken {}", at.format("%F %T UTC")),
            (None, Some(at)) => format!("given up {}", at.format("%F %T UTC")),
            (None, None) => "waits".to_owned(),
        };
        [
            send.channel.clone(),
            send.tries.to_string(),
            state,
            text(send.problem.as_ref()),
        ]
    });
    writeln!(
        out,
        "{}",
        table(["channel", "tries", "state", "problem"], rows)
    )?;
    writeln!(out, "\ndetails")?;
    json(out, &story.payload)
}
