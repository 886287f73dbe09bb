//! `Idempotency-Key`: a POST that is repeated with the same key gets the first answer, and nothing
//! is done twice.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jobs::access::{self, Answer, Begun, Repeatable};
use uuid::Uuid;

use super::{
    App,
    caller::Caller,
    problem::{Kind, Problem},
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// As long as a UUID and a name.
const KEY_BYTES: usize = 255;
/// No answer to a POST is nearly so long.
const ANSWER_BYTES: usize = 1 << 20;

/// Keeps the answers of POSTs with a key.
pub(super) async fn keep(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    match kept(&app, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn kept(app: &App, request: Request, next: Next) -> Result<Response, Problem> {
    let (request, repeatable) = repeatable(app, request).await?;
    match access::begin(&app.pool, &repeatable, (app.clock)()).await? {
        Begun::First => {}
        Begun::Repeated(answer) => return Ok(repeated(answer)),
        Begun::UnderWay => {
            let detail = "wait for its answer, then ask again";
            return Err(Problem::new(Kind::RequestUnderWay, detail).after(1));
        }
        Begun::Different => {
            let detail = "take another key for another request";
            return Err(Problem::new(Kind::IdempotencyKeyReused, detail));
        }
    }
    let response = next.run(request).await;
    let status = response.status();
    // A fault of ours, and a precondition that failed, are no answer to hold on to.
    if status.is_server_error() || status == StatusCode::PRECONDITION_FAILED {
        access::given_up(&app.pool, &repeatable).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = read(body, ANSWER_BYTES).await?;
    let media_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let answer = Answer {
        status: status.as_u16(),
        media_type: media_type.to_owned(),
        body: body.to_vec(),
    };
    access::answered(&app.pool, &repeatable, &answer).await?;
    Ok(Response::from_parts(parts, body.into()))
}

/// The request with its body read, and what it is known by.
async fn repeatable(app: &App, request: Request) -> Result<(Request, Repeatable), Problem> {
    let (parts, body) = request.into_parts();
    let caller = parts.extensions.get::<Caller>().cloned();
    let Some(caller) = caller else {
        return Err(Problem::new(
            Kind::Internal,
            "the request was not authenticated",
        ));
    };
    let idempotency_key = parts
        .headers
        .get(KEY)
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned)
        .filter(|key| (1..=KEY_BYTES).contains(&key.len()))
        .filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or_else(|| {
            let detail = format!("Idempotency-Key must have 1 to {KEY_BYTES} printable characters of ASCII and no space");
            Problem::new(Kind::InvalidRequest, detail)
        })?;
    let body = read(body, app.config.max_body_bytes).await?;
    let mut content = format!("{} {}\n", parts.method, parts.uri).into_bytes();
    content.extend_from_slice(&body);
    let repeatable = Repeatable {
        key_id: caller.admitted.key_id,
        idempotency_key,
        fingerprint: access::fingerprint(&content),
        token: Uuid::now_v7(),
    };
    Ok((Request::from_parts(parts, Body::from(body)), repeatable))
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    to_bytes(body, limit).await.map_err(|_| {
        Problem::new(
            Kind::BodyTooLarge,
            format!("at most {limit} bytes are taken"),
        )
    })
}

fn repeated(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    if let Ok(media_type) = HeaderValue::from_str(&answer.media_type) {
        headers.insert(header::CONTENT_TYPE, media_type);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
