//! Running the queue in a daemon: which tasks there are, how they start, and in which order they
//! end. apalis runs the handlers; everything that speaks with the database runs beside it.

use std::{sync::Arc, time::Duration};

use apalis_core::{
    monitor::Monitor,
    worker::{builder::WorkerBuilder, ext::parallelize::ParallelizeExt},
};
use futures_util::future::{JoinAll, join_all};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Mutex, mpsc};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use super::{
    QueueError,
    backend::{Storage, perform},
    complete::{Completion, complete},
    crew::Crew,
    fetch::fetch,
    lease::{Leases, heartbeat, release_waiting},
    listen::listen,
    outcome::OutcomeLayer,
    registry::Registry,
    rescue::rescue,
    settings::Settings,
};
use crate::{clock::Clock, vitals::Vitals};

/// Batches of completions recorded at once: while one waits for the disk, another is made ready.
const COMPLETERS: usize = 2;
/// Connections of the queue's own pool: a fetcher for each crew, the listener, completions, the
/// rescue, and a few for attempts that begin or fail at once.
const POOLED: u32 = 10;
/// All connections that a queue opens: heartbeats have one that no other work can occupy.
pub const CONNECTIONS: u32 = POOLED + 1;
/// How long a statement waits for a connection before it counts as failed.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Every statement of the queue finds its rows by an index. The planner knows neither how long an
/// array is nor how many jobs wait, and to it reading all of a large table looks cheapest for 500 ids,
/// or for a table that was empty when the plan was made. Nor is any of them long enough to be worth
/// compiling.
const PLANS: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];

/// How a queue is asked to end.
#[derive(Clone, Debug)]
pub struct Ending {
    /// No more claims; what runs goes on for as long as it takes.
    pub retire: CancellationToken,
    /// The same, and what runs has [`Settings::drain`] from then on.
    pub shutdown: CancellationToken,
}

impl From<CancellationToken> for Ending {
    /// With a token for retiring of its own.
    fn from(shutdown: CancellationToken) -> Self {
        Self {
            retire: shutdown.child_token(),
            shutdown,
        }
    }
}

/// What all tasks of one daemon's queue share.
pub(super) struct Daemon {
    pub(super) pool: PgPool,
    pub(super) registry: Registry,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    /// In `0.0..1.0`, for jitter.
    pub(super) random: fn() -> f64,
    /// Unique per start, so that nothing of an earlier run is taken for its own.
    pub(super) worker: String,
    pub(super) leases: Leases,
    pub(super) vitals: Vitals,
    crews: Vec<Arc<Crew>>,
    /// No more claims.
    pub(super) stopping: CancellationToken,
    /// The drain has begun.
    shutdown: CancellationToken,
    /// The drain is over: running jobs are given back.
    pub(super) cut_off: CancellationToken,
}

impl Daemon {
    /// Lets every fetcher look for due work.
    pub(super) fn wake(&self) {
        for crew in &self.crews {
            crew.wake.notify_one();
        }
    }

    /// Waits before a failed statement is tried again.
    pub(super) async fn pause_after(&self, failures: u32) {
        let pause = self.settings.reconnect.delay(failures, (self.random)());
        tokio::time::sleep(pause).await;
    }
}

