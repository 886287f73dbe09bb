//! The answers of the sandbox's HTTP partner that are a no, and those that are none.

use std::io;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::Utc;
use serde_json::json;

use super::{Ledger, ledger::Refused, misbehave::Misbehaviour, reception::Refusal};

/// Goes with an answer that is a no, for the ledger.
#[derive(Clone, Debug)]
struct Reasons(Vec<String>);

/// Remembers in the ledger what is refused. A look-up that finds nothing is an answer like any
/// other.
pub(super) async fn remember_refusals(
    State(ledger): State<Ledger>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let asked = format!("{method} {}", request.uri().path());
    let key = request
        .headers()
        .get("idempotency-key")
        .map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    let answer = next.run(request).await;
    let found_nothing = method == Method::GET && answer.status() == StatusCode::NOT_FOUND;
    if let Some(Reasons(reasons)) = answer.extensions().get::<Reasons>()
        && !found_nothing
    {
        let refused = Refused {
            at: Utc::now(),
            request: asked,
            key,
            status: answer.status().as_u16(),
            reasons: reasons.clone(),
        };
        if let Err(error) = ledger.refuse(&refused) {
            tracing::error!(%error, "the sandbox's ledger cannot be written");
        }
    }
    answer
}

/// A no with its reasons.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    reasons: Vec<String>,
    retry_after: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self::of_all(status, vec![reason.into()])
    }

    fn of_all(status: StatusCode, reasons: Vec<String>) -> Self {
        Self {
            status,
            reasons,
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
        let reason = self.reasons.join("; ");
        let mut answer = (self.status, Json(json!({"reason": reason}))).into_response();
        answer.extensions_mut().insert(Reasons(self.reasons));
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
                Self::of_all(StatusCode::UNPROCESSABLE_ENTITY, violations)
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
            let mut answer = (kind, "<html><body>It works!</body></html>").into_response();
            let reason = "answered with a page that is no answer, as it was asked to".to_owned();
            answer.extensions_mut().insert(Reasons(vec![reason]));
            return answer;
        }
        Misbehaviour::Refuse { reason } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason.as_str())
        }
        Misbehaviour::CutAfter { .. }
        | Misbehaviour::CutBeforeAnswer
        | Misbehaviour::RejectLater { .. }
        | Misbehaviour::Slow { .. }
        | Misbehaviour::Stall { .. }
        | Misbehaviour::Full
        | Misbehaviour::ReadOnly
        | Misbehaviour::OtherHostKey
        | Misbehaviour::Acknowledge { .. } => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this misbehaviour is for hand-overs, or for SFTP",
        ),
    };
    problem.into_response()
}
