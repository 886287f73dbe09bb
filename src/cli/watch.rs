//! Looking again and again.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use crate::cli::out;

/// Clears a terminal and goes to its first place.
const CLEAR: &[u8] = b"\x1b[2J\x1b[H";
/// Between two looks, unless a command asks how long.
const PAUSE: Duration = Duration::from_secs(2);

/// Whether to look again and again.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Watch {
    /// Print it again every 2 seconds, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

impl Watch {
    /// Looks once, or until it is interrupted.
    pub(super) async fn looks(
        self,
        look: impl AsyncFnMut(&mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let times = (!self.watch).then_some(1);
        looks(PAUSE, times, look).await
    }
}

/// Looks so many times, or until it is interrupted. On a terminal each of several looks replaces the
/// one before, all at once.
pub(super) async fn looks(
    pause: Duration,
    times: Option<u64>,
    mut look: impl AsyncFnMut(&mut Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let is_replaced = std::io::stdout().is_terminal() && times != Some(1);
    let mut done = 0;
    loop {
        let mut seen = Vec::new();
        look(&mut seen).await?;
        print(&seen, is_replaced)?;
        done += 1;
        if times.is_some_and(|times| done >= times) {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
}

fn print(seen: &[u8], is_replaced: bool) -> std::io::Result<()> {
    if is_replaced {
        std::io::stdout().write_all(CLEAR)?;
    }
    let mut out = out();
    out.write_all(seen)?;
    out.flush()
}
