//! The fields of a form that somebody sent, or of an address.

use std::convert::Infallible;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};

use super::failure::Failure;
use crate::http::{Kind, Problem};

/// What a form holds, in its order.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn of(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// The first of this name; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// One that was filled in.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        Some(self.text(name).trim()).filter(|text| !text.is_empty())
    }

    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(Kind::InvalidRequest, rejection.body_text()))?;
        Ok(Self::of(&body))
    }
}

/// What stands in the address after the question mark.
pub(super) struct Query(pub(super) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(Fields::of(query.as_bytes())))
    }
}
