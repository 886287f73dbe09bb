//! A period of royalties: a calendar month.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike as _, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A month, written `2026-10`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(into = "String", try_from = "String")]
#[schema(value_type = String, pattern = "^[1-9][0-9]{3}-(0[1-9]|1[0-2])$", example = "2026-10")]
pub struct Period(NaiveDate);

/// A text that names no month.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no period: write year and month, such as 2026-10")]
pub struct InvalidPeriod(String);

impl Period {
    /// The month of a day.
    #[must_use]
    pub fn of(day: NaiveDate) -> Self {
        Self(day.with_day(1).unwrap_or(day))
    }

    /// The last month that was over `grace_days` ago.
    #[must_use]
    pub fn due(now: DateTime<Utc>, grace_days: u32) -> Self {
        let day = now.date_naive() - chrono::Days::new(grace_days.into());
        Self::of(day).earlier(1)
    }

    /// The month's first day.
    #[must_use]
    pub fn first_day(self) -> NaiveDate {
        self.0
    }

    /// The month after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add_months(Months::new(1)).unwrap_or(self.0))
    }

    /// So many months before.
    #[must_use]
    pub fn earlier(self, months: u32) -> Self {
        Self(
            self.0
                .checked_sub_months(Months::new(months))
                .unwrap_or(self.0),
        )
    }

    /// So many months after.
    #[must_use]
    pub fn later(self, months: u32) -> Self {
        Self(
            self.0
                .checked_add_months(Months::new(months))
                .unwrap_or(self.0),
        )
    }

    /// Whether the month's last day has passed.
    #[must_use]
    pub fn is_over(self, now: DateTime<Utc>) -> bool {
        now.date_naive() >= self.next().first_day()
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let invalid = || InvalidPeriod(text.to_owned());
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
        if text.len() != 7 || !is_plain || text.starts_with(['-', '0']) {
            return Err(invalid());
        }
        let day = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d");
        day.map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m"))
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidPeriod;

    fn try_from(text: String) -> Result<Self, InvalidPeriod> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_month() {
        let october: Period = "2026-10".parse().unwrap();
        assert_eq!(october.next().to_string(), "2026-11");
        assert_eq!(october.earlier(10).to_string(), "2025-12");
        for text in [
            "2026-13",
            "2026-1",
            "2026",
            "2026-10-01",
            "",
            "2026/10",
            "+999-01",
            "-999-01",
            "0000-01",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert!(!october.is_over(at("2026-10-31T23:59:59Z")));
        assert!(october.is_over(at("2026-11-01T00:00:00Z")));
        assert_eq!(
            Period::due(at("2026-11-10T03:00:00Z"), 10).to_string(),
            "2026-09"
        );
        assert_eq!(
            Period::due(at("2026-11-11T03:00:00Z"), 10).to_string(),
            "2026-10"
        );
    }
}
