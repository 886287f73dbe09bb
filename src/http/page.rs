//! Pages of lists: a bounded number of items, and a cursor that leads to the next.

use std::{fmt::Display, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::{Kind, Problem};

/// The items of a page unless the request says otherwise.
const DEFAULT_LIMIT: u16 = 50;
/// The most items of a page.
pub(crate) const MAX_LIMIT: u16 = 200;
/// Between a time and an id in a place. Neither has it.
const SEPARATOR: char = '.';

/// Which part of a list that takes no conditions.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Where the page begins: `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(crate) limit: Option<u16>,
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items, in the list's order.
    pub(crate) items: Vec<T>,
    /// Give this as `cursor` to get the next page; null: this is the last.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// From one item more than the page holds. `place` names an item's place in the list.
    pub(crate) fn of(mut items: Vec<T>, limit: Limit, place: impl Fn(&T) -> String) -> Self {
        let is_full = items.len() > limit.0.into();
        items.truncate(limit.0.into());
        let next = items
            .last()
            .filter(|_| is_full)
            .map(|last| URL_SAFE_NO_PAD.encode(place(last)));
        Self { items, next }
    }

    /// A list that is never long.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// How many items a page has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(u16);

impl Limit {
    /// As the request asks.
    pub(crate) fn of(asked: Option<u16>) -> Result<Self, Problem> {
        match asked.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(Self(limit)),
            _ => Err(Problem::new(
                Kind::InvalidRequest,
                format!("limit must be from 1 to {MAX_LIMIT}"),
            )),
        }
    }

    /// What to ask the database for: one more shows whether there is a next page.
    pub(crate) fn and_one(self) -> i64 {
        i64::from(self.0) + 1
    }
}

/// The place that a cursor names.
pub(crate) fn place<T>(
    cursor: Option<&str>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| read(&text))
        .map(Some)
        .ok_or_else(|| {
            Problem::new(
                Kind::InvalidRequest,
                "this cursor was not given by this list; begin without one",
            )
        })
}

/// The place of an item in a list by time: microseconds since 1970, and the id.
pub(crate) fn at_moment(at: DateTime<Utc>, id: impl Display) -> String {
    format!("{}{SEPARATOR}{id}", at.timestamp_micros())
}

/// What [`at_moment`] wrote.
pub(crate) fn moment<I: FromStr>(place: &str) -> Option<(DateTime<Utc>, I)> {
    let (at, id) = place.split_once(SEPARATOR)?;
    let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
    Some((at, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        let at = DateTime::from_timestamp_micros(1_795_430_000_000_001).unwrap();
        assert_eq!(moment(&at_moment(at, -7)), Some((at, -7)));
        for wrong in ["", "1", ".", "1.", "x.1", "9999999999999999999.1"] {
            assert_eq!(moment::<i32>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_cursor_leads_on_and_nothing_else_does() {
        let limit = Limit::of(Some(2)).unwrap();
        let page = Page::of(vec![9, 8, 7], limit, ToString::to_string);
        assert_eq!(page.items, [9, 8]);
        let cursor = page.next.unwrap();
        assert_eq!(
            place(Some(&cursor), |text| text.parse::<i32>().ok()).unwrap(),
            Some(8)
        );
        assert_eq!(Page::of(vec![9, 8], limit, ToString::to_string).next, None);
        for wrong in ["", "8", "!!", "AAAA", &URL_SAFE_NO_PAD.encode("x")] {
            let read = place(Some(wrong), |text| text.parse::<i32>().ok());
            assert_eq!(read.unwrap_err().status(), 400, "{wrong:?}");
        }
        assert!(Limit::of(Some(0)).is_err() && Limit::of(Some(201)).is_err());
    }
}
