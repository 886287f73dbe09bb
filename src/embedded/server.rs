//! The running server: started as a child, stopped with a fast shutdown, and what an earlier run
//! that was killed left behind.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::binaries::Binaries;
use super::place::Place;

/// How often a state is looked at while waiting for it to change.
const POLL: Duration = Duration::from_millis(20);

/// Starting includes crash recovery, which replays at most some gigabytes.
const START_POLLS: u32 = 5 * 60 * 50;

/// A fast shutdown writes a checkpoint.
const STOP_POLLS: u32 = 60 * 50;

/// An immediate shutdown only ends processes.
const KILL_POLLS: u32 = 10 * 50;

/// Another process may take the port between finding it free and listening on it.
const START_TRIES: usize = 5;

/// How much of the log goes into an error.
const LOG_LINES: usize = 10;

pub(super) struct Server {
    /// Nothing once it has stopped.
    pub(super) child: Option<Child>,
    pub(super) port: u16,
}

impl Server {
    pub(super) fn start(binaries: &Binaries, place: &Place) -> anyhow::Result<Self> {
        let port_file = place.directory().join("port");
        // The same port as last time if possible, so that a daemon of a killed run finds it again.
        let last = fs::read_to_string(&port_file)
            .ok()
            .and_then(|port| port.trim().parse().ok());
        for try_number in 0..START_TRIES {
            let port = last.filter(|port| try_number == 0 && is_free(*port));
            let port = port.map_or_else(free_port, Ok)?;
            let mut server = Self::spawn(binaries, place, port)?;
            if server.wait_until_ready(place)? {
                fs::write(&port_file, port.to_string())?;
                return Ok(server);
            }
        }
        bail!(
            "the embedded PostgreSQL does not start; its log ends with:\n{}",
            log_end(place)
        )
    }

    fn spawn(binaries: &Binaries, place: &Place, port: u16) -> anyhow::Result<Self> {
        let log = place.directory().join("postgres.log");
        if log.exists() {
            fs::rename(&log, place.directory().join("postgres.log.1"))?;
        }
        let child = place
            .command(&binaries.postgres())
            .arg("-D")
            .arg(place.data())
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                quoted(&place.socket())?
            ))
            .args(["-c", "unix_socket_permissions=0700", "-c", "timezone=UTC"])
            .args([
                "-c",
                "log_timezone=UTC",
                "-c",
                "cluster_name=tunemantra-worker",
            ])
            .args(["-c", "max_connections=100", "-c", "logging_collector=off"])
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            // Ctrl-C in a terminal is for this process, which stops the server when it is done.
            .process_group(0)
            .spawn()
            .context("PostgreSQL cannot be run")?;
        Ok(Self {
            child: Some(child),
            port,
        })
    }

    /// False if the server has ended instead.
    fn wait_until_ready(&mut self, place: &Place) -> anyhow::Result<bool> {
        let Some(child) = &mut self.child else {
            return Ok(false);
        };
        let pid_file = place.data().join("postmaster.pid");
        for _ in 0..START_POLLS {
            if child.try_wait()?.is_some() {
                self.child = None;
                return Ok(false);
            }
            // Its first line is the process, its eighth the state.
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            let is_ours = text.lines().next() == Some(&child.id().to_string());
            if is_ours
                && text
                    .lines()
                    .nth(7)
                    .is_some_and(|state| state.trim() == "ready")
            {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        bail!(
            "the embedded PostgreSQL does not become ready; its log ends with:\n{}",
            log_end(place)
        )
    }

    /// Ends sessions and writes everything to disk; a server that cannot do so is ended without,
    /// and recovers at its next start.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        for (signal, polls) in [(Signal::SIGINT, STOP_POLLS), (Signal::SIGQUIT, KILL_POLLS)] {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            // The child is not reaped yet, so its number is still its own.
            kill(pid, signal).context("the embedded PostgreSQL cannot be signalled")?;
            for _ in 0..polls {
                if child.try_wait()?.is_some() {
                    return Ok(());
                }
                thread::sleep(POLL);
            }
        }
        bail!("the embedded PostgreSQL (process {pid}) does not stop")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(error = %error, "the embedded PostgreSQL was not stopped");
        }
    }
}

/// Ends what an earlier run left running on this cluster, and removes a `postmaster.pid` whose
/// process is gone: after a reboot its number may belong to any other process, and PostgreSQL
/// would refuse to start. Nobody else may start a server on the cluster meanwhile.
pub(super) fn stop_leftover(data: &Path) -> anyhow::Result<()> {
    let Ok(data) = data.canonicalize() else {
        return Ok(());
    };
    let pid_file = data.join("postmaster.pid");
    let running = processes_in(&data);
    if !running.is_empty() {
        tracing::info!(
            postgres.directory = %data.display(),
            "stopping the embedded PostgreSQL that an earlier run left behind"
        );
    }
    let postmaster = fs::read_to_string(&pid_file)
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse().ok())
        .map(Pid::from_raw);
    // Only a process that works in this directory is PostgreSQL's, whatever the file says.
    if let Some(postmaster) = postmaster.filter(|pid| running.contains(pid)) {
        end(&data, Signal::SIGINT, &[postmaster], STOP_POLLS);
        end(&data, Signal::SIGQUIT, &[postmaster], KILL_POLLS);
    }
    // Without their postmaster the others end by themselves, at the latest after their statement.
    end(&data, Signal::SIGQUIT, &processes_in(&data), KILL_POLLS);
    end(&data, Signal::SIGKILL, &processes_in(&data), KILL_POLLS);
    let rest = processes_in(&data);
    ensure!(
        rest.is_empty(),
        "processes {rest:?} of an earlier run still work on {}; end them and try again",
        data.display()
    );
    match fs::remove_file(&pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", pid_file.display()))
        }
        _ => Ok(()),
    }
}

/// Signals those of `targets` that work on the cluster, and waits until no process does.
fn end(data: &Path, signal: Signal, targets: &[Pid], polls: u32) {
    let running = processes_in(data);
    for target in targets.iter().filter(|target| running.contains(target)) {
        // One that has just ended is as good as signalled.
        let _ = kill(*target, signal);
    }
    for _ in 0..polls {
        if processes_in(data).is_empty() {
            return;
        }
        thread::sleep(POLL);
    }
}

/// The processes whose working directory is the cluster: PostgreSQL's own, all of them.
pub(super) fn processes_in(data: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let directory = fs::read_link(entry.path().join("cwd")).ok()?;
            (directory == data).then(|| Pid::from_raw(pid))
        })
        .collect()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> anyhow::Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port is free")?;
    Ok(listener.local_addr()?.port())
}

/// A path as an element of one of PostgreSQL's list settings, where commas and blanks separate.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let path = path
        .to_str()
        .with_context(|| format!("the path {} is not valid UTF-8", path.display()))?;
    Ok(format!("\"{}\"", path.replace('"', "\"\"")))
}

fn log_end(place: &Place) -> String {
    let log = fs::read(place.directory().join("postgres.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines
        .get(lines.len().saturating_sub(LOG_LINES)..)
        .unwrap_or_default()
        .join("\n")
}
