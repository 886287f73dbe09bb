//! A partner's answer: untrusted text from which a receipt or a fault is made.

use chrono::{DateTime, Utc};
use reqwest::{
    StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER},
};
use serde_json::Value;

use super::retry_after::retry_after;
use crate::{Code, Evidence, Fault};

/// No more of an answer is read.
pub(super) const LARGEST_BYTES: usize = 1 << 20;

/// No more of a partner's words stands in a sentence; the whole answer is kept as evidence.
const LONGEST_WORDS: usize = 500;

/// What came back for a request, without any secret.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// There was more than [`LARGEST_BYTES`].
    pub(super) is_cut: bool,
    pub(super) received_at: DateTime<Utc>,
}

impl Answer {
    /// The answer as it came, to be kept.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence {
            name: format!("answer-{}", self.status.as_u16()),
            media_type: self
                .header(&CONTENT_TYPE)
                .map_or_else(|| "application/octet-stream".into(), one_line),
            body: self.body.clone(),
        }
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer's JSON document, or what is wrong with it.
    pub(super) fn json(&self) -> Result<Value, String> {
        if self.is_cut {
            return Err(format!("it is longer than {LARGEST_BYTES} bytes"));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            if self.body.is_empty() {
                "it is empty".to_owned()
            } else if let Some(coding) = self.header(&CONTENT_ENCODING) {
                format!(
                    "it is compressed ({}), which nobody asked for",
                    one_line(coding)
                )
            } else {
                format!("it is not JSON ({error}): {}", self.words(""))
            }
        })
    }

    /// What the partner says, for a person: the reason at `pointer`, what usually holds one, or the
    /// text itself.
    pub(super) fn words(&self, pointer: &str) -> String {
        let json: Option<Value> = serde_json::from_slice(&self.body).ok();
        let named = json.as_ref().and_then(|json| {
            Some(pointer)
                .filter(|pointer| !pointer.is_empty())
                .into_iter()
                .chain(["/detail", "/message", "/error/message", "/error", "/title"])
                .find_map(|pointer| text_at(json, pointer))
        });
        let words = named.unwrap_or_else(|| one_line(&String::from_utf8_lossy(&self.body)));
        if words.is_empty() {
            "it gives no reason".into()
        } else {
            words
        }
    }

    /// The fault that an answer other than 2xx is. `asked` reads on after the platform's name:
    /// `did not take "Fjord" (UPC …)`.
    pub(super) fn fault(&self, platform: &str, asked: &str, reason: &str) -> Fault {
        let wait = self
            .header(&RETRY_AFTER)
            .and_then(|value| retry_after(value, self.date()));
        let code = match self.status.as_u16() {
            401 | 403 => Code::CredentialsRefused,
            429 => Code::Throttled,
            503 if wait.is_some() => Code::Throttled,
            507 => Code::PartnerFull,
            408 | 425 | 500..=599 => Code::PartnerError,
            300..=399 => Code::SettingsInvalid,
            _ => Code::PartnerRefused,
        };
        let words = if self.status.is_redirection() {
            format!(
                "it redirects to {}, and redirects are not followed",
                one_line(self.header(&LOCATION).unwrap_or("nowhere"))
            )
        } else {
            self.words(reason)
        };
        let fault = Fault::new(
            code,
            format!("{platform} {asked}: {}: {words}", self.status),
        )
        .with_retry_after(wait)
        .with_evidence(self.evidence());
        if self.status.is_redirection() {
            return fault.with_remedy(
                "Set api_endpoint to the address the partner now uses, if you trust it; then \
                 let the platform go on with `platforms resume`.",
            );
        }
        fault
    }

    /// The partner's clock, on which its `Retry-After` date stands; ours where it does not tell.
    fn date(&self) -> DateTime<Utc> {
        self.header(&DATE)
            .and_then(|value| httpdate::parse_http_date(value).ok())
            .map_or(self.received_at, Into::into)
    }
}

/// The text or number at a JSON pointer; nothing for an empty text.
pub(super) fn text_at(json: &Value, pointer: &str) -> Option<String> {
    let text = match json.pointer(pointer)? {
        Value::String(text) => one_line(text),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Whether a JSON pointer ends at a list with nothing in it.
pub(super) fn leads_into_an_empty_list(json: &Value, pointer: &str) -> bool {
    let ends = pointer.match_indices('/').map(|(at, _)| at).skip(1);
    ends.chain([pointer.len()])
        .filter_map(|end| json.pointer(pointer.get(..end)?))
        .chain([json])
        .any(|value| value.as_array().is_some_and(Vec::is_empty))
}

/// The value at a JSON pointer as the partner gave it, to be kept; nothing for an empty text.
pub(super) fn value_at(json: &Value, pointer: &str) -> Option<String> {
    match json.pointer(pointer)? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
    .filter(|text| !text.is_empty())
}

/// A partner's text as part of a sentence: one line, no control characters, not too long.
pub(super) fn one_line(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(LONGEST_WORDS) {
        Some((at, _)) => format!("{}…", words.get(..at).unwrap_or_default()),
        None => words,
    }
}
