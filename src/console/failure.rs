//! Pages for what went wrong, and the headers of every page.

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};

use jobs::royalty::Refused;

use super::{assets, frame::render};
use crate::http::{App, Problem};

/// Scripts, styles and requests go to ourselves alone, and nothing is written into pages that a
/// browser would run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A problem, shown to a person.
#[derive(Debug)]
pub(super) struct Failure(Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self(error.into())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self(refused.into())
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct Page<'a> {
    css: String,
    icon: String,
    status: u16,
    title: &'a str,
    detail: &'a str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let page = Page {
            css: assets::address("console.css"),
            icon: assets::address("icon.svg"),
            status: self.0.status().as_u16(),
            title: self.0.title(),
            detail: self.0.detail(),
        };
        (self.0.status(), render(&page)).into_response()
    }
}

pub(super) async fn no_such_page(uri: Uri) -> Failure {
    Problem::missing(format!("there is no page {}", uri.path())).into()
}

/// Puts the headers of a page on every answer of the console.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(POLICY));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    if app.config.is_behind_tls() {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    response
}

/// A template that could not be rendered.
pub(super) fn unrendered(error: &askama::Error) -> Response {
    tracing::error!(%error, "a page could not be rendered");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        Html("a fault of the worker"),
    )
        .into_response()
}
