//! When and where something may be used, where that differs from what its release says.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// A day, or an instant. A day begins at midnight in each territory, an instant is the same
/// everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Moment {
    /// RFC 3339 with an offset: `2025-11-28T05:00:00Z`.
    Instant(DateTime<Utc>),
    /// `2025-11-28`.
    Day(NaiveDate),
}

impl Moment {
    /// The day on which it falls, in UTC.
    #[must_use]
    pub fn day(self) -> NaiveDate {
        match self {
            Self::Instant(at) => at.date_naive(),
            Self::Day(day) => day,
        }
    }
}

/// When a release may be used (`releases.metadata.availability`). Where it is absent: from the
/// street date on, until further notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReleaseAvailability {
    /// From when on it can be ordered where downloads are sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_order_from: Option<NaiveDate>,
    /// From when on it may be used, if not from the street date's midnight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// Until when it may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// When and where a single track may be used apart from its release
/// (`tracks.metadata.availability`). Where it is absent: as the release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackAvailability {
    /// From when on, if not from the release's time on: before it for a track that goes ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// Until when, if not for as long as the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// ISO 3166-1 codes; of them, those of the release count. Empty: the release's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub territories: Vec<String>,
    /// It may not be used on its own; it stays a part of the release.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

impl ReleaseAvailability {
    /// Says nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl TrackAvailability {
    /// Says nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use serde_json::json;

    use super::*;

    #[test]
    fn days_and_instants_are_told_apart() {
        let read = |value| serde_json::from_value::<ReleaseAvailability>(value);
        let day = NaiveDate::from_ymd_opt(2025, 11, 28).unwrap();
        let from = read(json!({"from": "2025-11-28"})).unwrap().from;
        assert_eq!(from, Some(Moment::Day(day)));
        let from = read(json!({"from": "2025-11-28T06:00:00+01:00"}))
            .unwrap()
            .from;
        let five = Utc.with_ymd_and_hms(2025, 11, 28, 5, 0, 0).unwrap();
        assert_eq!(from, Some(Moment::Instant(five)));
        assert!(read(json!({"form": "2025-11-28"})).is_err());
        assert!(read(json!({"from": "soon"})).is_err());
    }
}
