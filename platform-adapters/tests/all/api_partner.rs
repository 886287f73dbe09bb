//! An HTTP partner that a test writes in a few lines: it sees every request whole and says what to
//! answer.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use futures_util::StreamExt;
use tokio::net::TcpListener;

/// A request as the partner saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the partner answers: status, headers, body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

pub(crate) fn json(status: u16, body: serde_json::Value) -> Answer {
    (status, Vec::new(), body.to_string().into_bytes())
}

type Behaviour = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

/// How many bytes of a request's body the partner reads before it breaks off.
type Patience = Arc<dyn Fn(&Method, &str) -> Option<usize> + Send + Sync>;

#[derive(Clone)]
struct Shared {
    seen: Arc<Mutex<Vec<Seen>>>,
    behaviour: Behaviour,
    patience: Patience,
}

pub(crate) struct ScriptedPartner {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl ScriptedPartner {
    pub(crate) async fn start(behaviour: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::impatient(behaviour, |_, _| None).await
    }

    pub(crate) async fn impatient(
        behaviour: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        patience: impl Fn(&Method, &str) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::default();
        let shared = Shared {
            seen: Arc::clone(&seen),
            behaviour: Arc::new(behaviour),
            patience: Arc::new(patience),
        };
        let router = Router::new().fallback(answer).with_state(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// `POST /v1/releases`, one line for each request.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen()
            .iter()
            .map(|seen| format!("{} {}", seen.method, seen.path))
            .collect()
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head
        .uri
        .path_and_query()
        .map_or_else(String::new, ToString::to_string);
    let limit = (shared.patience)(&head.method, &path);
    let mut body = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = body.next().await {
        bytes.extend_from_slice(&chunk);
        if limit.is_some_and(|limit| bytes.len() >= limit) {
            bytes.truncate(limit.unwrap());
            break;
        }
    }
    let seen = Seen {
        method: head.method,
        path,
        headers: head.headers,
        body: bytes,
    };
    let (status, headers, body) = (shared.behaviour)(&seen);
    shared.seen.lock().unwrap().push(seen);
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}
