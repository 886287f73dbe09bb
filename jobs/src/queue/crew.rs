//! A crew: the jobs of one daemon that share slots and are fetched alike. Small jobs have a crew of
//! their own, so that a flood of them takes no slot from deliveries.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::{registry::Registry, settings::Settings};

pub(super) struct Crew {
    pub(super) name: &'static str,
    pub(super) prefetch: bool,
    pub(super) kinds: Vec<String>,
    /// Jobs that run at once.
    pub(super) slots: usize,
    /// Jobs that may wait here for a slot.
    ahead: usize,
    /// Jobs that run or wait here.
    held: AtomicUsize,
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
            ahead,
            held: AtomicUsize::new(0),
            wake: Notify::new(),
        })
        .filter(|crew| !crew.kinds.is_empty())
        .collect()
    }

    /// All jobs that may be here at once.
    pub(super) fn capacity(&self) -> usize {
        self.slots + self.ahead
    }

    /// How many jobs to claim now: none until there is room for a fair batch.
    pub(super) fn room(&self) -> usize {
        let room = self
            .capacity()
            .saturating_sub(self.held.load(Ordering::Relaxed));
        if room >= (self.ahead / 2).max(1) {
            room
        } else {
            0
        }
    }

    pub(super) fn arrived(&self, jobs: usize) {
        self.held.fetch_add(jobs, Ordering::Relaxed);
    }

    pub(super) fn left(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.wake.notify_one();
    }
}
