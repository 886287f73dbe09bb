//! What went wrong with a request, as RFC 9457 has it. Types are stable: programs may go by them;
//! titles and details are for people.

use axum::{
    Json,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
const MEDIA_TYPE: &str = "application/problem+json";
/// SQLSTATE of a statement that took too long.
const QUERY_CANCELED: &str = "57014";

/// A kind of problem: its type, status and title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unauthorized,
    Unsigned,
    Forbidden,
    SlowDown,
    RateLimited,
    NotFound,
    MethodNotAllowed,
    InvalidRequest,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidValue,
    Refused,
    CountChanged,
    PreconditionFailed,
    IdempotencyKeyReused,
    RequestUnderWay,
    Overloaded,
    TooExpensive,
    Timeout,
    DatabaseUnavailable,
    Internal,
}

impl Kind {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "A valid key is needed"),
            Self::Unsigned => (S::UNAUTHORIZED, "unsigned", "A valid signature is needed"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "The key may not do this"),
            Self::SlowDown => (S::TOO_MANY_REQUESTS, "slow-down", "Too many wrong keys"),
            Self::RateLimited => (
                S::TOO_MANY_REQUESTS,
                "rate-limited",
                "Too many requests with one key",
            ),
            Self::NotFound => (S::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "This cannot be done here",
            ),
            Self::InvalidRequest => (
                S::BAD_REQUEST,
                "invalid-request",
                "The request cannot be read",
            ),
            Self::BodyTooLarge => (
                S::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The body is too large",
            ),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body must be JSON",
            ),
            Self::InvalidValue => (
                S::UNPROCESSABLE_ENTITY,
                "invalid-value",
                "A value in the request cannot be",
            ),
            Self::Refused => (S::CONFLICT, "refused", "It cannot be done as things stand"),
            Self::CountChanged => (S::CONFLICT, "count-changed", "More fit than were expected"),
            Self::PreconditionFailed => (
                S::PRECONDITION_FAILED,
                "precondition-failed",
                "It has changed since it was read",
            ),
            Self::IdempotencyKeyReused => (
                S::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "Another request was made with this idempotency key",
            ),
            Self::RequestUnderWay => (
                S::CONFLICT,
                "request-under-way",
                "The request with this idempotency key is still under way",
            ),
            Self::Overloaded => (
                S::SERVICE_UNAVAILABLE,
                "overloaded",
                "Too many requests at once",
            ),
            Self::TooExpensive => (
                S::SERVICE_UNAVAILABLE,
                "too-expensive",
                "The answer took too long to find",
            ),
            Self::Timeout => (S::GATEWAY_TIMEOUT, "timeout", "The request took too long"),
            Self::DatabaseUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "database-unavailable",
                "The database does not answer",
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "A fault of the worker",
            ),
        }
    }
}

/// A problem, as it is answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of problem it is: `urn:tunemantra-worker:problem:` and a word that does not change.
    #[serde(rename = "type")]
    #[schema(example = "urn:tunemantra-worker:problem:refused")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// What happened this time, and what to do.
    detail: String,
    #[serde(skip)]
    #[schema(ignore)]
    retry_after_s: Option<u64>,
    #[serde(skip)]
    #[schema(ignore)]
    of: Option<Kind>,
}

impl Problem {
    pub(crate) fn new(of: Kind, detail: impl Into<String>) -> Self {
        let (status, word, title) = of.parts();
        Self {
            kind: format!("urn:tunemantra-worker:problem:{word}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            retry_after_s: None,
            of: Some(of),
        }
    }

    pub(crate) fn after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Kind::InvalidValue, detail)
    }

    pub(crate) fn stale() -> Self {
        Self::new(
            Kind::PreconditionFailed,
            "read it again, and send the ETag of what you have read as If-Match",
        )
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn title(&self) -> &'static str {
        self.title
    }
}

impl From<sqlx::Error> for Problem {
    /// What the database said is for the log: it may hold what nobody outside should read.
    fn from(error: sqlx::Error) -> Self {
        let sqlstate = error.as_database_error().and_then(|error| error.code());
        match (&error, sqlstate.as_deref()) {
            (_, Some(QUERY_CANCELED)) => Self::new(
                Kind::TooExpensive,
                "give more conditions, such as a platform or a state, or try again later",
            )
            .after(10),
            (sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Tls(_), _) => {
                tracing::warn!(%error, "a request could not be answered for lack of the database");
                Self::new(Kind::DatabaseUnavailable, "try again in a while").after(5)
            }
            // Shutting down, or too many connections.
            (_, Some(code)) if code.starts_with("57P") || code == "53300" => {
                tracing::warn!(%error, "a request could not be answered for lack of the database");
                Self::new(Kind::DatabaseUnavailable, "try again in a while").after(5)
            }
            _ => {
                tracing::error!(%error, "a request failed");
                Self::new(
                    Kind::Internal,
                    "the worker's log says more, by the request's X-Request-Id",
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.of == Some(Kind::Unauthorized) {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"tunemantra-worker\""),
            );
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Answers a path that there is not.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    let known = "the API is described by /api/v1/openapi.json";
    Problem::missing(format!("there is nothing at {}; {known}", uri.path()))
}

/// Answers a method that a path does not have.
pub(super) async fn no_such_method(method: Method) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{method} is not for this path"),
    )
}
