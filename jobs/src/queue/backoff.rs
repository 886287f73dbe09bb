//! How long to wait before another try: exponential, with full jitter. Randomness is passed in.

use std::time::Duration;

/// A schedule of waits. The wait before retry `n` is drawn evenly between nothing and
/// `first * 2^(n-1)`, but never beyond `ceiling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first retry.
    pub first: Duration,
    /// The longest wait before any retry.
    pub ceiling: Duration,
}

impl Backoff {
    /// The wait after `failures` failures (from 1), for `random` in `0.0..1.0`.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let longest = self
            .first
            .saturating_mul(1_u32 << doublings)
            .min(self.ceiling);
        longest.mul_f64(random.clamp(0.0, 1.0)).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_beyond_ceiling_nor_its_step(
            first_ms in 1_u64..100_000, factor in 1_u64..1_000, failures in 0_u32..200, random in 0.0_f64..1.0,
        ) {
            let first = Duration::from_millis(first_ms);
            let backoff = Backoff { first, ceiling: first * u32::try_from(factor).unwrap() };
            let delay = backoff.delay(failures, random);
            prop_assert!(delay <= backoff.ceiling);
            if (1..=20).contains(&failures) {
                prop_assert!(delay <= first * (1 << (failures - 1)));
            }
        }

        #[test]
        fn full_jitter_reaches_both_ends(failures in 1_u32..10) {
            let backoff = Backoff { first: Duration::from_secs(1), ceiling: Duration::from_secs(3600) };
            prop_assert_eq!(backoff.delay(failures, 0.0), Duration::ZERO);
            prop_assert_eq!(backoff.delay(failures, 1.0), Duration::from_secs(1 << (failures - 1)));
        }

        #[test]
        fn absurd_input_neither_panics_nor_escapes(seconds in any::<u64>(), failures in any::<u32>(), random in -2.0_f64..3.0) {
            let backoff = Backoff { first: Duration::from_secs(seconds), ceiling: Duration::from_secs(60) };
            prop_assert!(backoff.delay(failures, random) <= Duration::from_secs(60));
        }
    }
}
