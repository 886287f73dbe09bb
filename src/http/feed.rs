//! Changes for those who watch: one look a second at most for all of them together, and none while
//! nobody watches.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    clock::Clock,
    delivery::{self, Changed},
    overview::{self, Topic},
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
/// Changes of deliveries told of after one look; whoever is to see more reads the list.
const MOST: i64 = 500;
/// Pieces of news that a slow watcher may be behind.
const BEHIND: usize = 32;

/// What came of a look.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// What happened before it was watched, or is more than is told of, is to be read.
    Missed,
    /// Deliveries that changed.
    Deliveries(Arc<Vec<Changed>>),
    /// What else looks different.
    Topics(Arc<Vec<Topic>>),
}

/// Tells watchers of changes.
pub(crate) struct Feed {
    pool: PgPool,
    clock: Clock,
    stopping: CancellationToken,
    /// Empty while nobody watches.
    told: Mutex<Option<broadcast::Sender<News>>>,
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
    pub(crate) fn watch(&self) -> broadcast::Receiver<News> {
        let mut told = self
            .told
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sender) = told.as_ref().filter(|sender| sender.receiver_count() > 0) {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(BEHIND);
        let watch = Watch {
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            sender: sender.clone(),
            since: (self.clock)() - LOOK_BACK,
            known: HashSet::new(),
            marks: None,
        };
        tokio::spawn(watch.look(self.stopping.clone()));
        *told = Some(sender);
        receiver
    }
}

/// What was seen at the last look.
struct Watch {
    pool: PgPool,
    clock: Clock,
    sender: broadcast::Sender<News>,
    since: DateTime<Utc>,
    known: HashSet<Changed>,
    /// None: there was no look yet.
    marks: Option<[i64; Topic::ALL.len()]>,
}

impl Watch {
    /// Looks until nobody watches.
    async fn look(mut self, stopping: CancellationToken) {
        while self.sender.receiver_count() > 0 && !stopping.is_cancelled() {
            let began = Instant::now();
            match self.news().await {
                // Nobody may be left to hear it.
                Ok(news) => news.into_iter().for_each(|one| _ = self.sender.send(one)),
                Err(error) => tracing::debug!(%error, "changes could not be looked for"),
            }
            let pause = PAUSE.max(began.elapsed() * SHARE);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    /// What is different from the last look.
    async fn news(&mut self) -> Result<Vec<News>, sqlx::Error> {
        let found = delivery::changed_since(&self.pool, self.since, MOST).await?;
        let marks = overview::marks(&self.pool, (self.clock)()).await?;
        let deliveries: Vec<Changed> = found
            .iter()
            .filter(|one| !self.known.contains(one))
            .cloned()
            .collect();
        let is_cut = i64::try_from(found.len()).is_ok_and(|count| count >= MOST);
        let newest = found.iter().map(|one| one.updated_at).max();
        self.since = newest.map_or(self.since, |newest| self.since.max(newest - LOOK_BACK));
        self.known = found.into_iter().collect();
        let Some(before) = self.marks.replace(marks) else {
            return Ok(vec![News::Missed]);
        };
        let differs = before.iter().zip(&marks).map(|(was, is)| was != is);
        let topics: Vec<Topic> = Topic::ALL
            .into_iter()
            .zip(differs)
            .filter_map(|(topic, differs)| differs.then_some(topic))
            .collect();
        let mut news = Vec::new();
        if !deliveries.is_empty() {
            news.push(News::Deliveries(Arc::new(deliveries)));
        }
        if !topics.is_empty() {
            news.push(News::Topics(Arc::new(topics)));
        }
        if is_cut {
            news.push(News::Missed);
        }
        Ok(news)
    }
}
