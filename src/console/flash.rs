//! What came of the last form, shown once on the page that follows it.

use axum::http::{HeaderMap, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const COOKIE: &str = "tmw_note";
/// Cookies may have four kilobytes; a sentence needs less.
const LENGTH: usize = 600;

/// A sentence, and whether it is good news.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) is_good: bool,
    pub(super) text: String,
}

impl Note {
    pub(super) fn good(text: impl Into<String>) -> Self {
        Self {
            is_good: true,
            text: text.into(),
        }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self {
            is_good: false,
            text: text.into(),
        }
    }

    /// The cookie that carries it to the next page.
    pub(super) fn cookie(&self) -> Option<HeaderValue> {
        let text: String = self.text.chars().take(LENGTH).collect();
        let text = utf8_percent_encode(&text, NON_ALPHANUMERIC);
        let kind = if self.is_good { 'g' } else { 'b' };
        let cookie =
            format!("{COOKIE}={kind}{text}; Path=/console; Max-Age=20; HttpOnly; SameSite=Strict");
        HeaderValue::from_str(&cookie).ok()
    }

    /// The one that a request carries.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = cookie(headers, COOKIE)?;
        let (kind, text) = (value.chars().next()?, value.get(1..)?);
        Some(Self {
            is_good: kind == 'g',
            text: percent_decode_str(text).decode_utf8_lossy().into_owned(),
        })
    }
}

/// The cookie that takes the note away.
pub(super) fn shown() -> HeaderValue {
    HeaderValue::from_static("tmw_note=; Path=/console; Max-Age=0; HttpOnly; SameSite=Strict")
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
