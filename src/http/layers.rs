//! What is around every request: its id, its bounds in size, time and number, the headers of every
//! answer, and the count of it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    App,
    problem::{Kind, Problem},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request in its answer, the log and the audit.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestId(pub(crate) String);

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Peer {
    pub(crate) fn ip(self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}

impl Default for Peer {
    fn default() -> Self {
        Self((Ipv4Addr::UNSPECIFIED, 0).into())
    }
}

#[derive(Clone)]
struct Bounds {
    app: App,
    requests: Arc<Semaphore>,
}

/// Puts it all around the routes.
pub(super) fn around(routes: Router<App>, app: &App) -> Router<App> {
    let bounds = Bounds {
        app: app.clone(),
        requests: Arc::new(Semaphore::new(app.config.max_requests)),
    };
    routes
        .layer(DefaultBodyLimit::max(app.config.max_body_bytes))
        .layer(from_fn_with_state(bounds, bounded))
}

async fn bounded(State(bounds): State<Bounds>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId(Uuid::now_v7().simple().to_string());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let mut response = match bounds.requests.try_acquire() {
        Ok(_permit) => answered(&bounds.app, &method, request, next, &id).await,
        Err(_) => Problem::new(Kind::Overloaded, "try again in a moment")
            .after(1)
            .into_response(),
    };
    let status = response.status().as_u16();
    bounds
        .app
        .metrics
        .answered(&method, &path, status, began.elapsed());
    tracing::debug!(
        request_id = id.0, %method, path, status,
        duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "answered"
    );
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    response
}

async fn answered(
    app: &App,
    method: &Method,
    request: Request,
    next: Next,
    id: &RequestId,
) -> Response {
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    let limit = Duration::from_secs(app.config.request_timeout_s);
    // A change that was begun goes to its end, whatever becomes of whoever asked for it.
    let ended = if is_safe(method) {
        tokio::time::timeout(limit, work).await
    } else {
        let work = tokio::spawn(work);
        tokio::time::timeout(limit, work)
            .await
            .map(|joined| joined.unwrap_or_else(|error| Err(Box::new(error.to_string()))))
    };
    match ended {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            tracing::error!(request_id = id.0, %method, "a request ended in a panic");
            Problem::new(
                Kind::Internal,
                "the worker's log says more, by the request's X-Request-Id",
            )
            .into_response()
        }
        Err(_elapsed) => Problem::new(
            Kind::Timeout,
            "it may still be done: look before you ask again, or ask with the same Idempotency-Key",
        )
        .into_response(),
    }
}

/// A request that changes nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
