//! The queue alone, held against graphile-worker, pg-boss, apalis-postgres and procrastinate on the same PostgreSQL:
//! jobs that were inserted before, until every one is acknowledged. Jobs that do nothing show what
//! the queue costs; jobs of 10 ms show whether it keeps as many slots busy as graphile-worker does.
//! All take turns, each time on a fresh database.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod peer;
#[path = "../report/mod.rs"]
mod report;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use jobs::{
    clock,
    queue::{self, Done, Job, JobFault, Lease, NewJob, Registry, Settings},
    vitals::Vitals,
};
use peer::{Peer, checkpoint};
use report::{
    Measure, median,
    processor::{Server, used_by},
};
use serde::{Deserialize, Serialize};
use test_support::TestDatabase;
use tokio_util::sync::CancellationToken;

/// One measurement's work.
pub(crate) struct Task {
    pub(crate) benchmark: &'static str,
    pub(crate) jobs: usize,
    /// How long a job takes.
    pub(crate) sleep: Duration,
    pub(crate) slots: usize,
    rounds: usize,
    bar: f64,
}

/// What one measurement gave.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    jobs_per_s: f64,
    /// Microseconds of processor time a job, of the worker and of PostgreSQL.
    worker_us: f64,
    server_us: f64,
}

/// The clock and the processor time of one measurement.
pub(crate) struct Watch {
    server: Server,
    server_used: Duration,
    pid: u32,
    worker_used: Duration,
    started: Instant,
}

impl Watch {
    pub(crate) async fn start(database: &TestDatabase, pid: u32) -> Self {
        let server = Server::of(database.pool()).await;
        Self {
            server_used: server.used(),
            server,
            pid,
            worker_used: used_by(pid),
            started: Instant::now(),
        }
    }

    pub(crate) fn stop(&self, task: &Task) -> Found {
        let seconds = self.started.elapsed().as_secs_f64();
        let jobs = task.jobs as f64;
        let us = |used: Duration| used.as_secs_f64() * 1e6 / jobs;
        Found {
            jobs_per_s: jobs / seconds,
            worker_us: us(used_by(self.pid).saturating_sub(self.worker_used)),
            server_us: us(self.server.used().saturating_sub(self.server_used)),
        }
    }
}

/// A small job, as notifications and statistics are.
#[derive(Clone, Serialize, Deserialize)]
struct Noop {
    id: usize,
    sleep_ms: u64,
}

impl Job for Noop {
    type Context = Arc<AtomicUsize>;
    const KIND: &'static str = "noop";
    const MAX_ATTEMPTS: i16 = 25;
    const TIMEOUT: Duration = Duration::from_secs(60);
    const PREFETCH: bool = true;

    async fn run(self, handled: Arc<AtomicUsize>, _lease: Lease) -> Result<Done, JobFault> {
        if self.sleep_ms > 0 {
            // The runtime's own timer wakes at the end of a millisecond: it would be measured, too.
            let nap = Duration::from_millis(self.sleep_ms);
            let _ = tokio::task::spawn_blocking(move || std::thread::sleep(nap)).await;
        }
        handled.fetch_add(1, Ordering::Relaxed);
        Ok(Done::Complete)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let slots = Settings::default().small_slots;
    let noop = Task {
        benchmark: "queue",
        jobs: 50_000,
        sleep: Duration::ZERO,
        slots,
        rounds: 7,
        bar: 1.3,
    };
    let waiting = Task {
        benchmark: "queue, jobs of 10 ms",
        jobs: 10_000,
        sleep: Duration::from_millis(10),
        slots,
        rounds: 3,
        bar: 1.0,
    };
    let peers = Peer::all();
    let first = peers.len().min(1);
    report::print(&[
        compare(&noop, &peers).await,
        compare(&waiting, &peers[..first]).await,
    ])
}

/// A peer that takes longer than this many seconds is measured once: nobody waits for the rest.
const PATIENCE_S: f64 = 20.0;

/// All in turn, in every round in another order.
async fn compare(task: &Task, peers: &[Peer]) -> Measure {
    let mut found: Vec<Vec<Found>> = vec![Vec::new(); peers.len() + 1];
    for round in 0..task.rounds {
        for place in 0..found.len() {
            let who = (place + round) % found.len();
            let is_slow = |first: &Found| task.jobs as f64 > first.jobs_per_s * PATIENCE_S;
            if who > 0 && found[who].first().is_some_and(is_slow) {
                continue;
            }
            let measured = match who.checked_sub(1) {
                None => ours(task).await,
                Some(peer) => peers[peer].measure(task).await,
            };
            found[who].push(measured);
        }
        let names = std::iter::once("ours").chain(peers.iter().map(|peer| peer.name.as_str()));
        for (name, of_one) in names.zip(&found) {
            let Some(&Found {
                jobs_per_s,
                worker_us,
                server_us,
            }) = of_one.get(round)
            else {
                continue;
            };
            eprintln!(
                "{}, round {} of {}: {name}: {jobs_per_s:.0} a second, {worker_us:.1} µs of \
                 processor time a job and {server_us:.1} µs of PostgreSQL's",
                task.benchmark,
                round + 1,
                task.rounds,
            );
        }
    }
    let mut medians = found
        .into_iter()
        .map(|of_one| median(of_one.iter().map(|found| found.jobs_per_s).collect()));
    Measure {
        benchmark: task.benchmark,
        unit: "jobs a second",
        ours: medians.next().unwrap(),
        peers: peers
            .iter()
            .map(|peer| peer.name.clone())
            .zip(medians)
            .collect(),
        limit: None,
        bar: task.bar,
    }
}

/// With the settings that the product ships.
async fn ours(task: &Task) -> Found {
    let database = TestDatabase::create().await;
    insert(&database, task).await;
    checkpoint(&database).await;
    let handled = Arc::new(AtomicUsize::new(0));
    let registry = Registry::new().with::<Noop>(Arc::clone(&handled)).unwrap();
    let shutdown = CancellationToken::new();
    let watch = Watch::start(&database, std::process::id()).await;
    let queue = tokio::spawn(queue::run(
        (*database.pool().connect_options()).clone(),
        registry,
        Settings::default(),
        clock::system(),
        Vitals::default(),
        shutdown.clone(),
    ));
    while handled.load(Ordering::Relaxed) < task.jobs || is_left(&database).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let found = watch.stop(task);
    shutdown.cancel();
    queue.await.unwrap().unwrap();
    found
}

async fn insert(database: &TestDatabase, task: &Task) {
    let now: DateTime<Utc> = clock::system()();
    let sleep_ms = u64::try_from(task.sleep.as_millis()).unwrap();
    let jobs: Vec<NewJob> = (0..task.jobs)
        .map(|id| NewJob::new("noop", &Noop { id, sleep_ms }, now).unwrap())
        .collect();
    let mut tx = database.pool().begin().await.unwrap();
    for batch in jobs.chunks(5000) {
        queue::enqueue(&mut tx, batch).await.unwrap();
    }
    tx.commit().await.unwrap();
    sqlx::raw_sql("vacuum analyze")
        .execute(database.pool())
        .await
        .unwrap();
}

async fn is_left(database: &TestDatabase) -> bool {
    sqlx::query("select from worker.jobs where state in ('available', 'running') limit 1")
        .fetch_optional(database.pool())
        .await
        .unwrap()
        .is_some()
}
