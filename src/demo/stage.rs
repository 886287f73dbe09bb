//! All that must run before deliveries do: database, files, partners, catalogue, daemon.

use std::sync::Arc;

use anyhow::Context;
use jobs::clock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{
    catalogue::Catalogue, daemon::Daemon, load, media, partners::Partners, screen::Screen,
    settings, state::State,
};
use crate::embedded::Embedded;

/// Connections to the demo's database; the daemon has its own.
const CONNECTIONS: u32 = 4;

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) embedded: Embedded,
    pub(crate) pool: PgPool,
    pub(crate) partners: Partners,
    pub(crate) daemon: Daemon,
}

impl Stage {
    /// Starts it all. Where this fails or is dropped half-way, what runs already stops with it.
    pub(crate) async fn set(
        state: &State,
        screen: &Arc<Screen>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let catalogue = Arc::new(Catalogue::embedded()?);
        screen.note(&format!(
            "Starting PostgreSQL; making the files of {} releases with {} tracks.",
            catalogue.releases.len(),
            catalogue.track_count()
        ));
        let (database, files) = tokio::join!(
            database(state),
            media::make(&catalogue, state.assets(), screen, stop)
        );
        let ((embedded, pool), ()) = (database?, files?);
        let partners = Partners::start(state, &catalogue).await?;
        screen.note("Partners:");
        for line in partners.lines() {
            screen.note(&line);
        }
        load::load(&pool, &catalogue, &partners.platforms(), clock::system()()).await?;
        settings::write(state, &embedded.url())?;
        let daemon = Daemon::start(state)?;
        screen.note(&format!(
            "The daemon is process {}; its log is {}. Kill it if you like: it is started again.",
            daemon.pid(),
            state.daemon_log().display()
        ));
        Ok(Self {
            embedded,
            pool,
            partners,
            daemon,
        })
    }

    /// Stops it all, in the order that leaves nobody without what it needs.
    pub(crate) async fn strike(self) -> anyhow::Result<()> {
        let stopped = self.daemon.stop().await;
        self.partners.stop().await;
        self.pool.close().await;
        stopped.and(self.embedded.stop().await)
    }
}

async fn database(state: &State) -> anyhow::Result<(Embedded, PgPool)> {
    let embedded = Embedded::start(state.root()).await?;
    let pool = jobs::database::connect(&embedded.url(), "tunemantra-worker demo", CONNECTIONS)
        .await
        .context("the demo's database cannot be connected to")?;
    jobs::schema::migrate(&pool)
        .await
        .context("the demo's database cannot be migrated")?;
    Ok((embedded, pool))
}
