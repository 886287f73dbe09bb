//! What the demo shows while it works, on standard error: lines that stay, and on a terminal one
//! line that is drawn again and again.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Where nothing can be redrawn, a line of progress comes at most so often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(1);

/// Standard error.
#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    text: String,
    written: Option<Instant>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            last: Mutex::new(Last {
                text: String::new(),
                written: None,
            }),
        }
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) {
        if self.is_terminal {
            write(&format!("\r\x1b[K{text}\n"));
            write(&self.lock().text);
        } else {
            write(&format!("{text}\n"));
        }
    }

    /// The line of progress; `is_last` makes it stay.
    pub(crate) fn progress(&self, text: &str, is_last: bool) {
        let mut last = self.lock();
        if self.is_terminal {
            // Cut where the narrowest terminals end: a line that wraps is not drawn over.
            let text: String = text.chars().take(79).collect();
            write(&format!(
                "\r\x1b[K{text}{}",
                if is_last { "\n" } else { "" }
            ));
            last.text = if is_last { String::new() } else { text };
            return;
        }
        let is_due = last.written.is_none_or(|at| at.elapsed() >= PLAIN_INTERVAL);
        if text != last.text && (is_due || is_last) {
            write(&format!("{text}\n"));
            text.clone_into(&mut last.text);
            last.written = Some(Instant::now());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    // There is nowhere to report that standard error is closed.
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}
