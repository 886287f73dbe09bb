//! Signs of life of one daemon: whether its loops come round, and what it has done since its start.
//! Whoever watches over the daemon (systemd's watchdog, a health check) reads them here; nothing is
//! asked of the database.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What one daemon shows of itself. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    loops: Mutex<HashMap<String, Round>>,
    running: AtomicUsize,
    finished: AtomicU64,
}

/// When a loop came round last, and how long one round may take.
#[derive(Clone, Copy, Debug)]
struct Round {
    last: Instant,
    longest: Duration,
}

/// What a round may take beyond the loop's own pause: statements of a busy database, and the wait
/// for a connection to one that is away.
const GRACE: Duration = Duration::from_secs(60);

impl Vitals {
    /// A loop that comes round at least once in each `pause`, apart from its work.
    #[must_use]
    pub fn watch(&self, name: impl Into<String>, pause: Duration) -> Pulse {
        let pulse = Pulse {
            vitals: self.clone(),
            name: name.into(),
            longest: pause.saturating_add(GRACE),
        };
        pulse.beat();
        pulse
    }

    /// The loops that have not come round for too long, or died.
    #[must_use]
    pub fn stalled(&self) -> Vec<String> {
        self.stalled_at(Instant::now())
    }

    fn stalled_at(&self, now: Instant) -> Vec<String> {
        let loops = self.0.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stalled: Vec<String> = loops
            .iter()
            .filter(|(_, round)| now.duration_since(round.last) > round.longest)
            .map(|(name, _)| name.clone())
            .collect();
        stalled.sort();
        stalled
    }

    /// Jobs that run in this daemon now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }

    /// Attempts that have ended since the start, whatever came of them.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.0.finished.load(Ordering::Relaxed)
    }

    /// A job begins; it runs until the answer is dropped.
    pub(crate) fn job(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }
}

/// Counts a job as running.
pub(crate) struct Running(Vitals);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::Relaxed);
        self.0.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// The sign of life of one loop. A loop that ends in order calls [`Pulse::end`]; one that dies
/// without counts as stalled in time.
#[derive(Debug)]
pub struct Pulse {
    vitals: Vitals,
    name: String,
    longest: Duration,
}

impl Pulse {
    /// The loop came round.
    pub fn beat(&self) {
        let round = Round {
            last: Instant::now(),
            longest: self.longest,
        };
        let loops = &self.vitals.0.loops;
        let mut loops = loops.lock().unwrap_or_else(PoisonError::into_inner);
        match loops.get_mut(&self.name) {
            Some(known) => *known = round,
            None => {
                loops.insert(self.name.clone(), round);
            }
        }
    }

    /// The loop has ended, as it should.
    pub fn end(self) {
        let loops = &self.vitals.0.loops;
        let mut loops = loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_or_dies_is_stalled_and_one_that_ends_is_not() {
        let vitals = Vitals::default();
        let rare = vitals.watch("rare", Duration::from_secs(3600));
        let _still = vitals.watch("still", Duration::from_secs(1));
        drop(vitals.watch("dead", Duration::from_secs(1)));
        vitals.watch("ended", Duration::from_secs(1)).end();
        assert!(vitals.stalled().is_empty());
        let later = Instant::now() + GRACE + Duration::from_secs(2);
        assert_eq!(vitals.stalled_at(later), ["dead", "still"]);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!(vitals.stalled_at(much_later), ["dead", "rare", "still"]);
        rare.end();
        assert_eq!(vitals.stalled_at(much_later), ["dead", "still"]);
    }

    #[test]
    fn jobs_run_until_they_are_dropped() {
        let vitals = Vitals::default();
        let one = vitals.job();
        let other = vitals.job();
        drop(one);
        assert_eq!((vitals.running(), vitals.finished()), (1, 1));
        drop(other);
        assert_eq!((vitals.running(), vitals.finished()), (0, 2));
    }
}
