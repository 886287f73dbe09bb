//! The demo's state directory: what is where in it, who may use it, and what an earlier demo left
//! behind. The database's part of it is `embedded`'s.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{embedded::Embedded, partners::place};

/// How long a daemon that an earlier demo left behind may take to stop.
const LEFTOVER_GRACE: Duration = Duration::from_secs(5);

/// The state directory, locked for this process.
#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
    /// The operating system gives the lock back when this process dies, however it dies.
    _lock: File,
}

impl State {
    /// Makes and locks the directory, and stops a daemon that a killed demo left running.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)
            .and_then(|()| directory.canonicalize())
            .and_then(|root| {
                let lock = File::options()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(root.join("demo.lock"))?;
                Ok((root, lock))
            })
            .with_context(|| format!("the state directory {} cannot be used", directory.display()))
            .and_then(|(root, lock)| match lock.try_lock() {
                Ok(()) => Ok(Self { root, _lock: lock }),
                Err(fs::TryLockError::WouldBlock) => bail!(
                    "another demo is running in {}; wait for it or stop it with Ctrl-C, \
                     or give this one another directory with --state-dir",
                    root.display()
                ),
                Err(fs::TryLockError::Error(error)) => {
                    Err(error).with_context(|| format!("{} cannot be locked", root.display()))
                }
            })
    }

    /// Audio and artwork of the catalogue.
    pub(crate) fn assets(&self) -> PathBuf {
        self.root.join("assets")
    }

    /// The partners' folders: what each received, and its own files. Made where they are absent.
    pub(crate) fn partners(&self) -> anyhow::Result<PathBuf> {
        place::prepare(&self.root)
    }

    /// Keys and tokens that the partners know us by.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    pub(crate) fn daemon_config(&self) -> PathBuf {
        self.root.join("daemon.toml")
    }

    /// What the partners say was listened to.
    pub(crate) fn reports(&self) -> PathBuf {
        self.root.join("reports")
    }

    pub(crate) fn daemon_log(&self) -> PathBuf {
        self.root.join("daemon.log")
    }

    /// Holds the embedded database's URL, password included.
    pub(crate) fn database_url(&self) -> PathBuf {
        self.root.join("database.url")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether an earlier demo got as far as its result.
    pub(crate) fn is_finished(&self) -> bool {
        self.root.join("finished").exists()
    }

    pub(crate) fn mark_finished(&self) -> io::Result<()> {
        fs::write(self.root.join("finished"), b"")
    }

    /// Whether an earlier demo was interrupted.
    pub(crate) fn is_begun(&self) -> bool {
        self.daemon_config().exists()
    }

    /// Forgets everything but the catalogue's files, which are the same every time.
    pub(crate) async fn start_over(&self) -> anyhow::Result<()> {
        // First of all, so that a reset that is interrupted does not pass for a demo to go on with.
        self.remove("daemon.toml")?;
        Embedded::remove(&self.root).await?;
        place::remove(&self.root)?;
        for name in [
            "partners",
            "reports",
            "credentials",
            "database.url",
            "daemon.log",
            "daemon.pid",
        ] {
            self.remove(name)?;
        }
        self.remove("finished")
    }

    /// Forgets the catalogue's files as well.
    pub(crate) fn remove_assets(&self) -> anyhow::Result<()> {
        self.remove("assets")
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.root.join(name);
        remove_if_there(&path).with_context(|| format!("{} cannot be removed", path.display()))
    }

    pub(crate) fn remember_daemon(&self, pid: u32) -> io::Result<()> {
        fs::write(self.root.join("daemon.pid"), pid.to_string())
    }

    /// Stops the daemon of a demo that was killed. It stops by itself when its demo is gone; this
    /// makes sure of it before anything is changed under its feet.
    pub(crate) fn stop_leftover_daemon(&self) -> anyhow::Result<()> {
        let Some(pid) = fs::read_to_string(self.root.join("daemon.pid"))
            .ok()
            .and_then(|text| text.trim().parse::<i32>().ok())
        else {
            return Ok(());
        };
        let began = Instant::now();
        let mut signal = Signal::SIGTERM;
        while self.is_our_daemon(pid) {
            match kill(Pid::from_raw(pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    bail!("the daemon {pid} of an earlier demo cannot be stopped: {error}")
                }
            }
            if began.elapsed() > LEFTOVER_GRACE {
                signal = Signal::SIGKILL;
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.remove("daemon.pid")
    }

    /// The process with this id may long be another: what it was started with tells.
    fn is_our_daemon(&self, pid: i32) -> bool {
        let config = self.daemon_config();
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
            line.split(|byte| *byte == 0)
                .any(|word| word == config.as_os_str().as_encoded_bytes())
        })
    }
}

/// A file, a link or a directory with all that is in it.
fn remove_if_there(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn one_demo_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = State::open(directory.path()).unwrap();
        let refusal = State::open(directory.path()).unwrap_err().to_string();
        assert!(
            refusal.starts_with("another demo is running in "),
            "{refusal}"
        );
        drop(first);
        State::open(directory.path()).unwrap();
    }

    #[test]
    fn only_our_own_leftover_is_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        // The configuration's path is among the arguments, as it is for the daemon.
        let mut ours = Command::new("sh")
            .args(["-c", "sleep 60"])
            .arg(state.daemon_config())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        state.remember_daemon(other.id()).unwrap();
        state.stop_leftover_daemon().unwrap();
        assert_eq!(other.try_wait().unwrap(), None, "somebody else's process");
        other.kill().unwrap();
        other.wait().unwrap();

        state.remember_daemon(ours.id()).unwrap();
        let reaper = std::thread::spawn(move || ours.wait().unwrap());
        state.stop_leftover_daemon().unwrap();
        assert!(!reaper.join().unwrap().success());
    }
}
