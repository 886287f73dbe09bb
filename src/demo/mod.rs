//! The demo: a private PostgreSQL, four partners of the sandbox, a catalogue with real files, and
//! the daemon as a child process that delivers it. At the end both sides of every delivery are held
//! against each other. Everything is on disk in the state directory, so that a demo that was
//! interrupted goes on where it stopped.

mod account;
mod catalogue;
mod daemon;
mod keepsake;
mod load;
mod media;
mod partners;
mod report;
mod royalties;
mod screen;
mod settings;
mod stage;
mod state;
mod watch;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use self::{account::Account, royalties::Royalties, screen::Screen, stage::Stage, state::State};
use crate::signals;

/// What the demo is to do.
#[derive(Debug)]
pub(crate) struct Options {
    /// The result as JSON instead of a table.
    pub(crate) json: bool,
    /// Where to keep what the partners received.
    pub(crate) out: Option<PathBuf>,
    /// Leave everything running until Ctrl-C.
    pub(crate) keep: bool,
    /// Start over.
    pub(crate) fresh: bool,
    /// Where everything of the demo lies.
    pub(crate) state_dir: PathBuf,
}

/// How the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every delivery ended as it should.
    AllWell,
    /// At least one did not.
    NotAllWell,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

/// Runs the demo.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Ending> {
    let began = Instant::now();
    let screen = Arc::new(Screen::new());
    let stop = signals::stop()?;
    if let Some(out) = &options.out {
        fs::create_dir_all(out)
            .with_context(|| format!("--out {} cannot be used", out.display()))?;
    }
    let state = State::open(&options.state_dir)?;
    prepare(options, &state, &screen).await?;
    let set = tokio::select! {
        set = Stage::set(&state, &screen, &stop) => Some(set?),
        () = stop.cancelled() => None,
    };
    let Some(mut stage) = set else {
        return Ok(interrupted(&screen));
    };
    let played = tokio::select! {
        played = play(&mut stage, &state, options, &screen, began) => played.map(Some),
        () = stop.cancelled() => Ok(None),
    };
    let kept = match &played {
        Ok(Some(_)) if options.keep => keep(&mut stage, &state, &screen, &stop).await,
        _ => Ok(()),
    };
    let struck = stage.strike().await;
    let ending = played?;
    kept.and(struck)?;
    Ok(ending.unwrap_or_else(|| interrupted(&screen)))
}

/// Brings the state directory to where this demo begins.
async fn prepare(options: &Options, state: &State, screen: &Screen) -> anyhow::Result<()> {
    state.stop_leftover_daemon()?;
    if options.fresh {
        state.start_over().await?;
        state.remove_assets()?;
    } else if state.is_finished() {
        screen.note("The last demo had finished; this one starts over.");
        state.start_over().await?;
    } else if state.is_begun() {
        screen.note("The last demo was interrupted; this one goes on where it stopped.");
    }
    screen.note(&format!("State directory: {}", state.root().display()));
    Ok(())
}

/// Waits until everything is decided, and says how it went.
async fn play(
    stage: &mut Stage,
    state: &State,
    options: &Options,
    screen: &Screen,
    began: Instant,
) -> anyhow::Result<Ending> {
    let decided = watch::until_decided(&stage.pool, &mut stage.daemon, state, screen).await;
    let royalties = match &decided {
        Ok(_) => Some(royalties::settle(&stage.pool).await.context("royalties")?),
        Err(_) => None,
    };
    if decided.is_ok() {
        state.mark_finished()?;
    }
    let accounts = account::render(&stage.pool, &stage.partners.ledgers()).await?;
    if let Some(out) = &options.out {
        for (slug, ledger) in stage.partners.folders() {
            keepsake::copy(&ledger, out, slug)?;
        }
        if let Some(royalties) = &royalties {
            royalties.keep(&out.join("statements"))?;
        }
    }
    let is_ok = decided.is_ok()
        && accounts.iter().all(|account| account.problems.is_empty())
        && royalties.as_ref().is_some_and(Royalties::is_well);
    print(&accounts, royalties.as_ref(), is_ok, options.json)?;
    screen.note(&report::summary(&accounts, began.elapsed().as_secs()));
    if let Some(royalties) = &royalties {
        screen.note(&royalties.summary());
    }
    if let Err(standstill) = decided {
        screen.note(&format!("Not everything was decided: {standstill:#}"));
    }
    where_to_look(state, stage.embedded.directory(), options, screen)?;
    Ok(if is_ok {
        Ending::AllWell
    } else {
        Ending::NotAllWell
    })
}

/// The result goes to standard output, all else to standard error.
fn print(
    accounts: &[Account],
    royalties: Option<&Royalties>,
    is_ok: bool,
    json: bool,
) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut stdout, &report::document(accounts, royalties, is_ok))?;
        writeln!(stdout)?;
    } else {
        writeln!(stdout, "{}", report::table(accounts))?;
    }
    stdout.flush().context("standard output cannot be written")
}

fn where_to_look(
    state: &State,
    postgres: &Path,
    options: &Options,
    screen: &Screen,
) -> anyhow::Result<()> {
    let mut places = vec![("what each partner received", state.partners()?)];
    if let Some(out) = &options.out {
        places.push(("the same, kept by --out", out.clone()));
    }
    places.extend([
        ("the daemon's log", state.daemon_log()),
        ("the daemon's configuration", state.daemon_config()),
        ("PostgreSQL and its log", postgres.to_owned()),
        ("all of it", state.root().to_owned()),
    ]);
    screen.note("\nWhere to look next:");
    for (what, place) in places {
        screen.note(&format!("  {what:28} {}", place.display()));
    }
    screen.note(&if options.keep {
        format!(
            "  {:28} psql \"$(cat '{}')\" -c 'select * from worker.deliveries'",
            "the database",
            state.database_url().display()
        )
    } else {
        format!(
            "  {:28} run the demo with --keep",
            "the database while it runs"
        )
    });
    Ok(())
}

async fn keep(
    stage: &mut Stage,
    state: &State,
    screen: &Screen,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    screen.note(&format!(
        "\nDaemon {}, database and partners go on running; Ctrl-C ends them.",
        stage.daemon.pid()
    ));
    tokio::select! {
        ended = watch::keep_running(&mut stage.daemon, state, screen) => ended,
        () = stop.cancelled() => Ok(()),
    }
}

fn interrupted(screen: &Screen) -> Ending {
    screen.note("Interrupted. Run the demo again and it goes on where it stopped.");
    Ending::Interrupted
}
