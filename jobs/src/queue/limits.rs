//! The limits of a queue over all daemons, and what they leave for a claim: pure functions over what
//! stands in `worker.queues`. A queue that nothing is set for has none of them.

use std::ops::Not;

use chrono::{DateTime, TimeDelta, Utc};
use platform_adapters::settings::Windows;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How much of a queue may be worked, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Running jobs at once; `None`: the configuration's default.
    pub concurrency: Option<i32>,
    /// Claims over time.
    pub rates: Rates,
    /// When there are claims at all.
    pub windows: Windows,
}

/// Claims in any second, hour and day, wherever that begins; `None`: no such limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// In any second.
    pub per_second: Option<i32>,
    /// In any hour.
    pub per_hour: Option<i32>,
    /// In any 24 hours.
    pub per_day: Option<i32>,
}

impl Limits {
    /// As they stand in `worker.queues`; `None` where the windows cannot be read.
    pub(crate) fn of_row(
        concurrency: Option<i32>,
        rates: Rates,
        windows: Option<Value>,
    ) -> Option<Self> {
        Some(Self {
            concurrency,
            rates,
            windows: read_windows(windows)?,
        })
    }
}

/// Past claims: when (milliseconds since 1970) and how many jobs, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Grants(Vec<(i64, i64)>);

const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 3600 * SECOND_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Grants are told apart to this part of the shortest span that they still count for: so a row
/// holds some hundred of them at most, and a place comes free later by a thirtieth at most.
const PARTS: i64 = 30;

impl Rates {
    /// Spans in milliseconds, shortest first, with the claims allowed in each.
    fn spans(&self) -> impl Iterator<Item = (i64, i64)> {
        [
            (SECOND_MS, self.per_second),
            (HOUR_MS, self.per_hour),
            (DAY_MS, self.per_day),
        ]
        .into_iter()
        .filter_map(|(span, limit)| Some((span, i64::from(limit?))))
    }

    /// Whether there is any.
    pub(super) fn is_some(&self) -> bool {
        self.spans().next().is_some()
    }

    /// How many jobs may be claimed at `now`.
    pub(super) fn room(&self, grants: &Grants, now: DateTime<Utc>) -> i32 {
        let now = now.timestamp_millis();
        let room = self
            .spans()
            .map(|(span, limit)| limit - grants.within(span, now))
            .min()
            .unwrap_or(i64::MAX);
        i32::try_from(room.max(0)).unwrap_or(i32::MAX)
    }

    /// The first moment from `now` on at which a job may be claimed: `now` itself where it may.
    pub(super) fn opens_at(&self, grants: &Grants, now: DateTime<Utc>) -> DateTime<Utc> {
        let now_ms = now.timestamp_millis();
        let frees = self
            .spans()
            .filter_map(|(span, limit)| grants.frees_at(span, limit, now_ms));
        frees
            .max()
            .and_then(DateTime::from_timestamp_millis)
            .map_or(now, |opening| opening.max(now))
    }
}

impl Grants {
    /// Jobs claimed in the span that ends at `now`. A daemon whose clock is ahead counts too.
    fn within(&self, span: i64, now: i64) -> i64 {
        let recent = self.0.iter().filter(|(at, _)| *at > now - span);
        recent.map(|(_, jobs)| jobs).sum()
    }

    /// When there is room for a job; `None`: now.
    fn frees_at(&self, span: i64, limit: i64, now: i64) -> Option<i64> {
        let mut left = self.within(span, now);
        let recent = self.0.iter().filter(|(at, _)| *at > now - span);
        (left >= limit).then_some(())?;
        for (at, jobs) in recent {
            left -= jobs;
            if left < limit {
                return Some(at + span);
            }
        }
        None
    }

    /// These with `jobs` more at `now`, without those that count no more, and the older the coarser.
    /// Grants that are put together count as long as the last of them.
    pub(super) fn with(&self, jobs: i32, rates: &Rates, now: DateTime<Utc>) -> Self {
        let now = now.timestamp_millis();
        let spans: Vec<i64> = rates.spans().map(|(span, _)| span).collect();
        let mut kept: Vec<(i64, i64)> = Vec::with_capacity(self.0.len() + 1);
        for (at, jobs) in self.0.iter().copied().chain([(now, i64::from(jobs))]) {
            let Some(span) = spans.iter().find(|span| at > now - **span) else {
                continue;
            };
            let part = span / PARTS;
            match kept.last_mut() {
                Some(last) if last.0.div_euclid(part) == at.div_euclid(part) => {
                    *last = (last.0.max(at), last.1 + jobs);
                }
                _ => kept.push((at, jobs)),
            }
        }
        // A daemon's clock may be behind another's.
        kept.sort_unstable();
        Self(kept)
    }
}

/// What stands in `worker.queues` and decides when a queue may be claimed from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// There is a row.
    pub(super) exists: bool,
    pub(super) concurrency: Option<i32>,
    pub(super) rates: Rates,
    pub(super) grants: Grants,
    /// `None`: what stands there cannot be read, so it is never open.
    pub(super) windows: Option<Windows>,
    /// The circuit is open and lets nothing through before.
    pub(super) probe_at: Option<DateTime<Utc>>,
}

