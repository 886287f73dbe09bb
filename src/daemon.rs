//! The daemon: what runs side by side, how it starts, and how it stops.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use jobs::{
    assets::InDatabase,
    clock::{self, Clock},
    daemons::{self, Identity},
    delivery::{self, Adapters, Confirm, Deliver, Services},
    notification::{self, Channels, Notify},
    queue::{self, Registry, cron},
    retention::{self, Retention},
    royalty, schedule,
    statistics::{self, Scan, Statistics},
    vitals::Vitals,
};
use platform_adapters::{ConnectOptions, ddex, package::AssetStore};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{config::Config, connection::Means, http, service};

/// What the configuration names and the daemon needs, found.
pub(crate) struct Provisions {
    assets: AssetStore,
    options: ConnectOptions,
}

impl Provisions {
    /// Looks for it all; what cannot be found is a fault of the configuration.
    pub(crate) fn find(config: &Config) -> anyhow::Result<Self> {
        let assets = AssetStore::open(&config.assets.root)
            .context("assets.root (where audio and artwork lie)")?;
        let schemas = config
            .ddex
            .schemas()
            .map(|path| ddex::find_schemas(&path))
            .transpose();
        let options = ConnectOptions {
            ddex_schemas: schemas.context("ddex.schemas")?,
            keyring: Some(config.secrets.keyring()),
        };
        Ok(Self { assets, options })
    }
}

/// Runs until `shutdown`, then drains. HTTP is answered to the end of the drain.
pub(crate) async fn run(
    config: &Config,
    provisions: Provisions,
    pool: PgPool,
    http: Option<http::Listener>,
    vitals: Vitals,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let clock = clock::system();
    let identity = identity();
    let served = CancellationToken::new();
    let server = tokio::spawn(serve(
        config,
        pool.clone(),
        clock.clone(),
        http,
        &shutdown,
        &served,
    )?);
    let signs = tokio::spawn(give_signs(
        pool.clone(),
        identity.clone(),
        clock.clone(),
        served.clone(),
    ));
    let Provisions { assets, options } = provisions;
    let assets = assets.with_kept(Arc::new(InDatabase::new(pool.clone())));
    let make = {
        let assets = assets.clone();
        move |platform| platform_adapters::connect(platform, assets.clone(), &options)
    };
    let services = Arc::new(Services {
        pool: pool.clone(),
        clock: clock.clone(),
        random: Arc::new(rand::random::<f64>),
        assets,
        adapters: Adapters::new(Arc::new(make)),
        retry: config.retry.clone(),
        circuit: config.circuit.clone(),
        platform_concurrency: config.queue.platform_concurrency,
        confirm: config.confirm.clone(),
        withholding: config.catalog.clone(),
    });
    let royalties = royalty::Services {
        pool: pool.clone(),
        clock: clock.clone(),
        settings: Arc::new(config.royalties.clone()),
    };
    let notifications = Arc::new(notification::Services {
        pool: pool.clone(),
        clock: clock.clone(),
        channels: Channels::new(&config.notifications)
            .map_err(anyhow::Error::msg)
            .context("notifications")?,
    });
    let statistics = statistics::Services {
        pool: pool.clone(),
        clock: clock.clone(),
        settings: Arc::new(config.statistics.clone()),
    };
    let registry = Registry::new()
        .with::<Deliver>(Arc::clone(&services))
        .and_then(|registry| registry.with::<Confirm>(Arc::clone(&services)))
        .and_then(|registry| registry.with::<Notify>(notifications))
        .and_then(|registry| {
            registry.with::<Retention>(retention::Services {
                pool: pool.clone(),
                clock: clock.clone(),
                policy: Arc::new(config.retention.clone()),
            })
        })
        .and_then(|registry| registry.with::<Statistics>(statistics.clone()))
        .and_then(|registry| registry.with::<Scan>(statistics))
        .and_then(|registry| registry.with::<royalty::Compute>(royalties.clone()))
        .and_then(|registry| registry.with::<royalty::Due>(royalties))
        .context("job kinds")?;
    let mut connection = pool.acquire().await.context("the database")?;
    delivery::set_default_limits(&mut connection, &config.limits, clock())
        .await
        .context("the platforms' limits")?;
    drop(connection);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        daemon = identity.name,
        "started"
    );
    let service = tokio::spawn(service::keep(vitals.clone(), shutdown.clone()));
    let schedules = tokio::spawn(schedule::poll(
        pool.clone(),
        config.schedules.clone(),
        clock.clone(),
        vitals.clone(),
        shutdown.clone(),
    ));
    let limits = tokio::spawn(delivery::keep_limits(
        pool.clone(),
        config.limits.refresh(),
        clock.clone(),
        vitals.clone(),
        shutdown.clone(),
    ));
    let changes = tokio::spawn(delivery::watch_changes(
        pool.clone(),
        config.deliveries.clone(),
        clock.clone(),
        vitals.clone(),
        shutdown.clone(),
    ));
    let inboxes = tokio::spawn(delivery::watch_inboxes(
        services,
        config.inbox.clone(),
        shutdown.clone(),
    ));
    let cron = tokio::spawn(cron::run(
        pool.clone(),
        config.cron.entries()?,
        clock.clone(),
        vitals.clone(),
        shutdown.clone(),
    ));
    let ended = queue::run(
        pool.clone(),
        registry,
        queue::Settings {
            name: Some(identity.name),
            ..config.queue.settings()
        },
        clock,
        vitals,
        shutdown.clone(),
    )
    .await;
    shutdown.cancel();
    schedules.await.context("the schedule loop")?;
    limits.await.context("the loop that reads limits")?;
    cron.await.context("the cron loop")?;
    changes.await.context("the look for changed releases")?;
    inboxes.await.context("the look for acknowledgements")?;
    served.cancel();
    server.await.context("the HTTP server")?;
    signs.await.context("the signs of life")?;
    pool.close().await;
    ended.context("the queue")?;
    service.abort();
    tracing::info!("stopped");
    Ok(())
}

