//! A database with what an operator looks at, and requests to the routes.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, header},
};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    access::{self, NewKey, Scope, Scopes},
    audit::By,
    clock,
    queue::cron::Schedule,
    retention, royalty, schedule,
    vitals::Vitals,
};
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use test_support::{TestDatabase, catalogue};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    config::{Assets, Config, Http},
    connection::Means,
    http,
};

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) assets: TempDir,
    pub(crate) routes: Router,
    pub(crate) owner: i32,
    ahead: Arc<Mutex<TimeDelta>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The last word of a problem's type.
    pub(crate) fn problem(&self) -> String {
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        let media_type = self.header(header::CONTENT_TYPE);
        assert_eq!(media_type, "application/problem+json", "{self:?}");
        let kind = problem["type"].as_str().unwrap();
        kind.strip_prefix("urn:tunemantra-worker:problem:")
            .unwrap()
            .to_owned()
    }

    /// Fails unless it was answered like this.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let quick = Http {
            wrong_key_delay_ms: 0,
            wrong_keys_per_minute: 100_000,
            ..Http::default()
        };
        Self::with(quick).await
    }

    pub(crate) async fn with(config: Http) -> Self {
        let database = TestDatabase::create().await;
        let owner = catalogue::owner(database.pool()).await;
        let assets = tempfile::tempdir().unwrap();
        let ahead = Arc::new(Mutex::new(TimeDelta::zero()));
        let system = clock::system();
        let app = http::App::new(http::Given {
            pool: http::pool(database.pool(), &config),
            work: database.pool().clone(),
            vitals: Vitals::default(),
            clock: {
                let ahead = Arc::clone(&ahead);
                Arc::new(move || system() + *ahead.lock().unwrap())
            },
            config,
            means: Means::of(&Config {
                assets: Assets {
                    root: assets.path().to_str().unwrap().to_owned(),
                },
                ..Config::default()
            }),
            royalties: royalty::Settings::default(),
            cron: vec![retention::entry(Schedule::new("40 3 * * *").unwrap())],
            stopping: CancellationToken::new(),
        });
        Self {
            routes: http::router(&app),
            database,
            assets,
            owner,
            ahead,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        clock::system()() + *self.ahead.lock().unwrap()
    }

    pub(crate) fn pass(&self, time: TimeDelta) {
        *self.ahead.lock().unwrap() += time;
    }

    /// A key with these scopes, and its id.
    pub(crate) async fn key(&self, scopes: &[Scope]) -> (i32, String) {
        self.key_until(scopes, None).await
    }

    pub(crate) async fn key_until(
        &self,
        scopes: &[Scope],
        expires_at: Option<DateTime<Utc>>,
    ) -> (i32, String) {
        let new = NewKey {
            user_id: self.owner,
            name: "test".into(),
            scopes: Scopes::of(scopes),
            template: None,
            expires_at,
        };
        let mut conn = self.pool().acquire().await.unwrap();
        let made = access::create(&mut conn, &new, rand::random(), &by(), self.now())
            .await
            .unwrap()
            .unwrap();
        (made.id, made.key)
    }

    /// Releases with these numbers, scheduled to the platforms, as queued deliveries.
    pub(crate) async fn deliveries(&self, numbers: std::ops::Range<u32>, platforms: &[i32]) {
        for number in numbers {
            let release = catalogue::release(self.pool(), self.assets.path(), number).await;
            catalogue::schedule(self.pool(), release, platforms).await;
        }
        schedule::fan_out_due(self.pool(), 1000, self.now())
            .await
            .unwrap();
    }

    pub(crate) async fn platform(&self, name: &str) -> i32 {
        catalogue::platform(self.pool(), name).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        self.send(request("GET", path, key).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: Value) -> Answer {
        self.post_with(key, path, body, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        key: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = request("POST", path, key).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.to_string().into()).unwrap())
            .await
    }

    /// What the audit has of an action, the newest first: actor, object and reason.
    pub(crate) async fn audited(&self, action: &str) -> Vec<(String, String, String)> {
        sqlx::query_as(
            "select actor, object_id, reason from worker.audit where action = $1 order by id desc",
        )
        .bind(action)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }
}

pub(crate) fn request(method: &str, path: &str, key: &str) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    match key {
        "" => request,
        key => request.header(header::AUTHORIZATION, format!("Bearer {key}")),
    }
}

pub(crate) fn by() -> By {
    By::new("test", "because").unwrap()
}
