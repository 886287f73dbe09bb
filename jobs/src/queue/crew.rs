//! A crew: the jobs of one daemon that share slots and are fetched alike. Small jobs have a crew of
//! their own, so that a flood of them takes no slot from deliveries.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{registry::Registry, settings::Settings};

/// How much work is fetched ahead.
const AHEAD: Duration = Duration::from_millis(100);
/// Jobs fetched ahead before anything is known of how long they take.
const AT_FIRST: usize = 1000;

pub(super) struct Crew {
    pub(super) name: &'static str,
    pub(super) prefetch: bool,
    pub(super) kinds: Vec<String>,
    /// Jobs that run at once.
    pub(super) slots: usize,
    /// Jobs that may wait here for a slot: as many as lately ran in [`AHEAD`], and no more than
    /// `most_ahead`. Jobs that take long are left to other daemons.
    ahead: AtomicUsize,
    most_ahead: usize,
    /// Jobs that run or wait here.
    held: AtomicUsize,
    /// Jobs that ran or were dropped, ever; it wraps.
    gone: AtomicUsize,
    /// Rung when there may be due work, or room for it.
    pub(super) wake: Notify,
}

impl Crew {
    /// The crews that this registry needs: one, or two, or none.
    pub(super) fn all(registry: &Registry, settings: &Settings) -> Vec<Self> {
        [
            ("small", true, settings.small_slots, settings.prefetch),
            ("large", false, settings.slots, 0),
        ]
        .into_iter()
        .map(|(name, prefetch, slots, ahead)| Self {
            name,
            prefetch,
            kinds: registry.names(Some(prefetch)),
            slots,
            ahead: AtomicUsize::new(ahead.min(AT_FIRST)),
            most_ahead: ahead,
            held: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
            wake: Notify::new(),
        })
        .filter(|crew| !crew.kinds.is_empty())
        .collect()
    }

    /// All jobs that may be here at once.
    pub(super) fn capacity(&self) -> usize {
        self.slots + self.most_ahead
    }

    /// How many jobs to claim now: none until there is room for a fair batch.
    pub(super) fn room(&self) -> usize {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let room = (self.slots + ahead).saturating_sub(self.held.load(Ordering::Relaxed));
        if room >= (ahead / 2).max(1) { room } else { 0 }
    }

    pub(super) fn arrived(&self, jobs: usize) {
        self.held.fetch_add(jobs, Ordering::Relaxed);
    }

    pub(super) fn left(&self) {
        self.gone.fetch_add(1, Ordering::Relaxed);
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Begins to measure how fast jobs run, at a time when there are some.
    pub(super) fn measure(&self) -> Measure {
        Measure {
            since: Instant::now(),
            gone: self.gone.load(Ordering::Relaxed),
        }
    }

    /// Fetches as far ahead as jobs ran since then, and measures anew.
    pub(super) fn follow(&self, then: &mut Measure) {
        let now = self.measure();
        let ran = now.gone.wrapping_sub(then.gone);
        let elapsed = now.since - then.since;
        if elapsed < AHEAD / 20 {
            return;
        }
        let ahead = ran as f64 * AHEAD.as_secs_f64() / elapsed.as_secs_f64();
        let ahead = (ahead as usize).clamp(self.slots.min(self.most_ahead), self.most_ahead);
        self.ahead.store(ahead, Ordering::Relaxed);
        *then = now;
    }
}

/// A moment from which the speed of a crew is measured.
pub(super) struct Measure {
    since: Instant,
    gone: usize,
}
