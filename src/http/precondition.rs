//! ETag and If-Match: what somebody decides upon is what they have seen.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::problem::{Kind, Problem};

/// A thing with its ETag.
pub(crate) struct Tagged<T> {
    pub(crate) version: String,
    pub(crate) of: T,
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let tag = HeaderValue::from_str(&format!("\"{}\"", self.version));
        let mut response = Json(self.of).into_response();
        if let Ok(tag) = tag {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// `If-Match`: the version that must be in force; none: any.
pub(crate) struct IfMatch(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self(None));
        };
        let unreadable = || {
            Problem::new(
                Kind::InvalidRequest,
                "If-Match must be one ETag as it was given, in quotation marks, or *",
            )
        };
        let text = value.to_str().map_err(|_| unreadable())?.trim();
        if text == "*" {
            return Ok(Self(None));
        }
        text.strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .filter(|tag| !tag.contains('"'))
            .map(|tag| Self(Some(tag.to_owned())))
            .ok_or_else(unreadable)
    }
}
