//! How many requests one key may make: whatever a script does, the others are answered too.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

use super::problem::{Kind, Problem};
use crate::config::Http;

/// Keys that are remembered; there are never so many that are used at a time.
const KEYS: usize = 10_000;

/// The requests of each key, over the API and the console, in the minute that runs.
pub(crate) struct Pace {
    per_minute: u32,
    minutes: Mutex<HashMap<i32, Minute>>,
}

#[derive(Clone, Copy)]
struct Minute {
    since: DateTime<Utc>,
    count: u32,
}

impl Minute {
    fn begun(since: DateTime<Utc>) -> Self {
        Self { since, count: 0 }
    }

    fn seconds_left(self, now: DateTime<Utc>) -> i64 {
        60 - (now - self.since).num_seconds()
    }
}

impl Pace {
    pub(crate) fn new(config: &Http) -> Self {
        Self {
            per_minute: config.requests_per_minute,
            minutes: Mutex::default(),
        }
    }

    /// Counts a request of a key (`api_keys.id`); one too many is a problem.
    pub(crate) fn count(&self, key_id: i32, now: DateTime<Utc>) -> Result<(), Problem> {
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        if minutes.len() >= KEYS {
            minutes.retain(|_, minute| minute.seconds_left(now) > 0);
        }
        let minute = minutes.entry(key_id).or_insert(Minute::begun(now));
        // Also when the clock was put back.
        if !(1..=60).contains(&minute.seconds_left(now)) {
            *minute = Minute::begun(now);
        }
        minute.count = minute.count.saturating_add(1);
        if minute.count <= self.per_minute {
            return Ok(());
        }
        let wait = u64::try_from(minute.seconds_left(now)).unwrap_or(1);
        Err(Problem::new(
            Kind::RateLimited,
            format!(
                "one key may make {} requests in a minute (http.requests_per_minute); wait {wait} s",
                self.per_minute
            ),
        )
        .after(wait))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn one_keys_requests_are_bounded_and_leave_those_of_others_alone() {
        let pace = Pace::new(&Http {
            requests_per_minute: 3,
            ..Http::default()
        });
        let now: DateTime<Utc> = "2026-11-23T12:00:30Z".parse().unwrap();
        let may = |key, at| pace.count(key, at).is_ok();
        assert_eq!([(); 4].map(|()| may(7, now)), [true, true, true, false]);
        assert!(may(8, now));
        assert!(!may(7, now + TimeDelta::seconds(59)));
        assert!(may(7, now + TimeDelta::seconds(60)));
        assert!(may(7, now - TimeDelta::hours(1)), "the clock was put back");
    }
}
