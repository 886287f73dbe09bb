//! The daemon: what runs side by side, how it starts, and how it stops.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use jobs::{
    assets::InDatabase,
    clock::{self, Clock},
    daemons::{self, Identity},
    delivery::{self, Adapters, CloseBatch, Confirm, Deliver, Reader, Services},
    notification::{self, Channels, Notify},
    queue::{self, Ending, Registry, cron},
    retention::{self, Retention},
    royalty, schedule,
    statistics::{self, Scan, Statistics},
    usage::{self, Rematch},
    vitals::Vitals,
};
use platform_adapters::{ConnectOptions, ddex, package::AssetStore};
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use crate::{config::Config, connection::Means, http, silence};

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

/// What one generation of the daemon is given. Generations follow each other when the configuration is
/// read again: the next is at work before the last retires, and the last finishes what it has begun.
pub(crate) struct Generation {
    pub(crate) config: Config,
    pub(crate) provisions: Provisions,
    pub(crate) pool: PgPool,
    /// The database past any pooler, for what needs a session of its own.
    pub(crate) direct: PgConnectOptions,
    /// Where its pages and API are shown.
    pub(crate) front: http::Front,
    pub(crate) vitals: Vitals,
    /// Cancelled by it when it is at work.
    pub(crate) ready: CancellationToken,
    pub(crate) ending: Ending,
}

/// The connections that a generation leaves: HTTP may still use them.
pub(crate) struct Connections {
    pools: [PgPool; 2],
    /// To the last: closing waits for whoever waits for an answer.
    _watches: Vec<AbortOnDropHandle<()>>,
}

impl Connections {
    pub(crate) async fn close(self) {
        for pool in self.pools {
            pool.close().await;
        }
    }
}

/// Runs a generation until it is to end, then drains.
pub(crate) async fn run(generation: Generation) -> anyhow::Result<Connections> {
    let Generation {
        config,
        provisions,
        pool,
        direct,
        front,
        vitals,
        ready,
        ending,
    } = generation;
    let config = &config;
    let shutdown = ending.retire.clone();
    let watches = silence::watch(&pool, &direct, config.database.silence());
    let clock = clock::system();
    let identity = identity();
    let over = CancellationToken::new();
    let app = http::App::new(http::Given {
        pool: http::pool(&pool, &config.http),
        work: pool.clone(),
        vitals: vitals.clone(),
        clock: clock.clone(),
        config: config.http.clone(),
        means: Means::of(config),
        cron: config.cron.entries()?,
        royalties: config.royalties.clone(),
        stopping: ending.retire.clone(),
    });
    let signs = tokio::spawn(give_signs(
        pool.clone(),
        identity.clone(),
        clock.clone(),
        over.clone(),
    ));
    let Provisions { assets, options } = provisions;
    let assets = assets.with_kept(Arc::new(InDatabase::new(pool.clone())));
    let make = {
        let assets = assets.clone();
        move |platform| platform_adapters::connect(platform, assets.clone(), &options)
    };
    let channels = Channels::new(&config.notifications)
        .map_err(anyhow::Error::msg)
        .context("notifications")?;
    let services = Arc::new(Services {
        pool: pool.clone(),
        reader: Reader::new(pool.clone()),
        clock: clock.clone(),
        random: Arc::new(rand::random::<f64>),
        assets,
        adapters: Adapters::new(Arc::new(make)),
        retry: config.retry.clone(),
        circuit: config.circuit.clone(),
        platform_concurrency: config.queue.platform_concurrency,
        confirm: config.confirm.clone(),
        withholding: config.catalog.clone(),
        audience: channels.audience(),
    });
    let royalties = royalty::Services {
        pool: pool.clone(),
        clock: clock.clone(),
        settings: Arc::new(config.royalties.clone()),
    };
    let notifications = Arc::new(notification::Services {
        pool: pool.clone(),
        clock: clock.clone(),
        channels,
    });
    let statistics = statistics::Services {
        pool: pool.clone(),
        clock: clock.clone(),
        settings: Arc::new(config.statistics.clone()),
    };
    let registry = Registry::new()
        .with::<Deliver>(Arc::clone(&services))
        .and_then(|registry| registry.with::<CloseBatch>(Arc::clone(&services)))
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
        .and_then(|registry| {
            registry.with::<Rematch>(usage::Services {
                pool: pool.clone(),
                clock: clock.clone(),
                settings: Arc::new(config.usage.clone()),
                royalties: Arc::new(config.royalties.clone()),
            })
        })
        .and_then(|registry| registry.with::<royalty::Compute>(royalties.clone()))
        .and_then(|registry| registry.with::<royalty::WriteStatements>(royalties.clone()))
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
    front.show(http::router(&app));
    ready.cancel();
    let schedules = tokio::spawn(schedule::poll(
        pool.clone(),
        direct.clone(),
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
        direct,
        registry,
        queue::Settings {
            name: Some(identity.name),
            ..config.queue.settings()
        },
        clock,
        vitals,
        ending,
    )
    .await;
    shutdown.cancel();
    schedules.await.context("the schedule loop")?;
    limits.await.context("the loop that reads limits")?;
    cron.await.context("the cron loop")?;
    changes.await.context("the look for changed releases")?;
    inboxes.await.context("the look for acknowledgements")?;
    over.cancel();
    signs.await.context("the signs of life")?;
    ended.context("the queue")?;
    Ok(Connections {
        pools: [app.pool.clone(), pool],
        _watches: watches,
    })
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