/// This daemon, unique per start.
fn identity() -> Identity {
    let process = std::process::id();
    let host = nix::unistd::gethostname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    Identity {
        name: format!("{process}-{}", Uuid::now_v7().simple()),
        version: env!("CARGO_PKG_VERSION"),
        host,
        process,
    }
}

/// The HTTP server, until `served`; nothing where there is none to be.
fn serve(
    config: &Config,
    pool: PgPool,
    clock: Clock,
    listener: Option<http::Listener>,
    stopping: &CancellationToken,
    served: &CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
    let given = http::Given {
        pool: http::pool(&pool, &config.http),
        clock,
        config: config.http.clone(),
        means: Means::of(config),
        cron: config.cron.entries()?,
        royalties: config.royalties.clone(),
        stopping: stopping.clone(),
    };
    let served = served.clone();
    let address = listener.as_ref().map(http::Listener::address).transpose();
    if let Some(address) = address.context("http.listen")? {
        tracing::info!(%address, "http listens");
    }
    Ok(async move {
        if let Some(listener) = listener {
            let app = http::App::new(given);
            listener.serve(http::router(&app), served).await;
            app.pool.close().await;
        }
    })
}

/// Gives signs of life until `ended`. A database that is away is tried again.
async fn give_signs(pool: PgPool, daemon: Identity, clock: Clock, ended: CancellationToken) {
    let pause = Duration::from_secs(daemons::BEAT_S);
    while !ended.is_cancelled() {
        if let Err(error) = daemons::beat(&pool, &daemon, clock()).await {
            tracing::debug!(%error, "no sign of life could be given");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ended.cancelled() => {}
        }
    }
    if let Err(error) = daemons::stopped(&pool, &daemon.name, clock()).await {
        tracing::debug!(%error, "it could not be noted that the daemon stopped");
    }
}
