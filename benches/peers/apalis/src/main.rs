//! apalis-postgres with batches of 500 as a peer of the benchmark `queue`: it inserts its jobs,
//! says "ready", starts to work at a line on standard input, and says "done" when all are
//! acknowledged in the database.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage, queries};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

const QUEUE: &str = "noop";

static HANDLED: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noop {
    id: usize,
    sleep_ms: u64,
}

async fn handle(job: Noop) -> Result<(), BoxDynError> {
    if job.sleep_ms > 0 {
        tokio::time::sleep(Duration::from_millis(job.sleep_ms)).await;
    }
    HANDLED.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse::<usize>());
    let mut next = || arguments.next().ok_or("usage: JOBS SLEEP_MS SLOTS");
    let (jobs, sleep_ms, slots) = (next()??, next()??, next()??);
    let pool = PgPool::connect(&std::env::var("DATABASE_URL")?).await?;
    PostgresStorage::setup(&pool).await?;
    insert(&pool, jobs, sleep_ms as u64).await?;
    println!("ready");
    let mut told = BufReader::new(tokio::io::stdin()).lines();
    told.next_line().await?;
    let config = Config::default()
        .queue(QUEUE)
        .batch_size(500)
        .lock_tasks(false);
    let storage = PostgresStorage::<Noop>::new(&pool).with_config(config);
    let worker = WorkerBuilder::new("peer")
        .backend(storage)
        .concurrency(slots)
        .parallelize(tokio::spawn)
        .build(handle);
    tokio::spawn(worker.run());
    while HANDLED.load(Ordering::Relaxed) < jobs || is_left(&pool).await? {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("done");
    // Alive until its processor time has been read.
    told.next_line().await?;
    std::process::exit(0);
}

async fn insert(pool: &PgPool, jobs: usize, sleep_ms: u64) -> Result<(), BoxDynError> {
    let ids: Vec<usize> = (0..jobs).collect();
    for chunk in ids.chunks(5000) {
        let tasks = chunk
            .iter()
            .map(|&id| {
                let job = serde_json::to_vec(&Noop { id, sleep_ms })?;
                Ok(TaskBuilder::new(job).build())
            })
            .collect::<Result<Vec<_>, serde_json::Error>>()?;
        queries::push_tasks(&mut *pool.acquire().await?, QUEUE, tasks).await?;
    }
    sqlx::raw_sql("vacuum analyze").execute(pool).await?;
    Ok(())
}

async fn is_left(pool: &PgPool) -> Result<bool, BoxDynError> {
    let left = sqlx::query("select from apalis.jobs where status <> 'Done' limit 1");
    Ok(left.fetch_optional(pool).await?.is_some())
}
