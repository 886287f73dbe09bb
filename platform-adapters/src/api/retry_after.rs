//! `Retry-After`, in both its forms, brought down to a wait that makes sense.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// No partner is asked again sooner than this: a date in the past means "now", not "at once, for
/// ever".
const SHORTEST: Duration = Duration::from_secs(1);

/// No partner makes us wait longer than this: a slip of the pen must not park a delivery for years.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait that a `Retry-After` header asks for: seconds, or one of HTTP's three date forms, which
/// is compared with `now`. `None` when it is neither.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a wait longer than the longest.
        value.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let at: DateTime<Utc> = httpdate::parse_http_date(value).ok()?.into();
        (at - now).to_std().unwrap_or(SHORTEST)
    };
    Some(wait.clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
    }

    #[test]
    fn both_forms_are_understood_and_clamped() {
        let seconds = |value: &str| retry_after(value, now()).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("0"), Some(1));
        assert_eq!(seconds("99999999999999999999999999"), Some(86_400));
        assert_eq!(seconds("Sun, 01 Mar 2026 12:01:30 GMT"), Some(90));
        assert_eq!(seconds("Sunday, 01-Mar-26 12:01:30 GMT"), Some(90));
        assert_eq!(seconds("Sun Mar  1 12:01:30 2026"), Some(90));
        assert_eq!(seconds("Sun, 01 Mar 2020 12:00:00 GMT"), Some(1));
        assert_eq!(seconds("Fri, 31 Dec 9999 23:59:59 GMT"), Some(86_400));
        for neither in ["", "soon", "-5", "1.5", "2026-03-01T12:00:00Z"] {
            assert_eq!(seconds(neither), None, "{neither:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_sane_wait_or_none(value in ".{0,40}") {
            if let Some(wait) = retry_after(&value, now()) {
                prop_assert!(wait >= SHORTEST && wait <= LONGEST);
            }
        }

        #[test]
        fn a_date_is_as_far_away_as_it_says(seconds in 1u64..86_400) {
            let at = now() + Duration::from_secs(seconds);
            let value = httpdate::fmt_http_date(at.into());
            prop_assert_eq!(retry_after(&value, now()), Some(Duration::from_secs(seconds)));
        }
    }
}
