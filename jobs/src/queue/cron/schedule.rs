//! Cron expressions: their ticks, computed and not waited for.

use std::fmt;

use chrono::{DateTime, SubsecRound as _, Utc};
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};

/// A cron expression in UTC.
#[derive(Clone, Debug)]
pub struct Schedule {
    expression: String,
    cron: Cron,
}

/// An expression that cannot be read, or has no tick.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{expression:?} is no cron expression: {problem}; write minute, hour, day of month, month and \
     day of week, such as \"30 2 * * *\" for half past two every night, in UTC"
)]
pub struct InvalidExpression {
    expression: String,
    problem: String,
}

impl Schedule {
    /// Reads `minute hour day month weekday`, or six fields with seconds before them. A day of
    /// month and a day of week must both match.
    ///
    /// # Errors
    /// [`InvalidExpression`].
    pub fn new(expression: &str) -> Result<Self, InvalidExpression> {
        let invalid = |problem: String| InvalidExpression {
            expression: expression.to_owned(),
            problem,
        };
        let with_seconds = match expression.split_whitespace().count() {
            5 => format!("0 {}", expression.trim()),
            6 => expression.trim().to_owned(),
            fields => return Err(invalid(format!("it has {fields} fields"))),
        };
        // As tokio-cron-scheduler has it, so that both mean the same.
        let cron = CronParser::builder()
            .seconds(Seconds::Required)
            .dom_and_dow(true)
            .build()
            .parse(&with_seconds)
            .map_err(|error| invalid(error.to_string()))?;
        // The thirtieth of February.
        if cron
            .find_next_occurrence(&DateTime::UNIX_EPOCH, true)
            .is_err()
        {
            return Err(invalid("it never comes".to_owned()));
        }
        Ok(Self {
            expression: expression.trim().to_owned(),
            cron,
        })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The expression with seconds.
    pub(super) fn with_seconds(&self) -> String {
        self.cron.pattern.to_string()
    }

    /// The last tick at or before `now`. `None`: there was none since the beginning of time.
    #[must_use]
    pub fn last_tick(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron
            .find_previous_occurrence(&now.trunc_subsecs(0), true)
            .ok()
    }

    /// The first tick after `now`.
    #[must_use]
    pub fn next_tick(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron
            .find_next_occurrence(&now.trunc_subsecs(0), false)
            .ok()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn ticks_come_from_the_expression() {
        let nightly = Schedule::new(" 30 2 * * * ").unwrap();
        assert_eq!(nightly.to_string(), "30 2 * * *");
        for (now, last, next) in [
            (
                "2026-05-01T02:29:59.999Z",
                "2026-04-30T02:30:00Z",
                "2026-05-01T02:30:00Z",
            ),
            (
                "2026-05-01T02:30:00.001Z",
                "2026-05-01T02:30:00Z",
                "2026-05-02T02:30:00Z",
            ),
        ] {
            assert_eq!(nightly.last_tick(at(now)), Some(at(last)));
            assert_eq!(nightly.next_tick(at(now)), Some(at(next)));
        }
        let every_second = Schedule::new("* * * * * *").unwrap();
        assert_eq!(
            every_second.last_tick(at("2026-05-01T02:29:59.999Z")),
            Some(at("2026-05-01T02:29:59Z"))
        );
    }

    #[test]
    fn what_is_no_expression_says_how_one_looks() {
        for (expression, problem) in [
            ("", "0 fields"),
            ("30 2 * *", "4 fields"),
            ("61 2 * * *", "61"),
            ("0 0 30 2 *", "it never comes"),
        ] {
            let error = Schedule::new(expression).unwrap_err().to_string();
            assert!(error.contains("30 2 * * *"), "{error}");
            assert!(
                error.contains(problem) || expression.starts_with("61"),
                "{error}"
            );
        }
    }

    proptest! {
        /// All clocks between two ticks agree on the tick.
        #[test]
        fn the_tick_does_not_depend_on_the_clock_at_hand(
            minute in 0u32..60, hour in 0u32..24, at in 0i64..4_000_000_000, later_ms in 0i64..86_400_000
        ) {
            let schedule = Schedule::new(&format!("{minute} {hour} * * *")).unwrap();
            let now = DateTime::from_timestamp(at, 0).unwrap();
            let last = schedule.last_tick(now).unwrap();
            let next = schedule.next_tick(now).unwrap();
            prop_assert!(last <= now && now < next);
            let within = last + chrono::TimeDelta::milliseconds(later_ms);
            prop_assert_eq!(schedule.last_tick(within), Some(last));
            prop_assert_eq!(schedule.next_tick(within), Some(next));
        }
    }
}
