//! The daemon: what runs side by side, how it starts, and how it stops.

use std::sync::Arc;

use anyhow::Context as _;
use jobs::{
    assets::InDatabase,
    clock,
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

use crate::{config::Config, service};

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

/// Runs until `shutdown`, then drains.
pub(crate) async fn run(
    config: &Config,
    provisions: Provisions,
    pool: PgPool,
    vitals: Vitals,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let clock = clock::system();
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
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
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
        config.queue.settings(),
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
    pool.close().await;
    ended.context("the queue")?;
    service.abort();
    tracing::info!("stopped");
    Ok(())
}
