//! `audit`: what operators changed, and why.

use std::{io::Write as _, process::ExitCode};

use jobs::audit::{self, Filter};
use serde_json::Value;

use crate::{
    cli::table::{json, table},
    config::Config,
};

/// Show what operators changed, the newest first: who, what, when, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only what was done to objects of this kind: delivery, release, platform, schedule, job,
    /// notification, cron, retention.
    #[arg(long)]
    kind: Option<String>,
    /// The object's id.
    #[arg(long, requires = "kind")]
    id: Option<String>,
    /// Only what this one did: cli:USER, key:ID, or address:IP of who was refused.
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Only this action, such as delivery.hold; or all of a kind, such as delivery or access.
    #[arg(long)]
    action: Option<String>,
    /// Only what came with this request: the X-Request-Id of an answer.
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let pool = super::connect(
        &config.database.url.0,
        "tunemantra-worker audit",
        super::COMMAND_CONNECTIONS,
    )
    .await?;
    let mut out = crate::cli::out();
    let filter = Filter {
        object_kind: arguments.kind,
        object_id: arguments.id,
        actor: arguments.actor,
        action: arguments.action,
        request_id: arguments.request,
        after: None,
        sees_amounts: true,
        limit: arguments.limit.into(),
    };
    let entries = audit::search(&pool, &filter).await?;
    if arguments.json {
        json(&mut out, &entries)?;
    } else if entries.is_empty() {
        writeln!(out, "nothing was changed by hand")?;
    } else {
        let value = |value: Option<&Value>| value.map(ToString::to_string).unwrap_or_default();
        let rows = entries.iter().map(|entry| {
            [
                entry.at.format("%F %T UTC").to_string(),
                entry.actor.clone(),
                entry.action.clone(),
                format!("{} {}", entry.object_kind, entry.object_id),
                value(entry.before.as_ref()),
                value(entry.after.as_ref()),
                entry.reason.clone(),
            ]
        });
        let head = ["at", "who", "what", "to", "before", "after", "why"];
        writeln!(out, "{}", table(head, rows))?;
    }
    Ok(ExitCode::SUCCESS)
}
