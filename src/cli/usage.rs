//! `usage`: importing reports of usage, what was imported and what was not, taking a file back.

use std::{
    io::{IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
};

use chrono::NaiveDate;
use clap::Subcommand;
use jobs::usage::{
    self, File, FileState, Imported, Order, Plan, Rematched, Unmatched, UnmatchedFilter, UsageError,
};

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table::{json, table, text},
    },
    config::Config,
};

/// Usage: streams, downloads and revenue as platforms report them, imported into `analytics`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import a file: CSV, plain or gzip. One that was not finished goes on where it stopped; one
    /// whose content was imported already is refused. Exit code 1: some lines were not imported.
    ///
    /// Lines are matched to tracks by ISRC, or by the UPC of a release with one track; amounts are
    /// converted at the rate of the day of use. Lines that cannot be imported are kept: `usage
    /// unmatched` lists them.
    Import {
        /// The file.
        file: PathBuf,
        /// The platform that reports it.
        #[arg(long, value_name = "ID")]
        platform: i32,
        /// What its columns mean: a name of usage.layouts in the configuration.
        #[arg(long, value_name = "NAME", default_value = "plain")]
        layout: String,
        /// Change nothing: print what would come of it.
        #[arg(long, required_unless_present = "why", conflicts_with = "why")]
        dry_run: bool,
        /// Why: it is kept in the audit, with your name.
        #[arg(long = "reason", id = "why", value_name = "TEXT")]
        reason: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a report that is made up of the catalogue's recordings, to try `import`, statistics and
    /// royalties with: a long tail of tracks, territories, late lines, corrections. The same seed gives
    /// the same report.
    Generate {
        /// Its first day.
        #[arg(long, value_name = "DATE")]
        from: NaiveDate,
        /// Its last day.
        #[arg(long, value_name = "DATE")]
        to: NaiveDate,
        /// Lines.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        lines: u64,
        /// Which of all such reports; that of another platform has another one.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    /// List the files that were imported, the newest first.
    List {
        /// Only those of this platform.
        #[arg(long, value_name = "ID")]
        platform: Option<i32>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the lines that were not imported, with the reason.
    Unmatched {
        /// Only those of this file.
        #[arg(long, value_name = "ID")]
        file: Option<i32>,
        /// Only those for this reason: unreadable, unknown_recording, ambiguous_recording, no_rate,
        /// out_of_range.
        #[arg(long = "because", value_name = "WORD")]
        because: Option<String>,
        /// Only those with this ISRC.
        #[arg(long)]
        isrc: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look again at the lines that were not imported, and import those that can be by now: after the
    /// catalogue changed, or rates were imported. It may be repeated. Exit code 1: some are left.
    Rematch {
        /// Only those of this file.
        #[arg(long, value_name = "ID")]
        file: Option<i32>,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a file's usage back: it is deleted, its days are computed anew, and the file may be
    /// imported again.
    Void {
        /// The file's id, as `list` shows it.
        file: i32,
        /// Do it; without this nothing is changed.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let url = &config.database.url.0;
    let pool = super::connect(url, "tunemantra-worker usage", super::COMMAND_CONNECTIONS).await?;
    let mut out = crate::cli::out();
    match arguments.command {
        Command::Import {
            file,
            platform,
            layout,
            dry_run: _,
            reason,
            json: as_json,
        } => {
            let order = Order {
                path: &file,
                platform,
                layout_name: &layout,
                layout: layout_of(config, &layout)?,
                settings: &config.usage,
                royalties: &config.royalties,
            };
            let imported = match &reason {
                None => usage::dry_run(&pool, &order, now()).await,
                Some(reason) => {
                    let by = super::by::because(reason)?;
                    usage::import(&pool, &order, &by, now(), progress).await
                }
            };
            let imported = imported.map_err(of_usage)?;
            match as_json {
                true => json(&mut out, &imported)?,
                false => print_imported(&mut out, &imported)?,
            }
            if imported.unmatched > 0 {
                return Ok(ExitCode::from(EX_NO));
            }
        }
        Command::Generate {
            from,
            to,
            lines,
            seed,
        } => {
            let isrcs = usage::isrcs(&pool).await?;
            let plan = Plan {
                isrcs: &isrcs,
                first_day: from,
                last_day: to,
                lines,
                seed,
            };
            let mut out = std::io::BufWriter::new(out);
            usage::generate(&mut out, &plan)?;
            out.flush()?;
        }
        Command::List {
            platform,
            limit,
            json: as_json,
        } => {
            let files = usage::files(&pool, platform, limit.into()).await?;
            match as_json {
                true => json(&mut out, &files)?,
                false => print_files(&mut out, &files)?,
            }
        }
        Command::Unmatched {
            file,
            because,
            isrc,
            limit,
            json: as_json,
        } => {
            let filter = UnmatchedFilter {
                file,
                reason: because,
                isrc,
                limit: limit.into(),
            };
            let lines = usage::unmatched(&pool, &filter).await?;
            match as_json {
                true => json(&mut out, &lines)?,
                false => print_unmatched(&mut out, &lines)?,
            }
        }
        Command::Rematch {
            file,
            reason,
            json: as_json,
        } => {
            let (settings, royalties) = (&config.usage, &config.royalties);
            let by = reason.by()?;
            let found = usage::rematch(&pool, file, settings, royalties, &by, now()).await;
            let found = found.map_err(of_usage)?;
            match as_json {
                true => json(&mut out, &found)?,
                false => print_rematched(&mut out, &found)?,
            }
            if found.unmatched > 0 {
                return Ok(ExitCode::from(EX_NO));
            }
        }
        Command::Void {
            file,
            yes,
            reason,
            json: as_json,
        } => {
            if !yes {
                return Err(Failure::usage(anyhow::anyhow!(
                    "this deletes the usage that came of file {file}; say --yes to do it"
                ))
                .into());
            }
            let voided = usage::void(&pool, file, &reason.by()?, now()).await;
            let voided = voided.map_err(of_usage)?;
            match as_json {
                true => json(&mut out, &voided)?,
                false => writeln!(
                    out,
                    "file {} ({}) is voided: {} lines taken back",
                    voided.id, voided.name, voided.lines_imported
                )?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn layout_of<'a>(config: &'a Config, name: &str) -> Result<&'a usage::Layout, Failure> {
    config.usage.layouts.get(name).ok_or_else(|| {
        let names: Vec<&str> = config.usage.layouts.keys().map(String::as_str).collect();
        Failure::configuration(anyhow::anyhow!(
            "there is no layout {name:?} in usage.layouts of the configuration; there are: {}",
            names.join(", ")
        ))
    })
}

fn of_usage(error: UsageError) -> anyhow::Error {
    match error {
        UsageError::Database(error) => error.into(),
        UsageError::Platform(_) | UsageError::Missing(_) => {
            Failure::missing(error.to_string()).into()
        }
        UsageError::Unreadable { .. }
        | UsageError::Known { .. }
        | UsageError::Otherwise { .. }
        | UsageError::Busy(_) => Failure::usage(error).into(),
        error @ UsageError::CutOff(_) => error.into(),
    }
}

fn progress(done: u64, total: u64) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        // Who cannot be told goes without.
        let _ = write!(err, "\r\x1b[K{done} of {total} lines");
        if done >= total {
            let _ = writeln!(err);
        }
    }
}

fn print_imported(out: &mut impl Write, imported: &Imported) -> anyhow::Result<()> {
    match imported.file {
        Some(file) => write!(out, "file {file}: ")?,
        None => write!(out, "dry run: ")?,
    }
    write!(
        out,
        "{} of {} lines, {} streams, {} downloads, {:.4} in the accounting currency",
        imported.lines, imported.records, imported.streams, imported.downloads, imported.revenue
    )?;
    if let (Some(first), Some(last)) = (imported.first_day, imported.last_day) {
        write!(out, ", {first} to {last}")?;
    }
    writeln!(out)?;
    if imported.unmatched > 0 {
        write!(out, "lines that were not imported: {}", imported.unmatched)?;
        match imported.file {
            Some(file) => writeln!(out, " (`usage unmatched --file {file}`)")?,
            None => writeln!(out)?,
        }
    }
    for one in &imported.problems {
        writeln!(out, "  line {}: {}: {}", one.line, one.reason, one.problem)?;
    }
    Ok(())
}

fn print_rematched(out: &mut impl Write, found: &Rematched) -> anyhow::Result<()> {
    writeln!(
        out,
        "{} of {} lines that were looked at again are usage now: {} streams, {} downloads, {:.4} in the \
         accounting currency",
        found.lines, found.looked_at, found.streams, found.downloads, found.revenue
    )?;
    if found.unmatched > 0 {
        writeln!(
            out,
            "lines that are not imported: {} (`usage unmatched`)",
            found.unmatched
        )?;
    }
    Ok(())
}

fn print_files(out: &mut impl Write, files: &[File]) -> anyhow::Result<()> {
    let day = |day: Option<NaiveDate>| day.map_or_else(String::new, |day| day.to_string());
    let rows = files.iter().map(|file| {
        let state = match file.state {
            FileState::Importing => {
                format!("importing, {} of {}", file.records_done, file.records_total)
            }
            state => format!("{state:?}").to_lowercase(),
        };
        [
            file.id.to_string(),
            file.name.clone(),
            file.platform_name.clone(),
            state,
            file.lines_imported.to_string(),
            file.lines_aside.to_string(),
            file.streams.to_string(),
            format!("{:.4}", file.revenue),
            format!("{} {}", day(file.first_day), day(file.last_day)),
            file.started_at.format("%F %T").to_string(),
        ]
    });
    let head = [
        "id",
        "file",
        "platform",
        "state",
        "lines",
        "not imported",
        "streams",
        "revenue",
        "days",
        "begun (UTC)",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}

fn print_unmatched(out: &mut impl Write, lines: &[Unmatched]) -> anyhow::Result<()> {
    if lines.is_empty() {
        writeln!(out, "every line was imported")?;
        return Ok(());
    }
    let rows = lines.iter().map(|one| {
        [
            one.file_id.to_string(),
            one.line.to_string(),
            one.problem.clone(),
            text(one.isrc.as_ref()),
            text(one.upc.as_ref()),
            one.fields.join(" | "),
        ]
    });
    let head = ["file", "line", "what is wrong", "isrc", "upc", "fields"];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}
