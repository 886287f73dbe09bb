//! The daemon: what runs side by side, how it starts, and how it stops.

use std::sync::Arc;

use anyhow::Context as _;
use jobs::{
    clock,
    delivery::{Adapters, Confirm, Deliver, Services},
    notification::{self, Channels, Notify},
    queue::{self, Registry},
    schedule,
};
use platform_adapters::{ConnectOptions, ddex, package::AssetStore};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Runs until `shutdown`, then drains.
pub(crate) async fn run(
    config: &Config,
    pool: PgPool,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let clock = clock::system();
    let assets = AssetStore::local(&config.assets.root).context("assets.root")?;
    let schemas = config
        .ddex
        .schemas()
        .map(|path| ddex::find_schemas(&path))
        .transpose();
    let options = ConnectOptions {
        ddex_schemas: schemas.context("ddex.schemas")?,
    };
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
        confirm: config.confirm.clone(),
        withholding: config.catalog.clone(),
    });
    let notifications = Arc::new(notification::Services {
        pool: pool.clone(),
        clock: clock.clone(),
        channels: Channels::new(&config.notifications)
            .map_err(anyhow::Error::msg)
            .context("notifications")?,
    });
    let registry = Registry::new()
        .with::<Deliver>(Arc::clone(&services))
        .and_then(|registry| registry.with::<Confirm>(services))
        .and_then(|registry| registry.with::<Notify>(notifications))
        .context("job kinds")?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    let schedules = tokio::spawn(schedule::poll(
        pool.clone(),
        config.schedules.clone(),
        clock.clone(),
        shutdown.clone(),
    ));
    let ended = queue::run(
        pool.clone(),
        registry,
        config.queue.settings(),
        clock,
        shutdown.clone(),
    )
    .await;
    shutdown.cancel();
    schedules.await.context("the schedule loop")?;
    pool.close().await;
    ended.context("the queue")?;
    tracing::info!("stopped");
    Ok(())
}
