//! The daemon as a child process of the demo: this program with the command `run`, in a process
//! group of its own, so that Ctrl-C reaches the demo alone and the daemon is stopped in order.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, ChildStdin, Command};

use super::state::State;

/// How long the daemon may take to drain.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// A daemon that lives shorter than this died of its start.
const START_UP: Duration = Duration::from_secs(3);
/// So many deaths at the start, one after the other, are no accident.
const MAX_FALSE_STARTS: u32 = 4;
/// Lines of the log that are shown when the daemon does not start.
const LOG_LINES: usize = 15;

/// The running daemon, started again whenever it dies.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    /// Closed when the demo ends, however it ends, and then the daemon ends too.
    _stdin: Option<ChildStdin>,
    pid: u32,
    started: Instant,
    false_starts: u32,
}

impl Daemon {
    /// Starts the daemon with the configuration that lies in the state directory.
    pub(crate) fn start(state: &State) -> anyhow::Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(state.daemon_log())
            .context("the daemon's log cannot be opened")?;
        let program = env::current_exe().context("where this program lies is unknown")?;
        let mut child = Command::new(program)
            .arg("run")
            .arg("--config")
            .arg(state.daemon_config())
            .arg("--exit-on-stdin-close")
            // What the demo was called with is the demo's: its daemon is configured by the file.
            .env_clear()
            .envs(inherited())
            .stdin(Stdio::piped())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("the daemon cannot be started")?;
        let stdin = child.stdin.take();
        let pid = child.id().context("the daemon ended at once")?;
        state.remember_daemon(pid)?;
        Ok(Self {
            child,
            _stdin: stdin,
            pid,
            started: Instant::now(),
            false_starts: 0,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// If the daemon died: starts another and says how the old one ended.
    pub(crate) fn revive(&mut self, state: &State) -> anyhow::Result<Option<ExitStatus>> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(None);
        };
        let false_starts = if self.started.elapsed() < START_UP {
            self.false_starts + 1
        } else {
            0
        };
        if false_starts >= MAX_FALSE_STARTS {
            bail!(
                "the daemon does not start ({status}); the end of its log {}:\n{}",
                state.daemon_log().display(),
                last_lines(state)
            );
        }
        *self = Self::start(state)?;
        self.false_starts = false_starts;
        Ok(Some(status))
    }

    /// Lets the daemon drain, and ends it if it does not.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            // It may have ended by itself; then waiting is all there is to do.
            let _ = kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM);
        }
        match tokio::time::timeout(STOP_GRACE, self.child.wait()).await {
            Ok(ended) => ended.map(|_| ()),
            Err(_) => self.child.kill().await,
        }
        .context("the daemon cannot be stopped")
    }
}

/// The environment without what would go before the configuration file.
fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| {
        let name = name.as_encoded_bytes();
        name != b"DATABASE_URL" && !name.starts_with(b"TUNEMANTRA_")
    })
}

fn last_lines(state: &State) -> String {
    let text = fs::read(state.daemon_log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}
