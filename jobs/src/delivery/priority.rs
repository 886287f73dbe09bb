//! Which of a platform's deliveries goes first. Among equals the oldest does.

use chrono::{DateTime, NaiveDate, Utc};
use platform_adapters::Kind;

/// The first priority in a platform's queue, smaller goes first: closing a batch, for which others wait
/// that have been sent.
pub const PRIORITY_BATCH: i16 = 5;
/// The first priority of a platform's deliveries: what may not be sold any more.
pub const PRIORITY_TAKEDOWN: i16 = 10;
/// The priority of what an operator wants to go before the others.
pub const PRIORITY_EXPEDITED: i16 = 20;
/// The priority of an update that listeners see at once: the street date is close, or just past.
pub const PRIORITY_STREET: i16 = 30;
/// The priority of an update whose street date is further away.
pub const PRIORITY_UPDATE: i16 = 40;
/// The priority of a release that goes to the platform for the first time.
pub const PRIORITY_INSERT: i16 = 50;
/// The priority of a release that has been out for long: back catalogue, which often comes by the
/// ten thousand and may not stand before Friday's releases.
pub const PRIORITY_BACKFILL: i16 = 70;

/// Days around the street date in which an update of a release is urgent.
const STREET_DAYS: i64 = 7;
/// Days after the street date from which an insert is back catalogue.
const BACKFILL_DAYS: i64 = 30;

/// The priority of a new delivery. `street_date` is the release's `release_date`; `None`: unknown.
#[must_use]
pub fn priority(kind: Kind, street_date: Option<NaiveDate>, now: DateTime<Utc>) -> i16 {
    let days_out = street_date.map(|date| (now.date_naive() - date).num_days());
    match kind {
        Kind::Takedown => PRIORITY_TAKEDOWN,
        Kind::Update if days_out.is_some_and(|days| days.abs() <= STREET_DAYS) => PRIORITY_STREET,
        Kind::Update => PRIORITY_UPDATE,
        Kind::Insert if days_out.is_some_and(|days| days > BACKFILL_DAYS) => PRIORITY_BACKFILL,
        Kind::Insert => PRIORITY_INSERT,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Days, TimeZone as _};

    use super::*;

    #[test]
    fn takedowns_then_urgent_updates_then_inserts_then_back_catalogue() {
        let now = Utc.with_ymd_and_hms(2026, 11, 27, 12, 0, 0).unwrap();
        let today = now.date_naive();
        let ahead = |days| today.checked_add_days(Days::new(days));
        let past = |days| today.checked_sub_days(Days::new(days));
        let order = [
            priority(Kind::Takedown, past(400), now),
            priority(Kind::Update, ahead(7), now),
            priority(Kind::Update, ahead(8), now),
            priority(Kind::Insert, ahead(8), now),
            priority(Kind::Insert, past(31), now),
        ];
        assert!(
            order.is_sorted_by(|first, second| first < second),
            "{order:?}"
        );
        assert_eq!(priority(Kind::Update, past(7), now), PRIORITY_STREET);
        assert_eq!(priority(Kind::Update, None, now), PRIORITY_UPDATE);
        assert_eq!(priority(Kind::Insert, None, now), PRIORITY_INSERT);
        assert_eq!(priority(Kind::Insert, past(30), now), PRIORITY_INSERT);
    }
}
