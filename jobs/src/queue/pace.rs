//! How many jobs at once a partner seems to bear: half as many after a fault, one more after a
//! round of successes. A pure function; what it says is kept in `worker.queues`.

use chrono::{DateTime, TimeDelta, Utc};

use super::circuit::{CircuitPolicy, Signal};

/// Fewer jobs at once than the queue's limit allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Jobs at once, at least one; its fraction is what successes have added so far.
    pub allowed: f64,
    /// When it fell the last time.
    pub fell_at: DateTime<Utc>,
}

/// The pace after an attempt, where at most `limit` jobs run at once; `None`: the limit alone counts.
#[must_use]
pub fn pace_after(
    pace: Option<Pace>,
    signal: Signal,
    limit: i32,
    policy: &CircuitPolicy,
    now: DateTime<Utc>,
) -> Option<Pace> {
    let limit = f64::from(limit.max(1));
    let allowed = pace.map_or(limit, |pace| pace.allowed.clamp(1.0, limit));
    match signal {
        Signal::Success => {
            let fell_at = pace?.fell_at;
            let allowed = allowed + allowed.recip();
            (allowed < limit).then_some(Pace { allowed, fell_at })
        }
        Signal::Fault | Signal::Throttled => {
            let rest = i64::try_from(policy.fall_s).map_or(TimeDelta::MAX, TimeDelta::seconds);
            // Attempts that ran side by side fail side by side: that is one fall.
            let has_fallen = pace.is_some_and(|pace| now - pace.fell_at < rest);
            Some(match pace {
                Some(pace) if has_fallen => Pace { allowed, ..pace },
                _ => Pace {
                    allowed: (allowed / 2.0).max(1.0),
                    fell_at: now,
                },
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signal() -> impl Strategy<Value = Signal> {
        prop_oneof![
            Just(Signal::Success),
            Just(Signal::Fault),
            Just(Signal::Throttled)
        ]
    }

    proptest! {
        #[test]
        fn it_stays_between_one_and_the_limit(
            limit in 1..100i32,
            history in prop::collection::vec((signal(), 0..20i64), 0..100),
        ) {
            let policy = CircuitPolicy::default();
            let (mut pace, mut now) = (None, DateTime::UNIX_EPOCH);
            for (signal, seconds) in history {
                now += TimeDelta::seconds(seconds);
                let before: Option<Pace> = pace;
                pace = pace_after(pace, signal, limit, &policy, now);
                let level = |pace: Option<Pace>| pace.map_or(f64::from(limit), |pace| pace.allowed);
                prop_assert!((1.0..=f64::from(limit)).contains(&level(pace)));
                if signal == Signal::Success {
                    prop_assert!(level(pace) >= level(before));
                } else {
                    prop_assert!(level(pace) <= level(before));
                    prop_assert!(level(pace) >= (level(before) / 2.0).max(1.0));
                }
            }
            // Successes alone bring it back to the limit.
            for _ in 0..(limit * limit) {
                pace = pace_after(pace, Signal::Success, limit, &policy, now);
            }
            prop_assert_eq!(pace, None);
        }
    }

    #[test]
    fn faults_at_the_same_time_are_one_fall() {
        let policy = CircuitPolicy::default();
        let now = DateTime::UNIX_EPOCH;
        let mut pace = None;
        for _ in 0..8 {
            pace = pace_after(pace, Signal::Throttled, 16, &policy, now);
        }
        assert_eq!(pace.unwrap().allowed, 8.0);
        let later = now + TimeDelta::seconds(60);
        assert_eq!(
            pace_after(pace, Signal::Fault, 16, &policy, later)
                .unwrap()
                .allowed,
            4.0
        );
    }
}
