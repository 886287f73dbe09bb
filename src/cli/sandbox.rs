//! `sandbox`: partners of our own, against which a platform's configuration is tried.

mod misbehave;
mod news;
mod troupe;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::{
    misbehave::{Way, Wish},
    news::News,
    troupe::Troupe,
};
use crate::{
    cli::Failure,
    config::Config,
    partners::{self, platform},
    signals,
};

/// What the partners log beside what is printed: what goes wrong in themselves.
pub(super) const LOG_FILTER: &str = "error";

/// How often the partners' ledgers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Start partners on this machine that check deliveries as strictly as a real one, for trying out.
///
/// They listen on 127.0.0.1 until Ctrl-C. Printed are the rows of distribution_platforms that lead
/// the worker to them, then a line for each delivery they receive, with the verdict and everything
/// that is wrong with it.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Where the partners keep keys, ports and what they receive. Started there again, they have
    /// the same addresses and go on with what they have.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Start the HTTP partner. (Without --api, --sftp and --ddex: all three.)
    #[arg(long)]
    api: bool,
    /// Start the partner that takes folders over SFTP.
    #[arg(long)]
    sftp: bool,
    /// Start the partner that takes DDEX messages over SFTP.
    #[arg(long)]
    ddex: bool,
    /// Do something wrong first, TIMES times (once if it is left out); may be given several times,
    /// one comes after the other.
    #[arg(long, value_name = "[TIMES:]WHAT[=VALUE]")]
    misbehave: Vec<Wish>,
    /// Each delivery meets all that --misbehave asks for, instead of the first ones only.
    #[arg(long, requires = "misbehave")]
    each: bool,
    /// Print JSON: one line with the platforms and the SQL, then one for each delivery.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
What --misbehave can ask for:
  unavailable[=RETRY-AFTER]    503                                            HTTP partner
  throttle[=RETRY-AFTER]       429                                            HTTP partner
  refuse-credentials           401, whatever the token                        HTTP partner
  refuse=REASON                422 with this reason                           HTTP partner
  garbage                      200 with a page that is no answer              HTTP partner
  cut-after=BYTES              the connection breaks after so many bytes      HTTP partner
  cut-before-answer            takes the delivery, then breaks the connection HTTP partner
  slow=SECONDS                 waits so long, then takes the delivery         HTTP partner
  sftp-busy                    closes the connection at once                  SFTP partners
  sftp-garbage                 answers with a page of HTTP                    SFTP partners
  sftp-slow=SECONDS            waits so long, then all goes well              SFTP partners
  sftp-stall[=BYTES]           is silent for ever after so many bytes         SFTP partners
  sftp-cut-after=BYTES         the connection breaks after so many bytes      SFTP partners
  sftp-refuse-credentials      lets nobody in                                 SFTP partners
  sftp-other-host-key          shows another host key than the pinned one     SFTP partners
  sftp-full                    has no room for a single byte                  SFTP partners
  sftp-read-only               lets nothing be written                        SFTP partners
  reject-later=REASON          takes the delivery, then says no to it         all partners
TIMES counts deliveries, and with sftp-… connections.

An example, in two terminals:
  tunemantra-worker sandbox --root /tmp/sandbox --misbehave 2:unavailable=5
  psql \"$DATABASE_URL\" -f /tmp/sandbox/platforms.sql && tunemantra-worker check --connect";

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let stop = signals::stop()?;
    let (root, _lock) = open(&arguments.root).map_err(Failure::unavailable)?;
    let all = !(arguments.api || arguments.sftp || arguments.ddex);
    let has_http = all || arguments.api;
    let has_sftp = all || arguments.sftp || arguments.ddex;
    let is_met =
        |wish: &&Wish| has_http && wish.suits(Way::Http) || has_sftp && wish.suits(Way::Sftp);
    if let Some(wish) = arguments.misbehave.iter().find(|wish| !is_met(wish)) {
        return Err(Failure::usage(anyhow::anyhow!(
            "--misbehave {wish} is for a partner that is not started: add {}",
            if has_http {
                "--sftp or --ddex"
            } else {
                "--api"
            }
        ))
        .into());
    }
    let plan = troupe::Plan {
        api: all || arguments.api,
        sftp: all || arguments.sftp,
        ddex: all || arguments.ddex,
        ddex_schemas: config.ddex.schemas().or_else(partners::ddex_schemas),
        wishes: arguments.misbehave,
        for_each_delivery: arguments.each,
    };
    let troupe = tokio::select! {
        troupe = Troupe::start(&root, &plan) => troupe.map_err(Failure::unavailable)?,
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let watched = async {
        // Before the rows are known nobody delivers: nothing is missed.
        let mut news = News::after_now(&troupe)?;
        announce(&root, &troupe, &plan, arguments.json)?;
        watch(&mut news, arguments.json, &stop).await
    }
    .await;
    troupe.stop().await;
    watched.map(|()| ExitCode::SUCCESS)
}

/// Makes the directory and locks it for this process.
fn open(root: &Path) -> anyhow::Result<(PathBuf, File)> {
    let unusable = || format!("--root {} cannot be used", root.display());
    fs::create_dir_all(root).with_context(unusable)?;
    let root = root.canonicalize().with_context(unusable)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(root.join("sandbox.lock"))
        .with_context(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok((root, lock)),
        Err(fs::TryLockError::WouldBlock) => anyhow::bail!(
            "another sandbox is running in {}; stop it with Ctrl-C, or give this one another \
             directory with --root",
            root.display()
        ),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(unusable),
    }
}

/// Says what is to be put into `distribution_platforms`, and keeps it in a file as well.
fn announce(
    root: &Path,
    troupe: &Troupe,
    plan: &troupe::Plan,
    as_json: bool,
) -> anyhow::Result<()> {
    let platforms = troupe.platforms();
    let sql = platform::insert_sql(&platforms);
    let file = root.join("platforms.sql");
    fs::write(&file, &sql).with_context(|| format!("{} cannot be written", file.display()))?;
    let mut out = crate::cli::out();
    if as_json {
        let document = json!({"platforms": platforms, "sql": sql, "sql_file": file});
        serde_json::to_writer(&mut out, &document)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{sql}")?;
    }
    out.flush()?;
    let mut note = format!(
        "The rows above lead the worker to these partners; put them into its database with\n  \
         psql \"$DATABASE_URL\" -f '{}'\nand schedule a release to them.\n\
         What they receive lies in {}.\n",
        file.display(),
        troupe.place().display()
    );
    if plan.ddex && plan.ddex_schemas.is_none() {
        note += "DDEX messages are not validated against DDEX's schemas: set ddex.schemas, or \
                 DDEX_DIR, to where they are.\n";
    }
    for moved in troupe.moved() {
        note += &format!(
            "{moved} has another address than the last time, because its port was taken: mend \
             api_endpoint of its old row, or deactivate that row.\n"
        );
    }
    note += "Deliveries, as they come (Ctrl-C ends):\n";
    // There is nowhere to report that standard error is closed.
    let _ = std::io::stderr().write_all(note.as_bytes());
    Ok(())
}

async fn watch(news: &mut News, as_json: bool, stop: &CancellationToken) -> anyhow::Result<()> {
    loop {
        let lines = news.next(as_json)?;
        if !lines.is_empty() {
            let mut out = crate::cli::out();
            for line in lines {
                writeln!(out, "{line}")?;
            }
            out.flush()?;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
