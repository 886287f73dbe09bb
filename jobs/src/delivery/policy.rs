//! When the next attempt is made, and when to stop trying. Randomness is handed in.

use std::time::Duration;

use platform_adapters::settings::RetrySpecs;
use serde::Deserialize;

/// The clocks of a delivery, as a mail queue has them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Seconds: the longest wait after the first fault.
    pub base_s: u64,
    /// Seconds: the longest wait between two attempts.
    pub max_s: u64,
    /// Seconds from the first attempt on after which a delivery is given up.
    pub give_up_after_s: u64,
    /// Seconds from the first attempt on after which a delivery that still fails is told to
    /// operators, once.
    pub notify_after_s: u64,
    /// Counted attempts after which a delivery is given up.
    pub max_attempts: i16,
    /// Seconds: the most that a partner's Retry-After is honoured.
    pub max_retry_after_s: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base_s: 60,
            max_s: 6 * 3600,
            give_up_after_s: 3 * 24 * 3600,
            notify_after_s: 4 * 3600,
            max_attempts: 40,
            max_retry_after_s: 6 * 3600,
        }
    }
}

impl RetryPolicy {
    /// This policy with what a platform's settings say otherwise.
    #[must_use]
    pub fn for_platform(&self, specs: &RetrySpecs) -> Self {
        Self {
            base_s: specs.base_s.unwrap_or(self.base_s),
            max_s: specs.max_s.unwrap_or(self.max_s),
            give_up_after_s: specs.give_up_after_s.unwrap_or(self.give_up_after_s),
            notify_after_s: specs.notify_after_s.unwrap_or(self.notify_after_s),
            ..self.clone()
        }
    }

    /// The wait after the `attempt`th counted attempt (from 1): exponential with full jitter, at
    /// least a second. `random` is from 0 (inclusive) to 1 (exclusive).
    #[must_use]
    pub fn wait(&self, attempt: i16, random: f64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1).max(0))
            .unwrap_or(0)
            .min(32);
        let ceiling = self.base_s.saturating_mul(1 << doublings).min(self.max_s);
        Duration::from_secs(1).max(Duration::from_secs(ceiling).mul_f64(random.clamp(0.0, 1.0)))
    }

    /// The wait before an outcome that the database did not take is offered again: at most 30
    /// seconds, so that the lease does not outlive its holder's patience for long.
    #[must_use]
    pub fn database_wait(&self, failures: u32, random: f64) -> Duration {
        let ceiling = 250u64.saturating_mul(1 << failures.min(7)).min(30_000);
        Duration::from_millis(100)
            .max(Duration::from_millis(ceiling).mul_f64(random.clamp(0.0, 1.0)))
    }

    /// What a partner asked for, within bounds; our own wait where it asked for nothing.
    #[must_use]
    pub fn asked_wait(&self, asked: Option<Duration>, own: Duration) -> Duration {
        asked.map_or(own, |asked| {
            asked.clamp(
                Duration::from_secs(1),
                Duration::from_secs(self.max_retry_after_s.max(1)),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds(attempt in i16::MIN..i16::MAX, random in 0.0f64..1.0, asked in proptest::option::of(0u64..u64::MAX)) {
            let policy = RetryPolicy::default();
            let wait = policy.wait(attempt, random);
            prop_assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(policy.max_s));
            let asked = policy.asked_wait(asked.map(Duration::from_secs), wait);
            prop_assert!(asked >= Duration::from_secs(1) && asked <= Duration::from_secs(policy.max_retry_after_s));
        }
    }

    #[test]
    fn a_platform_overrides_what_it_names() {
        let specs = RetrySpecs {
            max_s: Some(90),
            notify_after_s: Some(7),
            ..RetrySpecs::default()
        };
        let policy = RetryPolicy::default().for_platform(&specs);
        assert_eq!(policy.wait(20, 1.0), Duration::from_secs(90));
        assert_eq!(policy.notify_after_s, 7);
        assert_eq!(
            policy.give_up_after_s,
            RetryPolicy::default().give_up_after_s
        );
    }

    #[test]
    fn the_ceiling_doubles() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, 1.0), Duration::from_secs(60));
        assert_eq!(policy.wait(3, 1.0), Duration::from_secs(240));
        assert_eq!(policy.wait(20, 1.0), Duration::from_secs(6 * 3600));
        assert_eq!(policy.wait(5, 0.0), Duration::from_secs(1));
    }
}
