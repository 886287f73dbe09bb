//! Pages of lists: a bounded number of items, and a cursor that leads to the next.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Kind, Problem};

/// The items of a page unless the request says otherwise.
const DEFAULT_LIMIT: u16 = 50;
/// The most items of a page.
pub(crate) const MAX_LIMIT: u16 = 200;

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

#[cfg(test)]
mod tests {
    use super::*;

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
