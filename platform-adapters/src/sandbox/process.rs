//! Processes by their number, as `/proc` shows them: finding those that a killed run left, and ending
//! a server with all the processes it made.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a killed process may take to go.
const GONE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the process runs and was started with this path among its arguments. A number alone says
/// nothing: the system gives it to another process some day.
pub(super) fn is_started_with(pid: i32, path: &Path) -> bool {
    let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let path = path.as_os_str().as_encoded_bytes();
    arguments
        .windows(path.len())
        .any(|argument| argument == path)
}

/// Ends a process and all that it made, at once, and waits until it is gone. Processes of a server
/// may have left its process group, so they are found by their parents.
pub(super) fn kill_tree(root: i32) {
    let mut doomed = vec![root];
    let parents = parents();
    let mut next = 0;
    while let Some(parent) = doomed.get(next).copied() {
        doomed.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(child, _)| *child),
        );
        next += 1;
    }
    for pid in &doomed {
        // It may have ended by itself meanwhile.
        let _gone = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    let deadline = Instant::now() + GONE_TIMEOUT;
    while doomed.iter().any(|pid| is_running(*pid)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Each process with its parent.
fn parents() -> Vec<(i32, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat_fields(pid)?.1)))
        .collect()
}

/// Runs, and is not only waiting for its parent to take note of its end.
fn is_running(pid: i32) -> bool {
    stat_fields(pid).is_some_and(|(state, _)| state != 'Z')
}

/// State and parent. The name before them may hold blanks and brackets.
fn stat_fields(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}
