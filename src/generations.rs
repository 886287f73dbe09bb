//! The daemon's generations: SIGHUP reads the configuration again, and a daemon with the new one takes
//! over within the process. The one before claims no more and finishes what it has begun, however long
//! that takes. A configuration that cannot be used changes nothing.

use std::mem;

use anyhow::Context as _;
use jobs::{queue::Ending, schema, vitals::Vitals};
use sqlx::PgPool;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{self, Failure},
    config::Config,
    daemon::{self, Connections, Generation, Provisions},
    http, service,
};

/// What all generations share.
pub(crate) struct Process<'a> {
    /// Reads the configuration again.
    pub(crate) read: &'a (dyn Fn() -> anyhow::Result<Config> + Sync),
    /// The private database, which is migrated; otherwise the configuration names one.
    pub(crate) private: Option<String>,
    /// No more work; what runs has the drain's time.
    pub(crate) shutdown: CancellationToken,
}

/// A generation at work.
struct AtWork {
    task: JoinHandle<anyhow::Result<Connections>>,
    retire: CancellationToken,
}

impl Process<'_> {
    /// Runs until shutdown. HTTP is answered to the end of the drain.
    pub(crate) async fn run(&self, config: &Config) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
        let listener = http::Listener::bind(&config.http)
            .await
            .map_err(Failure::unavailable)?;
        let address = listener.as_ref().map(http::Listener::address).transpose();
        let address = address.context("http.listen")?;
        let (front, vitals) = (http::Front::default(), Vitals::default());
        let mut current = self.start(config.clone(), &front, &vitals).await?;
        if let Some(address) = address {
            tracing::info!(%address, "http listens");
        }
        let served = CancellationToken::new();
        let server = listener.map(|it| tokio::spawn(it.serve(front.clone(), served.clone())));
        let keeper = tokio::spawn(service::keep(vitals.clone(), self.shutdown.clone()));
        let mut retired = JoinSet::new();
        let ended = loop {
            tokio::select! {
                ended = &mut current.task => break ended,
                _ = hangup.recv() => {}
            }
            service::reloading();
            let said = match self.follow(config, &front, &vitals).await {
                Ok(next) => {
                    let before = mem::replace(&mut current, next);
                    before.retire.cancel();
                    retired.spawn(finish(before));
                    let said = "the configuration was read again".to_owned();
                    tracing::info!("{said}");
                    said
                }
                Err(error) => {
                    let said = format!("the configuration stays as it was: {error:#}");
                    tracing::error!("{said}");
                    said
                }
            };
            service::reloaded(&said);
        };
        self.shutdown.cancel();
        retired.join_all().await;
        served.cancel();
        if let Some(server) = server {
            server.await.context("the HTTP server")?;
        }
        ended.context("the daemon")??.close().await;
        keeper.abort();
        tracing::info!("stopped");
        Ok(())
    }

    /// Starts the next generation with the configuration as it is now. What only a start takes is as it
    /// was `at_start`.
    async fn follow(
        &self,
        at_start: &Config,
        front: &http::Front,
        vitals: &Vitals,
    ) -> anyhow::Result<AtWork> {
        let config = (self.read)()?;
        let lasting = [
            ("http.listen", at_start.http.listen != config.http.listen),
            ("log", at_start.log != config.log),
            ("traces", at_start.traces != config.traces),
        ];
        let next = self.start(config, front, vitals).await?;
        for (name, is_changed) in lasting {
            if is_changed {
                tracing::warn!("{name} has changed; that takes a restart");
            }
        }
        Ok(next)
    }

    /// Starts a generation and waits until it is at work.
    async fn start(
        &self,
        config: Config,
        front: &http::Front,
        vitals: &Vitals,
    ) -> anyhow::Result<AtWork> {
        let url = self.private.as_deref().unwrap_or(&config.database.url.0);
        let connections = config.database.max_connections;
        let pool = cli::connect(url, "tunemantra-worker", connections).await?;
        let direct = match self.private {
            Some(_) => pool.clone(),
            None => {
                cli::require_sessions(&config.database).await?;
                cli::connect(config.database.direct(), "tunemantra-worker", connections).await?
            }
        };
        let provisions = Provisions::find(&config).map_err(Failure::configuration)?;
        self.look_at_schema(&pool).await?;
        let retire = self.shutdown.child_token();
        let ready = CancellationToken::new();
        let mut task = tokio::spawn(daemon::run(Generation {
            config,
            provisions,
            pool,
            direct: (*direct.connect_options()).clone(),
            front: front.clone(),
            vitals: vitals.clone(),
            ready: ready.clone(),
            ending: Ending {
                retire: retire.clone(),
                shutdown: self.shutdown.clone(),
            },
        }));
        tokio::select! {
            biased;
            () = ready.cancelled() => Ok(AtWork { task, retire }),
            ended = &mut task => {
                ended.context("the daemon")??.close().await;
                anyhow::bail!("it ended before it was at work")
            }
        }
    }

    async fn look_at_schema(&self, pool: &PgPool) -> anyhow::Result<()> {
        if self.private.is_none() {
            return Ok(schema::require_current(pool)
                .await
                .map_err(Failure::of_schema)?);
        }
        let report = schema::migrate(pool).await.map_err(Failure::of_schema)?;
        if !report.applied.is_empty() {
            tracing::info!(applied = ?report.applied, "database migrated");
        }
        Ok(())
    }
}

/// Waits until a generation that retires has finished what it had begun.
async fn finish(retired: AtWork) {
    match retired.task.await {
        Ok(Ok(connections)) => {
            connections.close().await;
            tracing::info!("what ran under the configuration before is finished");
        }
        Ok(Err(error)) => tracing::error!("the retired daemon ended with an error: {error:#}"),
        Err(error) => tracing::error!("the retired daemon ended with an error: {error}"),
    }
}
