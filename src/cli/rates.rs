//! `rates`: exchange rates: importing them, listing them, and which one holds on a day.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use chrono::NaiveDate;
use clap::Subcommand;
use jobs::royalty::{
    money::Currency,
    rates::{self, ListFilter, Rate, Rates, RatesError},
};

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table::{json, table},
    },
    config::Config,
};

/// Look after exchange rates.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import rates from CSV: the European Central Bank's reference rates (eurofxref-hist.csv), or
    /// base,quote,date,rate. A rate that is known already is replaced. All of the file is imported,
    /// or nothing.
    Import {
        /// The file; - is standard input.
        file: PathBuf,
        /// Who published them; kept with each rate.
        #[arg(long, value_name = "NAME", default_value = "ECB")]
        source: String,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List rates as they were published, the newest first.
    List {
        /// Only those of this currency.
        #[arg(long)]
        currency: Option<Currency>,
        /// Only from this day on.
        #[arg(long, value_name = "DATE")]
        from: Option<NaiveDate>,
        /// Only until this day.
        #[arg(long, value_name = "DATE")]
        to: Option<NaiveDate>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the rate that an amount of a day is converted with. Exit code 1: there is none.
    Show {
        /// The amount's currency.
        currency: Currency,
        /// The day of use.
        date: NaiveDate,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let url = &config.database.url.0;
    let pool = super::connect(url, "tunemantra-worker rates", super::COMMAND_CONNECTIONS).await?;
    let mut out = crate::cli::out();
    let mut tx = pool.begin().await?;
    match arguments.command {
        Command::Import {
            file,
            source,
            reason,
            json: as_json,
        } => {
            let by = reason.by()?;
            let imported = rates::import(&mut tx, open(&file)?, &source, &by, now())
                .await
                .map_err(|error| match error {
                    RatesError::Database(error) => anyhow::Error::new(error),
                    RatesError::Unreadable(error) => {
                        Failure::usage(anyhow::anyhow!("{}: {error}", file.display())).into()
                    }
                })?;
            tx.commit().await?;
            if as_json {
                json(&mut out, &imported)?;
                return Ok(ExitCode::SUCCESS);
            }
            write!(
                out,
                "{} rates: {} new, {} in another value than before",
                imported.read, imported.added, imported.changed
            )?;
            if let (Some(from), Some(to)) = (imported.from, imported.to) {
                write!(out, "; from {from} to {to}")?;
            }
            writeln!(out)?;
        }
        Command::List {
            currency,
            from,
            to,
            limit,
            json: as_json,
        } => {
            let filter = ListFilter {
                currency,
                from,
                to,
                limit: limit.into(),
            };
            let listed = rates::list(&mut tx, &filter).await?;
            if as_json {
                json(&mut out, &listed)?;
            } else if listed.is_empty() {
                writeln!(out, "no rates")?;
            } else {
                let rows = listed.into_iter().map(|one| {
                    [
                        one.date.to_string(),
                        format!("{}/{}", one.base, one.quote),
                        one.rate.to_string(),
                        one.source,
                    ]
                });
                writeln!(out, "{}", table(["date", "pair", "rate", "source"], rows))?;
            }
        }
        Command::Show {
            currency,
            date,
            json: as_json,
        } => {
            let rates = Rates::load(&mut tx, &config.royalties, date, date).await?;
            return show(&mut out, rates.at(currency, date), as_json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(
    out: &mut impl io::Write,
    rate: Result<Rate, rates::NoRate>,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    match rate {
        Ok(rate) if as_json => json(out, &rate)?,
        Ok(rate) => {
            write!(
                out,
                "1 {} is {} {} by {}",
                rate.from, rate.rate, rate.to, rate.date
            )?;
            if !rate.source.is_empty() {
                write!(out, " ({})", rate.source)?;
            }
            writeln!(out)?;
        }
        Err(none) => {
            if as_json {
                json(out, &serde_json::Value::Null)?;
            }
            writeln!(io::stderr(), "{none}")?;
            return Ok(ExitCode::from(EX_NO));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(file: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    match File::open(file) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::missing(format!("there is no file {}", file.display())).into())
        }
        Err(error) => Err(error).with_context(|| format!("{}", file.display())),
    }
}
