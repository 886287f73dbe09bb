//! The program as a process, and what `/proc` knows of it.

use std::{
    collections::HashSet,
    fs::{self, File},
    future::Future,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// Nothing here takes nearly so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(240);
/// Lines of a log that a failing test shows.
const LOG_LINES: usize = 40;

/// Names another build of the program to be tried, as `scripts/chaos --worker` does.
const WORKER: &str = "WORKER_UNDER_TEST";

/// The built program, with nothing of the surroundings that configures it.
pub(crate) fn program() -> Command {
    let built = || env!("CARGO_BIN_EXE_tunemantra-worker").into();
    let mut command = Command::new(std::env::var_os(WORKER).unwrap_or_else(built));
    for (name, _) in std::env::vars_os() {
        let word = name.as_encoded_bytes();
        if word.starts_with(b"TUNEMANTRA_") || word == b"DATABASE_URL" || word == b"RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// The JSON document on standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless the command ended with this code and said all of these words.
    pub(crate) fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let said = format!("{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(said.contains(word), "{word:?} is missing: {self:?}");
        }
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command to its end.
pub(crate) async fn answer(command: &mut Command) -> Answer {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    output.expect("the command ends").unwrap().into()
}

/// A process that runs until it is told to stop. Killed when dropped; a test that fails shows the
/// end of its log.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pid: i32,
    log: PathBuf,
}

fn open(log: &Path) -> File {
    File::options().create(true).append(true).open(log).unwrap()
}

impl Running {
    /// Starts it with both outputs in the file `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let printed = open(&log);
        Self::start_into(command, log, printed)
    }

    /// Starts it with standard error in the file `log`, and standard output in the file `printed`,
    /// which is emptied first.
    pub(crate) fn start_apart(command: &mut Command, log: PathBuf, printed: &Path) -> Self {
        Self::start_into(command, log, File::create(printed).unwrap())
    }

    fn start_into(command: &mut Command, log: PathBuf, printed: File) -> Self {
        let said = open(&log);
        Self::start_saying(command, log, printed, said)
    }

    /// Starts it with its outputs in these files; `log` is what is read as its log.
    pub(crate) fn start_saying(
        command: &mut Command,
        log: PathBuf,
        printed: File,
        said: File,
    ) -> Self {
        let child = command.stdout(printed).stderr(said).spawn().unwrap();
        let pid = child.id().unwrap().try_into().unwrap();
        Self { child, pid, log }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid, signal);
    }

    /// Waits until its log has this word, which it can only have once.
    pub(crate) async fn says(&self, word: &str) {
        until(word, || async { self.log().contains(word).then_some(()) }).await;
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("the process ends").unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(LOG_LINES);
            eprintln!("the end of {}:", self.log.display());
            eprintln!("{}", lines[from..].join("\n"));
        }
    }
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Asks until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// A process told from later ones of the same number by when it started.
pub(crate) type Process = (i32, u64);

/// A process and all that it made, and they, as far as they run now.
pub(crate) fn family(root: i32) -> Vec<Process> {
    let everybody: Vec<(i32, Stat)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Stat::of(pid)?)))
        .collect();
    let mut members = HashSet::from([root]);
    loop {
        let before = members.len();
        for (pid, stat) in &everybody {
            if members.contains(&stat.parent) {
                members.insert(*pid);
            }
        }
        if members.len() == before {
            break;
        }
    }
    let is_member = |(pid, _): &&(i32, Stat)| members.contains(pid);
    let found = everybody.iter().filter(is_member);
    found.map(|(pid, stat)| (*pid, stat.started)).collect()
}

/// Waits until none of these runs any more.
pub(crate) async fn until_gone(processes: &[Process]) {
    until(&format!("end of {processes:?}"), || async {
        let is_running = |(pid, started): &Process| {
            Stat::of(*pid).is_some_and(|stat| stat.started == *started && stat.state != 'Z')
        };
        (!processes.iter().any(is_running)).then_some(())
    })
    .await;
}

/// The most memory that the process ever had resident, in MB.
pub(crate) fn peak_memory_mb(pid: i32) -> u64 {
    memory_mb(pid, "VmHWM:").unwrap()
}

/// The memory that the process has resident now, in MB. `None`: there is no such process any more.
pub(crate) fn resident_memory_mb(pid: i32) -> Option<u64> {
    memory_mb(pid, "VmRSS:")
}

fn memory_mb(pid: i32, what: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    let kib: u64 = line.trim_end_matches("kB").trim().parse().unwrap();
    Some(kib * 1024 / 1_000_000)
}

struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before these fields may hold blanks and brackets.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}
