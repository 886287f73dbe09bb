//! The one connection of a daemon that listens for new jobs.

use sqlx::postgres::PgListener;

use super::run::Daemon;

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
    listener.listen("worker_jobs").await?;
    *failures = 0;
    daemon.wake();
    while listener.try_recv().await?.is_some() {
        // Many notifications, one look.
        while listener.next_buffered().is_some() {}
        daemon.wake();
    }
    Ok(())
}
