//! `deliveries takedown`, `purge`, `restore`, `update`: new revisions of a release where it is.

use std::{io::Write, process::ExitCode};

use jobs::delivery::{self, OnPlatform, Outcome};
use sqlx::PgPool;

use crate::cli::{
    EX_NO, Failure,
    by::{Reason, now},
    table::{json, table},
};

/// Which release, where, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The release's id.
    #[arg(long, value_name = "ID")]
    release: i32,
    /// Only on this platform; otherwise wherever it is.
    #[arg(long, value_name = "ID")]
    platform: Option<i32>,
    #[command(flatten)]
    reason: Reason,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Takes a release down, altogether or in a territory.
pub(super) async fn take_down(
    out: &mut impl Write,
    pool: &PgPool,
    place: Where,
    territory: Option<String>,
) -> anyhow::Result<ExitCode> {
    let by = place.reason.by()?;
    let (release, platform) = (place.release, place.platform);
    let done = match territory {
        None => delivery::take_down(pool, release, platform, &by, now()).await?,
        Some(code) => delivery::take_down_territory(pool, release, platform, &code, &by, now())
            .await?
            .ok_or_else(|| {
                Failure::usage(anyhow::anyhow!(
                    "{code:?} is no territory; use the two-letter codes of ISO 3166-1, such as DE"
                ))
            })?,
    };
    print(out, release, place.json, &done)
}

/// Which release is to be forgotten by whom, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Forgotten {
    /// The release's id.
    #[arg(long, value_name = "ID")]
    release: i32,
    /// The platform that is to forget it.
    #[arg(long, value_name = "ID")]
    platform: i32,
    /// Do it: the partner cannot bring back what it has forgotten.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    reason: Reason,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Has a platform forget a release.
pub(super) async fn purge(
    out: &mut impl Write,
    pool: &PgPool,
    what: Forgotten,
) -> anyhow::Result<ExitCode> {
    let by = what.reason.by()?;
    let (release, platform) = (what.release, what.platform);
    if !what.yes {
        return Err(Failure::usage(anyhow::anyhow!(
            "this has platform {platform} forget release {release}; say --yes to do it"
        ))
        .into());
    }
    match delivery::purge(pool, release, platform, &by, now()).await? {
        Ok(done) => print(out, release, what.json, &[done]),
        Err(refused) => {
            match what.json {
                true => json(out, &serde_json::json!({"refused": refused.0}))?,
                false => writeln!(out, "not purged: {}", refused.0)?,
            }
            Ok(ExitCode::from(EX_NO))
        }
    }
}

/// Takes the takedown in a territory back.
pub(super) async fn restore(
    out: &mut impl Write,
    pool: &PgPool,
    place: Where,
    territory: &str,
) -> anyhow::Result<ExitCode> {
    let by = place.reason.by()?;
    let (release, platform) = (place.release, place.platform);
    let done = delivery::restore_territory(pool, release, platform, territory, &by, now())
        .await?
        .ok_or_else(|| {
            let on = platform.map_or_else(
                || "on all platforms".to_owned(),
                |id| format!("on platform {id}"),
            );
            Failure::missing(format!(
                "release {release} was not taken down in {territory} {on}; name the platform as the takedown did"
            ))
        })?;
    print(out, release, place.json, &done)
}

/// Sends what changed.
pub(super) async fn update(
    out: &mut impl Write,
    pool: &PgPool,
    place: Where,
) -> anyhow::Result<ExitCode> {
    let by = place.reason.by()?;
    let (release, platform) = (place.release, place.platform);
    let done = delivery::update(pool, release, platform, &by, now()).await?;
    print(out, release, place.json, &done)
}

fn print(
    out: &mut impl Write,
    release: i32,
    as_json: bool,
    done: &[OnPlatform],
) -> anyhow::Result<ExitCode> {
    if as_json {
        json(out, &done)?;
    } else if done.is_empty() {
        writeln!(
            out,
            "release {release} was never delivered there: there is nothing to do"
        )?;
    } else {
        let rows = done.iter().map(|one| {
            let (follows, delivery) = match one.outcome {
                Outcome::Started(id) => ("begun", id.to_string()),
                Outcome::UnderWay(id) => ("on its way already", id.to_string()),
                Outcome::NotThere => ("nothing to do: the release is not there", String::new()),
            };
            [
                one.platform_id.to_string(),
                follows.to_owned(),
                delivery,
                one.called_off.to_string(),
            ]
        });
        let head = ["platform", "what follows", "delivery", "called off"];
        writeln!(out, "{}", table(head, rows))?;
    }
    Ok(match done.is_empty() {
        true => ExitCode::from(EX_NO),
        false => ExitCode::SUCCESS,
    })
}
