//! The one connection of a daemon that listens: for new jobs, and for running ones to be stopped.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification};
use tokio::time::timeout;

use super::run::Daemon;
use crate::database::is_there;

/// After so long without a notification the connection is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(60);

/// The channel of running jobs to be stopped; the payload is the job's id.
const STOP: &str = "worker_jobs_stop";

/// Wakes the fetchers for each notification, for ever. Whenever the connection is new, they look
/// once without a notification, since one may have been missed.
pub(super) async fn listen(daemon: &Daemon) {
    let mut failures = 0_u32;
    loop {
        match listen_once(daemon, &mut failures).await {
            Ok(()) => {
                tracing::info!("the connection that listens for jobs was lost; connecting again")
            }
            Err(error) => {
                tracing::warn!(%error, "not listening for jobs; polling until it works again")
            }
        }
        failures = failures.saturating_add(1);
        daemon.pause_after(failures).await;
    }
}

/// Ends when the connection does.
async fn listen_once(daemon: &Daemon, failures: &mut u32) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&daemon.pool).await?;
    listener.eager_reconnect(false);
    listener.listen_all(["worker_jobs", STOP]).await?;
    *failures = 0;
    daemon.wake();
    loop {
        let notification = match timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => notification,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) if is_there(&mut listener).await => continue,
            Err(_) => return Ok(()),
        };
        stop(daemon, &notification);
        // Many notifications, one look.
        while let Some(notification) = listener.next_buffered() {
            stop(daemon, &notification);
        }
        daemon.wake();
    }
}

/// Stops the job that the notification names, if it runs here. What is missed here the next
/// heartbeat finds.
fn stop(daemon: &Daemon, notification: &PgNotification) {
    if notification.channel() == STOP
        && let Ok(job) = notification.payload().parse()
    {
        daemon.leases.stop(job);
    }
}
