//! Changes for those who watch: one look a second at most for all of them together, and none while
//! nobody watches.

use std::{
    collections::HashSet,
    sync::Mutex,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use jobs::{
    clock::Clock,
    delivery::{self, Changed},
};
use sqlx::PgPool;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Between two looks, at the least.
const PAUSE: Duration = Duration::from_secs(1);
/// A look may take this part of the time at most.
const SHARE: u32 = 10;
/// Outcomes are dated when their transaction began: look back so far for what was committed late.
const LOOK_BACK: TimeDelta = TimeDelta::seconds(5);
/// Changes told of after one look; who wants to see more than these reads the list.
const MOST: i64 = 500;
/// Looks that a slow watcher may be behind.
const BEHIND: usize = 16;

/// The changes of one look.
pub(crate) type Changes = std::sync::Arc<Vec<Changed>>;

/// Tells watchers of changes.
pub(crate) struct Feed {
    pool: PgPool,
    clock: Clock,
    stopping: CancellationToken,
    /// Empty while nobody watches.
    told: Mutex<Option<broadcast::Sender<Changes>>>,
}

impl Feed {
    pub(crate) fn new(pool: PgPool, clock: Clock, stopping: CancellationToken) -> Self {
        Self {
            pool,
            clock,
            stopping,
            told: Mutex::default(),
        }
    }

    /// Watches from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Changes> {
        let mut told = self
            .told
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sender) = told.as_ref().filter(|sender| sender.receiver_count() > 0) {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(BEHIND);
        let look = look(
            self.pool.clone(),
            self.clock.clone(),
            sender.clone(),
            self.stopping.clone(),
        );
        tokio::spawn(look);
        *told = Some(sender);
        receiver
    }
}

/// Looks until nobody watches.
async fn look(
    pool: PgPool,
    clock: Clock,
    sender: broadcast::Sender<Changes>,
    stopping: CancellationToken,
) {
    let mut since = clock() - LOOK_BACK;
    // What was there before is no news.
    let mut known: HashSet<Changed> = HashSet::new();
    let mut is_first = true;
    while sender.receiver_count() > 0 && !stopping.is_cancelled() {
        let began = Instant::now();
        match delivery::changed_since(&pool, since, MOST).await {
            Ok(found) => {
                let news: Vec<Changed> = found
                    .iter()
                    .filter(|one| !is_first && !known.contains(one))
                    .cloned()
                    .collect();
                let newest = found.iter().map(|one| one.updated_at).max();
                since = newest.map_or(since, |newest| since.max(newest - LOOK_BACK));
                known = found.into_iter().collect();
                is_first = false;
                if !news.is_empty() {
                    // Nobody may be left to hear it.
                    let _ = sender.send(std::sync::Arc::new(news));
                }
            }
            Err(error) => tracing::debug!(%error, "changes could not be looked for"),
        }
        let pause = PAUSE.max(began.elapsed() * SHARE);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.cancelled() => {}
        }
    }
}
