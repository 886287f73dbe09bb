//! How the daemon speaks with the service manager that started it: systemd's notify protocol,
//! sd_notify(3). Started otherwise, it speaks to nobody.

use std::time::Duration;

use jobs::vitals::Vitals;
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// The longest time between two words on how the daemon does.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// Says that the daemon is ready, then how it does, and pets the watchdog for as long as all loops
/// come round; after `shutdown` that it stops. It goes on until it is dropped: the drain is watched
/// over too.
pub(crate) async fn keep(vitals: Vitals, shutdown: CancellationToken) {
    // As sd_watchdog_enabled(3) wants it: at half the time after which the manager loses patience.
    let pause = sd_notify::watchdog_enabled()
        .map_or(STATUS_INTERVAL, |patience| patience / 2)
        .min(STATUS_INTERVAL);
    tell(&[
        NotifyState::Ready,
        NotifyState::Status(&status(&vitals, "")),
    ]);
    let mut known = Vec::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => break,
        }
        report(&vitals, "", &mut known);
    }
    tell(&[NotifyState::Stopping]);
    loop {
        report(&vitals, "stopping: ", &mut known);
        tokio::time::sleep(pause).await;
    }
}

/// Says that the configuration is being read again.
pub(crate) fn reloading() {
    // systemd 253 and newer want the time beside it.
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// Says that this is over, and what came of it.
pub(crate) fn reloaded(outcome: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(outcome)]);
}

/// One word on how the daemon does. `known` are the loops that were said to stand still.
fn report(vitals: &Vitals, beginning: &str, known: &mut Vec<String>) {
    let stalled = vitals.stalled();
    let status = status(vitals, beginning);
    if stalled.is_empty() {
        tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
    } else {
        tell(&[NotifyState::Status(&status)]);
    }
    if stalled != *known {
        for name in &stalled {
            tracing::error!(
                "the loop \"{name}\" stands still; a watchdog (systemd's WatchdogSec=) starts the daemon again"
            );
        }
        *known = stalled;
    }
}

fn status(vitals: &Vitals, beginning: &str) -> String {
    let (running, finished) = (vitals.running(), vitals.finished());
    let stalled = match vitals.stalled().join(", ") {
        none if none.is_empty() => none,
        names => format!("; stands still: {names}"),
    };
    format!("{beginning}jobs running: {running}, ended since the start: {finished}{stalled}")
}

/// Tells the service manager, if there is one. It may have closed its socket: that is its own
/// business.
fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager was not reached: {error}");
    }
}
