//! `ddex`: holding messages against DDEX's schemas and rules, and seeing what a platform would get.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Subcommand;
use jobs::{
    catalog::CatalogError,
    delivery::{self, PreviewOf},
};
use platform_adapters::{
    Code,
    ddex::{self, Acknowledgement, Schemas, check_rules},
    package::AssetStore,
};
use serde::Serialize;

use crate::{
    cli::{EX_NO, Failure, by::now, table},
    config::Config,
};

/// The largest file that is looked at, in bytes.
const MAX_FILE_BYTES: u64 = ddex::MAX_MESSAGE_BYTES as u64;

/// Look at DDEX messages.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold files against DDEX's schemas (ddex.schemas of the configuration) and against the rules of
    /// DDEX's release profiles. Exit code 1: one of them is not in order.
    Validate {
        /// Messages of ERN 4.3.2, 4.3 or 3.8.2, or acknowledgements.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the message that a platform would get of a release now. Nothing is sent. Exit code 1: it
    /// would not be sent, for the reasons given.
    Preview {
        /// releases.id
        release: i32,
        /// distribution_platforms.id
        #[arg(long, value_name = "ID")]
        platform: i32,
        /// The release's takedown.
        #[arg(long)]
        takedown: bool,
    },
}

/// What was found in a file.
#[derive(Debug, Serialize)]
struct Looked {
    file: PathBuf,
    valid: bool,
    /// Whether it was held against DDEX's schema.
    schema: bool,
    complaints: Vec<String>,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let schemas = config.ddex.schemas();
    let schemas = schemas
        .map(|path| ddex::find_schemas(&path))
        .transpose()
        .map_err(Failure::configuration)?;
    match arguments.command {
        Command::Validate { files, json } => validate(files, schemas.as_ref(), json).await,
        Command::Preview {
            release,
            platform,
            takedown,
        } => {
            let of = PreviewOf {
                release_id: release,
                platform_id: platform,
                takedown,
            };
            preview(of, schemas.as_ref(), config).await
        }
    }
}

async fn validate(
    files: Vec<PathBuf>,
    schemas: Option<&Schemas>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut looked = Vec::new();
    for file in files {
        let size = fs::metadata(&file)
            .with_context(|| file.display().to_string())
            .map_err(Failure::usage)?
            .len();
        if size > MAX_FILE_BYTES {
            let problem = format!("{} has more than {MAX_FILE_BYTES} bytes", file.display());
            return Err(Failure::usage(anyhow::anyhow!(problem)).into());
        }
        let xml = fs::read(&file).with_context(|| file.display().to_string())?;
        let name = file.display().to_string();
        let (complaints, schema) = complaints(&name, &xml, schemas).await?;
        looked.push(Looked {
            file,
            valid: complaints.is_empty(),
            schema,
            complaints,
        });
    }
    let mut out = crate::cli::out();
    if json {
        table::json(&mut out, &looked)?;
    } else {
        for one in &looked {
            let word = if one.valid { "valid" } else { "NOT VALID" };
            let how = if one.schema {
                ""
            } else {
                " by the rules; DDEX's schema for it is not configured (ddex.schemas)"
            };
            writeln!(out, "{}: {word}{how}", one.file.display())?;
            for complaint in &one.complaints {
                writeln!(out, "  {complaint}")?;
            }
        }
    }
    let all_valid = looked.iter().all(|one| one.valid);
    Ok(ExitCode::from(if all_valid { 0 } else { EX_NO }))
}

/// What stands against a document, and whether there was a schema for it.
async fn complaints(
    name: &str,
    xml: &[u8],
    schemas: Option<&Schemas>,
) -> anyhow::Result<(Vec<String>, bool)> {
    let namespace = match ddex::namespace(xml) {
        Ok(namespace) => namespace,
        Err(refused) => return Ok((vec![refused.to_string()], false)),
    };
    let mut complaints = match check_rules(xml) {
        Ok(found) => found,
        // What is no release notification has no profile; an acknowledgement has words.
        Err(_) => Acknowledgement::read(xml)
            .err()
            .map(|refused| refused.to_string())
            .into_iter()
            .collect(),
    };
    let Some(schemas) =
        schemas.filter(|schemas| schemas.namespaces().any(|known| known == namespace))
    else {
        return Ok((complaints, false));
    };
    if let Err(fault) = schemas.validate(&namespace, name, xml).await {
        if fault.code != Code::MessageInvalid {
            return Err(Failure::configuration(fault).into());
        }
        let said = fault
            .evidence
            .iter()
            .find(|said| said.media_type == "text/plain");
        let said = said.map(|said| String::from_utf8_lossy(&said.body).into_owned());
        complaints.extend(said.unwrap_or_default().lines().map(str::to_owned));
    }
    Ok((complaints, true))
}

async fn preview(
    of: PreviewOf,
    schemas: Option<&Schemas>,
    config: &Config,
) -> anyhow::Result<ExitCode> {
    let url = &config.database.url.0;
    let pool = super::connect(url, "tunemantra-worker ddex", super::COMMAND_CONNECTIONS).await?;
    let assets = AssetStore::open(&config.assets.root).map_err(Failure::configuration)?;
    let mut conn = pool.acquire().await?;
    let mut err = io::stderr();
    let built = delivery::preview(&mut conn, &assets, &config.catalog, of, now()).await;
    let message = match built {
        Ok(message) => message,
        Err(CatalogError::Database(error)) => return Err(error.into()),
        Err(CatalogError::Fault(fault)) => {
            writeln!(err, "{fault}\n{}", fault.remedy())?;
            for finding in &fault.findings {
                writeln!(
                    err,
                    "  {} {}: {}",
                    finding.field, finding.problem, finding.remedy
                )?;
            }
            return Ok(ExitCode::from(EX_NO));
        }
    };
    crate::cli::out().write_all(&message.xml)?;
    for withdrawal in &message.withdrawals {
        writeln!(err, "{withdrawal}")?;
    }
    let (complaints, has_schema) = complaints("the message", &message.xml, schemas).await?;
    if !has_schema {
        writeln!(
            err,
            "held against the worker's own rules only: ddex.schemas is not configured"
        )?;
    }
    for complaint in &complaints {
        writeln!(err, "NOT VALID: {complaint}")?;
    }
    Ok(ExitCode::from(if complaints.is_empty() {
        0
    } else {
        EX_NO
    }))
}
