//! The answers of the sandbox's HTTP partner that are a no, and those that are none.

use std::io;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{misbehave::Misbehaviour, reception::Refusal};

/// A no with its reason.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    reason: String,
    retry_after: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            retry_after: None,
        }
    }

    pub(super) fn with_retry_after(mut self, value: Option<&str>) -> Self {
        self.retry_after = value.map(str::to_owned);
        self
    }

    /// The partner's own disk does not work.
    pub(super) fn failed(error: &io::Error) -> Self {
        tracing::error!(%error, "the sandbox's own disk fails");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut answer = (self.status, Json(json!({"reason": self.reason}))).into_response();
        let wait = self
            .retry_after
            .and_then(|value| HeaderValue::try_from(value).ok());
        if let Some(wait) = wait {
            answer.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        answer
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(reason) => Self::new(StatusCode::BAD_REQUEST, reason),
            Refusal::Wrong(violations) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, violations.join("; "))
            }
            Refusal::Conflict(reason) => Self::new(StatusCode::CONFLICT, reason),
            Refusal::Cut => Self::new(StatusCode::BAD_REQUEST, "the connection was cut"),
            Refusal::Failed(error) => Self::failed(&error),
        }
    }
}

/// What a partner answers that takes nothing.
pub(super) fn wrong_answer(misbehaviour: &Misbehaviour) -> Response {
    let problem = match misbehaviour {
        Misbehaviour::Unavailable { retry_after } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "we are being maintained")
                .with_retry_after(retry_after.as_deref())
        }
        Misbehaviour::TooManyRequests { retry_after } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "you are too fast for us")
                .with_retry_after(retry_after.as_deref())
        }
        Misbehaviour::RefuseCredentials => {
            Problem::new(StatusCode::UNAUTHORIZED, "the token has been withdrawn")
        }
        Misbehaviour::Garbage => {
            let kind = [(header::CONTENT_TYPE, "text/html")];
            return (kind, "<html><body>It works!</body></html>").into_response();
        }
        Misbehaviour::Refuse { reason } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason.as_str())
        }
        Misbehaviour::CutAfter { .. }
        | Misbehaviour::CutBeforeAnswer
        | Misbehaviour::RejectLater { .. }
        | Misbehaviour::Slow { .. } => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this misbehaviour is for hand-overs",
        ),
    };
    problem.into_response()
}
