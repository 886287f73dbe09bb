//! How hard a partner may be used: the limits of a platform, and the hours at which it takes
//! deliveries. Keeping to them is the queue's business.

use std::num::{NonZeroU16, NonZeroU32};

use chrono::{DateTime, Days, LocalResult, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How hard the partner may be used (`format_specs.limits`), over all daemons together. What is not
/// set is as the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// Deliveries at the same time.
    pub concurrency: Option<NonZeroU16>,
    /// Deliveries begun in any second.
    pub per_second: Option<NonZeroU32>,
    /// Deliveries begun in any hour.
    pub per_hour: Option<NonZeroU32>,
    /// Deliveries begun in any 24 hours.
    pub per_day: Option<NonZeroU32>,
    /// When deliveries may begin: `[{"from": "22:00", "to": "06:00", "zone": "Europe/Berlin"}]`. An
    /// empty list: always, whatever the configuration says.
    pub windows: Option<Windows>,
}

impl Limits {
    /// Those in a platform's `format_specs`, whatever else stands there.
    ///
    /// # Errors
    /// What is wrong with them, with its path.
    pub fn of_specs(format_specs: Option<&Value>) -> Result<Self, String> {
        let limits = format_specs.and_then(|specs| specs.get("limits"));
        super::read(limits, "format_specs.limits")
    }
}

/// The hours at which a partner takes deliveries: within any of the windows; always where there is
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Windows(pub Vec<Window>);

/// A range of local time, each day, from its first moment up to and without its last. It goes past
/// midnight where it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Words", into = "Words")]
#[schemars(with = "Words")]
pub struct Window {
    from: NaiveTime,
    to: NaiveTime,
    zone: Tz,
}

/// A window as it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Window")]
struct Words {
    /// `22:00`.
    from: String,
    /// `06:00`; `24:00` is midnight.
    to: String,
    /// The IANA name of the partner's time zone.
    #[serde(default = "utc")]
    zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl TryFrom<Words> for Window {
    type Error = String;

    fn try_from(words: Words) -> Result<Self, String> {
        let time = |key: &str, text: &str| {
            let text = if text == "24:00" { "00:00" } else { text };
            NaiveTime::parse_from_str(text, "%H:%M")
                .map_err(|_| format!("{key} {text:?} is not a time of day such as 22:00"))
        };
        let (from, to) = (time("from", &words.from)?, time("to", &words.to)?);
        if from == to {
            return Err(format!(
                "from {} to {} is no range; leave windows out for the whole day",
                words.from, words.to
            ));
        }
        let zone = words.zone.parse().map_err(|_| {
            let zone = &words.zone;
            format!("zone {zone:?} is not a time zone of the IANA database such as Europe/Berlin")
        })?;
        Ok(Self { from, to, zone })
    }
}

impl From<Window> for Words {
    fn from(window: Window) -> Self {
        Self {
            from: window.from.format("%H:%M").to_string(),
            to: window.to.format("%H:%M").to_string(),
            zone: window.zone.name().to_owned(),
        }
    }
}

impl std::fmt::Display for Windows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, window) in self.0.iter().enumerate() {
            let before = if place == 0 { "" } else { ", " };
            let Words { from, to, zone } = (*window).into();
            write!(f, "{before}{from}-{to} {zone}")?;
        }
        Ok(())
    }
}

impl Windows {
    /// Whether a delivery may begin at `now`.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.0.is_empty() || self.0.iter().any(|window| window.is_open(now))
    }

    /// The first moment from `now` on at which a delivery may begin: `now` itself where it may.
    #[must_use]
    pub fn opens_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        if self.is_open(now) {
            return now;
        }
        let next = self.0.iter().flat_map(|window| window.openings(now)).min();
        // Every window opens within three days, but for days that a country leaves out.
        next.unwrap_or(now + TimeDelta::hours(1))
    }
}

impl Window {
    /// Local time decides: an hour that the clocks skip is in no window, one that they repeat is in
    /// the same window twice.
    fn is_open(&self, now: DateTime<Utc>) -> bool {
        let time = now.with_timezone(&self.zone).time();
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }

    /// The moments after `now`, within two days, at which the window opens.
    fn openings(&self, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let today = now.with_timezone(&self.zone).date_naive();
        (0..3)
            .filter_map(|days| today.checked_add_days(Days::new(days)))
            .flat_map(|day| self.moments(day.and_time(self.from)))
            .filter(|moment| *moment > now && self.is_open(*moment))
            .collect()
    }