/// How long a queue is left alone whose row cannot be read.
const UNREADABLE: TimeDelta = TimeDelta::minutes(1);

impl Rules {
    /// The first moment from `now` on at which the queue may be claimed from: `now` itself where it
    /// may.
    pub(super) fn opens_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let Some(windows) = &self.windows else {
            return now + UNREADABLE;
        };
        let probe = self.probe_at.unwrap_or(now);
        let free = self.rates.opens_at(&self.grants, now);
        windows.opens_at(now.max(probe).max(free))
    }

    /// Whether the hours allow a claim.
    pub(super) fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.windows
            .as_ref()
            .is_some_and(|windows| windows.is_open(now))
    }
}

/// Windows as they stand in the row; `None` where they cannot be read.
pub(super) fn read_windows(value: Option<Value>) -> Option<Windows> {
    match value {
        None | Some(Value::Null) => Some(Windows::default()),
        Some(value) => serde_json::from_value(value).ok(),
    }
}

/// Windows for the row; NULL where there is none.
pub(super) fn windows_value(windows: &Windows) -> Option<Value> {
    windows
        .0
        .is_empty()
        .not()
        .then(|| serde_json::to_value(windows).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(ms).unwrap()
    }

    fn rates(per_second: Option<i32>, per_hour: Option<i32>, per_day: Option<i32>) -> Rates {
        Rates {
            per_second,
            per_hour,
            per_day,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Greedy claims at random moments: no span anywhere holds more than its limit.
        #[test]
        fn no_span_ever_holds_more_than_its_limit(
            per_second in prop::option::of(1..20i32),
            per_hour in prop::option::of(1..200i32),
            per_day in prop::option::of(1..500i32),
            steps in prop::collection::vec((0..3_000_000i64, 1..50i32, any::<bool>()), 1..200),
        ) {
            let rates = rates(per_second, per_hour, per_day);
            let (mut now, mut grants) = (1_700_000_000_000, Grants::default());
            let mut exact: Vec<(i64, i64)> = Vec::new();
            for (pause, wish, is_short) in steps {
                now += if is_short { pause % 700 } else { pause };
                let jobs = wish.min(rates.room(&grants, at(now)));
                if jobs > 0 {
                    grants = grants.with(jobs, &rates, at(now));
                    exact.push((now, i64::from(jobs)));
                } else {
                    prop_assert!(rates.opens_at(&grants, at(now)) > at(now));
                }
                prop_assert!(grants.0.len() <= 3 * 31 + 3, "{} grants", grants.0.len());
                for (span, limit) in rates.spans() {
                    let jobs: i64 = exact.iter().filter(|(at, _)| *at > now - span).map(|g| g.1).sum();
                    prop_assert!(jobs <= limit, "{jobs} in {span} ms");
                }
            }
        }

        /// At the moment it names there is room, and no more than a thirtieth of the span late.
        #[test]
        fn waiting_for_the_opening_is_enough(limit in 1..50i32, pauses in prop::collection::vec(0..200_000i64, 1..60)) {
            let rates = rates(None, Some(limit), None);
            let (mut now, mut grants) = (1_700_000_000_000, Grants::default());
            let mut exact = Vec::new();
            for pause in pauses {
                now += pause;
                let opening = rates.opens_at(&grants, at(now)).timestamp_millis();
                prop_assert!(rates.room(&grants, at(opening)) > 0);
                let count = exact.len();
                if count >= limit as usize {
                    let frees: i64 = exact[count - limit as usize] + HOUR_MS;
                    prop_assert!(opening <= now.max(frees + HOUR_MS / PARTS));
                }
                now = opening;
                grants = grants.with(1, &rates, at(now));
                exact.push(now);
            }
        }
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let none = Rates::default();
        assert!(!none.is_some());
        assert_eq!(none.room(&Grants::default(), at(0)), i32::MAX);
        assert_eq!(none.opens_at(&Grants::default(), at(7)), at(7));
    }

    #[test]
    fn a_queue_opens_when_all_of_its_rules_allow_it() {
        let night = serde_json::json!([{"from": "22:00", "to": "06:00"}]);
        let rules = Rules {
            rates: rates(None, Some(1), None),
            grants: Grants::default().with(1, &rates(None, Some(1), None), at(0)),
            windows: read_windows(Some(night)),
            probe_at: Some(at(2 * HOUR_MS)),
            ..Rules::default()
        };
        assert_eq!(rules.opens_at(at(0)), at(2 * HOUR_MS));
        assert_eq!(rules.opens_at(at(7 * HOUR_MS)), at(22 * HOUR_MS));
        let unreadable = Rules {
            windows: read_windows(Some(serde_json::json!([{"from": "late"}]))),
            ..Rules::default()
        };
        assert!(unreadable.opens_at(at(0)) > at(0));
    }
}
