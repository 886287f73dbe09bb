//! `workers`: the daemons on the database.

use std::{io::Write as _, process::ExitCode};

use jobs::daemons;

use crate::{
    cli::{
        by::now,
        table::{json, table},
        watch::Watch,
    },
    config::Config,
};

/// List the daemons on the database, the latest start first, with their last signs of life and the
/// jobs they hold.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    watch: Watch,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let pool = super::connect(
        &config.database.url.0,
        "tunemantra-worker workers",
        super::COMMAND_CONNECTIONS,
    )
    .await?;
    let look = async |out: &mut Vec<u8>| {
        let listed = daemons::list(&pool, now()).await?;
        if arguments.json {
            return json(out, &listed);
        }
        if listed.is_empty() {
            writeln!(out, "no daemon has run in the last days")?;
            return Ok(());
        }
        let rows = listed.iter().map(|one| {
            [
                one.host.clone(),
                one.process.to_string(),
                one.state.to_owned(),
                one.version.clone(),
                one.started_at.format("%F %T UTC").to_string(),
                one.seen_at.format("%F %T UTC").to_string(),
                one.running.to_string(),
            ]
        });
        let head = [
            "machine",
            "process",
            "state",
            "version",
            "started",
            "last seen",
            "jobs",
        ];
        writeln!(out, "{}", table(head, rows))?;
        Ok(())
    };
    arguments.watch.looks(look).await?;
    Ok(ExitCode::SUCCESS)
}
