//! Lead times: a new release that is handed over later before its street date than the partner wants.
//! It is sent all the same, since later still is worse; people are told.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use platform_adapters::{Kind, package::Package};

use super::row::Delivery;

/// How little time the partner has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShortNotice {
    street_date: NaiveDate,
    /// From the hand-over on.
    days_left: i64,
    /// `requirements.lead_days`.
    lead_days: u16,
}

impl ShortNotice {
    /// Of what is handed over now. `None` where there is time enough; and for what is on sale already,
    /// to which no lead time applies.
    pub(super) fn of(
        delivery: &Delivery,
        package: Option<&Package>,
        lead_days: u16,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let street_date = package?.release.release_date;
        let days_left = (street_date - now.date_naive()).num_days();
        let is_short = (0..i64::from(lead_days)).contains(&days_left);
        let is_new = delivery.kind == Kind::Insert && delivery.transmission == 1;
        (is_short && is_new).then_some(Self {
            street_date,
            days_left,
            lead_days,
        })
    }
}

impl fmt::Display for ShortNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            street_date,
            days_left,
            lead_days,
        } = self;
        write!(
            f,
            "handed over {days_left} days before its street date, {street_date}; the partner wants \
             {lead_days} days"
        )
    }
}