/// Runs the jobs of all registered kinds until it is to end, then drains: claims no more, gives back
/// what has not started, lets running jobs finish (for [`Settings::drain`] once it is shut down), gives
/// back the rest. Database outages of any length only delay it. `connect` says where the database is, past
/// any pooler: the queue listens, and has settings of its own for its connections.
pub async fn run(
    connect: PgConnectOptions,
    registry: Registry,
    settings: Settings,
    clock: Clock,
    vitals: Vitals,
    ending: impl Into<Ending>,
) -> Result<(), QueueError> {
    settings.validate()?;
    let ending = ending.into();
    let crews: Vec<Arc<Crew>> = Crew::all(&registry, &settings)
        .into_iter()
        .map(Arc::new)
        .collect();
    if crews.is_empty() {
        ending.retire.cancelled().await;
        return Ok(());
    }
    let worker = settings
        .name
        .clone()
        .unwrap_or_else(|| format!("{}-{}", std::process::id(), Uuid::now_v7().simple()));
    let daemon = Arc::new(Daemon {
        // A broken connection costs one failed statement, which is tried again; a ping before each
        // statement costs half a millisecond of every claim.
        pool: PgPoolOptions::new()
            .max_connections(POOLED)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(connect.clone().options(PLANS)),
        registry,
        settings,
        clock,
        random: rand::random::<f64>,
        worker,
        leases: Leases::default(),
        vitals,
        crews,
        stopping: ending.retire,
        shutdown: ending.shutdown,
        cut_off: CancellationToken::new(),
    });
    tracing::info!(worker = daemon.worker, "queue started");
    let background = [
        spawn(with(&daemon, |daemon| async move { listen(&daemon).await })),
        spawn(with(&daemon, |daemon| async move { rescue(&daemon).await })),
        spawn(with(&daemon, move |daemon| async move {
            heartbeat(&daemon, connect).await;
        })),
        spawn(with(
            &daemon,
            |daemon| async move { end_drain(&daemon).await },
        )),
    ];
    let (completions, recorded) = mpsc::channel(daemon.settings.completion_batch);
    let completers = completers(&daemon, recorded);
    let result = work(&daemon, completions).await;
    // The last completions are on their way; without this wait they would be lost.
    if tokio::time::timeout(daemon.settings.flush, completers)
        .await
        .is_err()
    {
        tracing::error!("the last completions could not be recorded; their jobs will run again");
    }
    drop(background);
    daemon.pool.close().await;
    tracing::info!(worker = daemon.worker, "queue stopped");
    result
}

/// Those who record completions; they end when all is recorded.
fn completers(
    daemon: &Arc<Daemon>,
    recorded: mpsc::Receiver<Completion>,
) -> JoinAll<AbortOnDropHandle<()>> {
    let recorded = Arc::new(Mutex::new(recorded));
    let completers = (0..COMPLETERS).map(|_| {
        let recorded = Arc::clone(&recorded);
        spawn(with(daemon, |daemon| async move {
            complete(&daemon, &recorded).await;
        }))
    });
    join_all(completers.collect::<Vec<_>>())
}

/// Fetches and runs jobs until shutdown and the end of the drain.
async fn work(
    daemon: &Arc<Daemon>,
    completions: mpsc::Sender<Completion>,
) -> Result<(), QueueError> {
    let mut monitor = Monitor::new().should_restart(|_, error| {
        tracing::error!(%error, "worker ended; starting it again");
        true
    });
    let mut fetchers = Vec::new();
    for crew in &daemon.crews {
        // Room for all that the crew may hold: the fetcher never waits for it.
        let (claimed, waiting) = mpsc::channel(crew.capacity());
        let layer = OutcomeLayer {
            daemon: Arc::clone(daemon),
            crew: Arc::clone(crew),
            completions: completions.clone(),
        };
        let storage = Storage::new(waiting, crew.slots, layer);
        let name = format!("{}/{}", daemon.worker, crew.name);
        monitor = monitor.register(move |_| {
            WorkerBuilder::new(name.as_str())
                .backend(storage.clone())
                .parallelize(spawn)
                .build(perform)
        });
        let crew = Arc::clone(crew);
        fetchers.push(spawn(with(daemon, move |daemon| async move {
            fetch(&daemon, &crew, claimed).await;
        })));
    }
    drop(completions);
    let stop = async {
        daemon.stopping.cancelled().await;
        for fetcher in fetchers {
            let _ = fetcher.await;
        }
        let released = release_waiting(&daemon.pool, &daemon.leases);
        match tokio::time::timeout(daemon.settings.flush, released).await {
            Ok(Ok(())) => {}
            _ => tracing::warn!("claimed jobs could not be given back; their leases will expire"),
        }
        Ok(())
    };
    let deadline = async {
        daemon.cut_off.cancelled().await;
        tokio::time::sleep(daemon.settings.flush).await;
    };
    tokio::select! {
        result = monitor.run_with_signal(stop) => {
            result.map_err(|error| QueueError::Runtime(error.to_string()))
        }
        () = deadline => {
            tracing::error!("the last outcomes could not be recorded; leases will expire");
            Ok(())
        }
    }
}

/// Cuts running jobs off when the shutdown has lasted too long.
async fn end_drain(daemon: &Daemon) {
    daemon.shutdown.cancelled().await;
    tokio::time::sleep(daemon.settings.drain).await;
    daemon.cut_off.cancel();
}

fn with<F>(daemon: &Arc<Daemon>, task: impl FnOnce(Arc<Daemon>) -> F) -> F {
    task(Arc::clone(daemon))
}

/// A task that ends with its handle: whoever stops waiting for it stops it.
fn spawn<F>(task: F) -> AbortOnDropHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(task))
}