    /// The moments at which clocks in the zone show this. Where they skip it: the first that they
    /// show after it.
    fn moments(&self, shown: NaiveDateTime) -> Vec<DateTime<Utc>> {
        /// Clocks change at whole quarters of an hour, by a day at most.
        const STEP: TimeDelta = TimeDelta::minutes(15);
        const STEPS: usize = 24 * 4 + 1;
        let quarter = NaiveDateTime::new(shown.date(), NaiveTime::MIN);
        let later = (0..i32::MAX)
            .map(|steps| quarter + STEP * steps)
            .filter(|time| *time > shown);
        std::iter::once(shown)
            .chain(later)
            .take(STEPS)
            .map(|time| match self.zone.from_local_datetime(&time) {
                LocalResult::None => Vec::new(),
                LocalResult::Single(one) => vec![one.to_utc()],
                LocalResult::Ambiguous(one, other) => vec![one.to_utc(), other.to_utc()],
            })
            .find(|moments| !moments.is_empty())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(from: &str, to: &str, zone: &str) -> Windows {
        let words = Words {
            from: from.to_owned(),
            to: to.to_owned(),
            zone: zone.to_owned(),
        };
        Windows(vec![words.try_into().unwrap()])
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_goes_past_midnight_in_the_partners_zone() {
        let night = windows("22:00", "06:00", "Europe/Berlin");
        assert!(!night.is_open(at("2026-01-10T20:59:59Z")));
        assert!(night.is_open(at("2026-01-10T21:00:00Z")));
        assert!(night.is_open(at("2026-01-11T04:59:59Z")));
        assert!(!night.is_open(at("2026-01-11T05:00:00Z")));
        // In summer an hour earlier.
        assert!(night.is_open(at("2026-07-10T20:00:00Z")));
        assert_eq!(
            night.opens_at(at("2026-07-10T12:00:00Z")),
            at("2026-07-10T20:00:00Z")
        );
        assert_eq!(
            night.opens_at(at("2026-07-10T21:00:00Z")),
            at("2026-07-10T21:00:00Z")
        );
        assert_eq!(night.to_string(), "22:00-06:00 Europe/Berlin");
    }

    #[test]
    fn an_hour_that_clocks_skip_or_repeat_opens_as_local_time_says() {
        // On 29 March 2026 02:00 to 03:00 is skipped in Berlin.
        let window = windows("02:30", "05:00", "Europe/Berlin");
        assert_eq!(
            window.opens_at(at("2026-03-29T00:00:00Z")),
            at("2026-03-29T01:00:00Z")
        );
        let skipped = windows("02:00", "03:00", "Europe/Berlin");
        assert_eq!(
            skipped.opens_at(at("2026-03-29T00:00:00Z")),
            at("2026-03-30T00:00:00Z")
        );
        // On 25 October 2026 it comes twice.
        assert_eq!(
            skipped.opens_at(at("2026-10-24T22:00:00Z")),
            at("2026-10-25T00:00:00Z")
        );
        assert!(skipped.is_open(at("2026-10-25T01:30:00Z")));
        let half = windows("02:00", "02:30", "Europe/Berlin");
        assert_eq!(
            half.opens_at(at("2026-10-25T00:45:00Z")),
            at("2026-10-25T01:00:00Z")
        );
    }

    #[test]
    fn no_window_is_always_and_several_add_up() {
        assert!(Windows::default().is_open(at("2026-01-10T12:00:00Z")));
        let mut both = windows("01:00", "02:00", "UTC");
        both.0.extend(windows("13:00", "24:00", "UTC").0);
        assert_eq!(
            both.opens_at(at("2026-01-10T03:00:00Z")),
            at("2026-01-10T13:00:00Z")
        );
        assert!(both.is_open(at("2026-01-10T23:59:59Z")));
        assert!(!both.is_open(at("2026-01-11T00:00:00Z")));
    }

    #[test]
    fn what_is_no_window_is_refused_with_its_reason() {
        let refused = |from: &str, to: &str, zone: &str| {
            let json = serde_json::json!({"from": from, "to": to, "zone": zone});
            serde_json::from_value::<Window>(json)
                .unwrap_err()
                .to_string()
        };
        assert!(refused("9", "10:00", "UTC").contains("from \"9\" is not a time of day"));
        assert!(refused("09:00", "09:00", "UTC").contains("is no range"));
        assert!(refused("09:00", "10:00", "Europe/Berln").contains("zone \"Europe/Berln\""));
    }

    proptest! {
        /// Against the same question asked minute by minute.
        #[test]
        fn the_next_opening_is_the_first(
            from in 0u32..1440, length in 1u32..1440, start in 0i64..(4 * 366 * 1440),
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
        ) {
            let text = |minute: u32| format!("{:02}:{:02}", minute % 1440 / 60, minute % 60);
            let window = windows(&text(from), &text(from + length), zone);
            let now = at("2026-01-01T00:00:00Z") + TimeDelta::minutes(start);
            let opening = window.opens_at(now);
            prop_assert!(window.is_open(opening));
            let before = (0..).map(|m| now + TimeDelta::minutes(m)).take_while(|t| *t < opening);
            for moment in before {
                // Where clocks go back into the window, it opens without its beginning being shown.
                let back = moment.with_timezone(&window.0[0].zone).naive_local()
                    < (moment - TimeDelta::hours(2)).with_timezone(&window.0[0].zone).naive_local() + TimeDelta::hours(2);
                prop_assert!(back || !window.is_open(moment), "open at {moment}, said {opening}");
            }
        }
    }
}
