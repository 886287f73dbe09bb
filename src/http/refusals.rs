//! Wrong keys slow down whoever tries them: each one's answer takes longer than the one before, and
//! too many are not looked at. Right keys are never kept waiting, also not from the same address:
//! behind a reverse proxy all come from one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::Http;

/// Answers that are kept back at the same time, over all addresses.
const KEPT_BACK: usize = 64;
/// Addresses that are remembered.
const ADDRESSES: usize = 10_000;
/// The longest that an answer is kept back.
const LONGEST: Duration = Duration::from_secs(8);
/// An address that was good for so long begins anew.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(1);

/// Who tried wrong keys of late.
pub(crate) struct Refusals {
    first_delay: Duration,
    per_minute: u32,
    seen: Mutex<HashMap<IpAddr, Tries>>,
    kept_back: Semaphore,
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    since: DateTime<Utc>,
    count: u32,
}

/// What becomes of an answer to a wrong key.
pub(crate) enum Answer<'a> {
    /// It is given after this time.
    Later(Duration, SemaphorePermit<'a>),
    /// There were too many: none is given, for so many seconds.
    NotNow(u64),
}

impl Refusals {
    pub(crate) fn new(config: &Http) -> Self {
        Self {
            first_delay: Duration::from_millis(config.wrong_key_delay_ms),
            per_minute: config.wrong_keys_per_minute,
            seen: Mutex::default(),
            kept_back: Semaphore::new(KEPT_BACK),
        }
    }

    /// Counts a wrong key from this address.
    pub(crate) fn note(&self, address: IpAddr, now: DateTime<Utc>) -> Answer<'_> {
        let count = self.count(network(address), now);
        if count > self.per_minute {
            return Answer::NotNow(60);
        }
        match self.kept_back.try_acquire() {
            Ok(permit) => Answer::Later(delay(self.first_delay, count), permit),
            Err(_) => Answer::NotNow(LONGEST.as_secs()),
        }
    }

    fn count(&self, address: IpAddr, now: DateTime<Utc>) -> u32 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= ADDRESSES {
            seen.retain(|_, tries| now - tries.since < FORGOTTEN_AFTER);
        }
        if seen.len() >= ADDRESSES && !seen.contains_key(&address) {
            // So many at once are one attack: they share one count.
            return self.per_minute;
        }
        let tries = seen.entry(address).or_insert(Tries {
            since: now,
            count: 0,
        });
        if now - tries.since >= FORGOTTEN_AFTER {
            *tries = Tries {
                since: now,
                count: 0,
            };
        }
        tries.count = tries.count.saturating_add(1);
        tries.count
    }
}

/// Doubles with each wrong key.
fn delay(first: Duration, count: u32) -> Duration {
    let doublings = count.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(LONGEST)
}

/// What one customer of an Internet provider has: an IPv4 address, or 64 bits of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(per_minute: u32) -> Refusals {
        Refusals::new(&Http {
            wrong_key_delay_ms: 100,
            wrong_keys_per_minute: per_minute,
            ..Http::default()
        })
    }

    fn later(answer: Answer<'_>) -> Option<u128> {
        match answer {
            Answer::Later(delay, _) => Some(delay.as_millis()),
            Answer::NotNow(_) => None,
        }
    }

    #[test]
    fn each_wrong_key_waits_longer_and_too_many_are_not_looked_at() {
        let refusals = refusals(4);
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        let one = "192.0.2.1".parse().unwrap();
        let waits: Vec<_> = (0..5).map(|_| later(refusals.note(one, now))).collect();
        assert_eq!(waits, [Some(100), Some(200), Some(400), Some(800), None]);
        let other = "192.0.2.2".parse().unwrap();
        assert_eq!(later(refusals.note(other, now)), Some(100));
        let minute = now + TimeDelta::minutes(1);
        assert_eq!(later(refusals.note(one, minute)), Some(100), "forgotten");
    }

    #[test]
    fn a_customer_is_one_whatever_the_address() {
        let refusals = refusals(1);
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        assert!(later(refusals.note("2001:db8::1".parse().unwrap(), now)).is_some());
        assert!(later(refusals.note("2001:db8::2".parse().unwrap(), now)).is_none());
        assert!(later(refusals.note("::ffff:192.0.2.1".parse().unwrap(), now)).is_some());
        assert!(later(refusals.note("192.0.2.1".parse().unwrap(), now)).is_none());
        assert_eq!(delay(Duration::from_secs(1), u32::MAX), LONGEST);
    }
}
