//! `check`: whether everything that the worker needs is there and fits.

mod channels;
mod environment;
mod keys;
mod platform;

use std::{io::Write, process::ExitCode, sync::Arc};

use futures_util::StreamExt as _;
use jobs::catalog;
use platform_adapters::{Adapter, Fault};
use serde::Serialize;
use serde_json::json;

use self::environment::Environment;
use crate::{
    cli::{EX_CONFIG, table},
    config::{Config, Layers},
};

/// What is logged beside the findings: what goes wrong in the program itself.
pub(super) const LOG_FILTER: &str = "error";
/// Platforms that are connected to at once.
const PLATFORMS_AT_ONCE: usize = 8;

/// Look whether everything the worker needs is there and fits, and say what to do where it is not.
///
/// Looks at the configuration, the database and its schema, the asset directory, DDEX's schemas, and
/// the settings of every active platform; prints a line for each finding. Changes nothing, delivers
/// nothing, shows no secret.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 if nothing failed (warnings do not count), 78 otherwise.

Secrets are read as the daemon reads them, to see that they are there: run this as the user that
the daemon runs as.")]
pub(super) struct Arguments {
    /// Connect to every active platform as well: name, host key or certificate, credentials,
    /// write access.
    #[arg(long)]
    connect: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Print the configuration that is in force, with the file or variable that each value comes
    /// from, and nothing else. Secrets are left out.
    #[arg(long, conflicts_with_all = ["connect", "json"])]
    show_effective: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// It works, but probably not as it is meant.
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    /// What was looked at: `database`, `platform 3 ("Nordlys")`.
    subject: String,
    /// What was found there.
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            subject: subject.into(),
            message: message.into(),
            remedy: None,
        }
    }

    fn warn(
        subject: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(subject, message)
        }
    }

    fn fail(
        subject: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Fail,
            remedy: Some(remedy.into()),
            ..Self::ok(subject, message)
        }
    }

    fn fault(subject: impl Into<String>, fault: &Fault) -> Self {
        Self::fail(subject, fault.message.clone(), fault.remedy())
    }
}

pub(super) async fn run(
    arguments: Arguments,
    config: &Config,
    layers: &Layers,
) -> anyhow::Result<ExitCode> {
    if arguments.show_effective {
        layers.write(&mut crate::cli::out())?;
        return Ok(ExitCode::SUCCESS);
    }
    let findings = examine(config, arguments.connect).await;
    let is_ok = findings.iter().all(|one| one.level != Level::Fail);
    let mut out = crate::cli::out();
    if arguments.json {
        table::json(&mut out, &json!({"ok": is_ok, "findings": findings}))?;
    } else {
        print(&mut out, &findings)?;
    }
    Ok(if is_ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EX_CONFIG)
    })
}

async fn examine(config: &Config, connects: bool) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("configuration", "is in order")];
    let environment = Environment::examine(config, &mut findings).await;
    channels::examine(&config.notifications, &mut findings);
    let database = environment::database(config, super::COMMAND_CONNECTIONS, &mut findings).await;
    let Some(pool) = database else {
        return findings;
    };
    let rows = match catalog::active_platform_rows(&pool).await {
        Ok(rows) => rows,
        // What is wrong with the tables has been said.
        Err(_) if findings.iter().any(|one| one.level == Level::Fail) => return findings,
        Err(error) => {
            findings.push(Finding::fail(
                "platforms",
                format!("distribution_platforms cannot be read: {error}"),
                "Grant the worker's role SELECT on the web application's tables.",
            ));
            return findings;
        }
    };
    if rows.is_empty() {
        findings.push(Finding::warn(
            "platforms",
            "there is no active platform, so nothing is delivered",
            "Put one into distribution_platforms: config/platforms/ has examples, \
             `tunemantra-worker sandbox` one to try with.",
        ));
    }
    let mut adapters = Vec::new();
    for row in &rows {
        let adapter = platform::examine(row, &environment, &mut findings);
        adapters.extend(adapter.map(|adapter| (platform::subject(row), adapter)));
    }
    pool.close().await;
    if connects {
        findings.extend(connect(adapters).await);
    }
    findings
}

/// Connects to platforms, several at once, and answers in their order.
async fn connect(adapters: Vec<(String, Arc<dyn Adapter>)>) -> Vec<Finding> {
    let checks = adapters.into_iter().map(|(subject, adapter)| async move {
        match adapter.check().await {
            Ok(sentences) => {
                let sentences: Vec<&str> = sentences
                    .iter()
                    .map(|sentence| sentence.trim_end_matches('.'))
                    .collect();
                Finding::ok(subject, sentences.join("; "))
            }
            Err(fault) => Finding::fault(subject, &fault),
        }
    });
    futures_util::stream::iter(checks)
        .buffered(PLATFORMS_AT_ONCE)
        .collect()
        .await
}

fn print(out: &mut impl Write, findings: &[Finding]) -> anyhow::Result<()> {
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        write!(out, "{level}  {}: {}", finding.subject, finding.message)?;
        match &finding.remedy {
            Some(remedy) => writeln!(out, " -> {remedy}")?,
            None => writeln!(out)?,
        }
    }
    let count = |level| findings.iter().filter(|one| one.level == level).count();
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => writeln!(out, "All is well.")?,
        (0, warnings) => writeln!(out, "The worker can run; warnings: {warnings}.")?,
        (failures, warnings) => {
            writeln!(out, "To be mended: {failures}; warnings: {warnings}.")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
