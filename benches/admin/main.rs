//! What an operator waits for with a million deliveries and five million attempts behind it: every
//! list, search and page and the overview, as the built daemon answers them over HTTP, one after the
//! other. Beside each stands what the database takes for the same rows, asked for by their ids.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[path = "../report/mod.rs"]
mod report;
#[path = "../site/mod.rs"]
mod site;

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use report::Measure;
use reqwest::{Client, Response, header, redirect};
use serde_json::Value;
use site::Site;
use sqlx::AssertSqlSafe;

const FILL: &str = include_str!("fill.sql");
/// Of each question.
const TIMES: usize = 40;
/// Between two overviews, so that none is answered from the one before.
const STALE: Duration = Duration::from_secs(3);
const OVERVIEWS: usize = 20;
/// What is asked for must come within this, 95 times of 100.
const LIST_LIMIT_MS: f64 = 200.0;
const OVERVIEW_LIMIT_MS: f64 = 300.0;

/// What the overview tells of, row by row.
const UNDECIDED: &str = "select platform_id, state, created_at from worker.deliveries
    where state not in ('accepted', 'rejected', 'failed', 'canceled')";

/// A list of the API.
struct List {
    table: &'static str,
    path: &'static str,
    /// What it is asked for, by what people call it.
    conditions: &'static [(&'static str, &'static str)],
}

const LISTS: [List; 5] = [
    List {
        table: "worker.deliveries",
        path: "/deliveries",
        conditions: &[
            ("newest", ""),
            ("one platform", "platform=17"),
            ("one state", "state=failed"),
            ("a rare state", "state=unknown"),
            ("platform and state", "platform=17&state=held"),
            ("all that waits", "state=queued,retrying,unknown"),
            (
                "old and waiting",
                "state=queued&created_before=2026-01-01T00:00:00Z",
            ),
            ("a fault", "fault=host_key_changed"),
            ("a common word", "q=midnight"),
            ("a very common word", "q=artist"),
            ("a rare word", "q=c4ca4238a0b9"),
            ("an ISRC", "q=DEA010004711"),
            ("a UPC", "q=842000004711"),
            ("an owner", "owner=17"),
            ("a release", "release=4711"),
        ],
    },
    List {
        table: "worker.jobs",
        path: "/jobs",
        conditions: &[
            ("newest", ""),
            ("dead", "state=dead"),
            ("held", "state=held"),
            ("canceled", "state=canceled"),
            ("one queue", "queue=deliver/17"),
            ("a small queue", "queue=statistics"),
            ("a queue that has none", "queue=deliver/4711"),
            ("a kind that never was", "kind=royalty_run"),
        ],
    },
    List {
        table: "scheduled_distributions",
        path: "/schedules",
        conditions: &[
            ("newest", ""),
            ("one status", "status=completed"),
            ("a release", "release=4711"),
        ],
    },
    List {
        table: "worker.audit",
        path: "/audit",
        conditions: &[
            ("newest", ""),
            ("who", "actor=key:3"),
            ("what", "action=delivery.cancel"),
            ("what never was", "action=key"),
            ("a request", "request=nobody"),
        ],
    },
    List {
        table: "worker.notifications",
        path: "/notifications",
        conditions: &[
            ("newest", ""),
            ("failed", "state=failed"),
            ("dismissed", "state=dismissed"),
            ("an event", "event=platform.paused"),
        ],
    },
];

/// Lists that are never long, and pages of the console.
const OTHERS: [&str; 21] = [
    "/api/v1/queues",
    "/api/v1/platforms",
    "/api/v1/platforms/17",
    "/api/v1/cron",
    "/api/v1/workers",
    "/api/v1/keys",
    "/api/v1/statistics/runs",
    "/api/v1/royalties/runs",
    "/api/v1/deliveries/count?state=queued",
    "/api/v1/deliveries/count?state=accepted",
    "/console/deliveries",
    "/console/deliveries?q=midnight&state=failed",
    "/console/platforms",
    "/console/platforms/17",
    "/console/schedules",
    "/console/jobs",
    "/console/notifications",
    "/console/statistics",
    "/console/royalties",
    "/console/audit",
    "/console/keys",
];

#[tokio::main]
async fn main() -> ExitCode {
    let site = Site::new("[log]\nfilter = \"info\"\n[http]\nrequests_per_minute = 1000000\n").await;
    eprintln!("admin: filling the database; this takes some minutes");
    site.execute(FILL).await;
    site.execute("vacuum analyze").await;
    let daemon = site.daemon("daemon.log");
    let asker = Asker::new(daemon.address().await, &key(&site)).await;
    let mut asked = Vec::new();
    for list in LISTS {
        let table = list.table;
        for (name, condition) in list.conditions {
            let path = format!("/api/v1{}?{condition}", list.path);
            let ours = asker.p95(&path, TIMES, Duration::ZERO).await;
            let bare = bare(&site, table, &asker.json(&path).await).await;
            asked.push(Asked::new(format!("{table}: {name}"), ours, bare));
        }
    }
    for path in OTHERS {
        let ours = asker.p95(path, TIMES, Duration::ZERO).await;
        asked.push(Asked::new(path.to_owned(), ours, f64::NAN));
    }
    let path = "/api/v1/overview";
    let overview = asker.p95(path, OVERVIEWS, STALE).await;
    let bare = of_rows(&site, UNDECIDED, None).await;
    let overview = Asked::new("overview".to_owned(), overview, bare);
    daemon.stop();
    let slowest = |a: Asked, b: Asked| if b.ours_ms > a.ours_ms { b } else { a };
    let slowest = asked.into_iter().reduce(slowest).unwrap();
    eprintln!("admin: the slowest is {}", slowest.name);
    report::print(&[
        slowest.below("admin, slowest list or page, 95 %", LIST_LIMIT_MS),
        overview.below("admin, overview, 95 %", OVERVIEW_LIMIT_MS),
        overview.beside("admin, overview beside its undecided deliveries, bare"),
    ])
}

/// How long an answer took, and how long the database takes for its rows.
struct Asked {
    name: String,
    ours_ms: f64,
    bare_ms: f64,
}

impl Asked {
    fn new(name: String, ours_ms: f64, bare_ms: f64) -> Self {
        match bare_ms.is_nan() {
            true => eprintln!("admin: {name}: {ours_ms:.1} ms (95 %)"),
            false => eprintln!("admin: {name}: {ours_ms:.1} ms (95 %), bare {bare_ms:.1} ms"),
        }
        Self {
            name,
            ours_ms,
            bare_ms,
        }
    }

    fn below(&self, benchmark: &'static str, limit_ms: f64) -> Measure {
        self.measure(benchmark, format!("{limit_ms:.0} ms"), limit_ms, 1.0)
    }

    fn beside(&self, benchmark: &'static str) -> Measure {
        self.measure(benchmark, "bare query".to_owned(), self.bare_ms, 0.1)
    }

    fn measure(&self, benchmark: &'static str, of: String, limit_ms: f64, bar: f64) -> Measure {
        Measure {
            benchmark,
            unit: "a second (1 through the time)",
            ours: 1000.0 / self.ours_ms,
            peers: Vec::new(),
            limit: Some((of, 1000.0 / limit_ms)),
            bar,
        }
    }
}

/// A key that may look at everything, made as an operator makes one.
fn key(site: &Site) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_tunemantra-worker"))
        .args(["keys", "create", "--user", "1", "--name", "bench"])
        .args(["--scope", "read,finance,admin"])
        .args(["--reason", "benchmark", "--json"])
        .env("DATABASE_URL", site.url())
        .output()
        .unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    made["key"].as_str().unwrap().to_owned()
}

/// Whoever asks: with a key, and logged in to the console.
struct Asker {
    client: Client,
    base: String,
    key: String,
    cookie: String,
}

impl Asker {
    async fn new(base: String, key: &str) -> Self {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .build()
            .unwrap();
        let login = client
            .post(format!("{base}/console/login"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("key={key}"))
            .send()
            .await
            .unwrap();
        let cookie = login.headers()[header::SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self {
            client,
            base,
            key: key.to_owned(),
            cookie,
        }
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.base));
        let request = match path.starts_with("/console") {
            true => request.header(header::COOKIE, &self.cookie),
            false => request.bearer_auth(&self.key),
        };
        let answer = request.send().await.unwrap();
        assert!(answer.status() == 200, "{path}: {}", answer.status());
        answer
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    /// Milliseconds within which 95 of 100 answers came.
    async fn p95(&self, path: &str, times: usize, pause: Duration) -> f64 {
        let mut took = Vec::new();
        for _ in 0..times {
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            self.get(path).await.bytes().await.unwrap();
            took.push(began.elapsed());
        }
        p95(took)
    }
}

/// What the database takes for the rows of an answer, by their ids.
async fn bare(site: &Site, table: &str, answer: &Value) -> f64 {
    let items = answer["items"].as_array().unwrap();
    let ids: Vec<String> = items
        .iter()
        .map(|item| item["id"].to_string().replace('"', ""))
        .collect();
    let of = if table.starts_with("worker") {
        "uuid"
    } else {
        "integer"
    };
    let query = format!("select * from {table} where id = any($1::text[]::{of}[])");
    of_rows(site, &query, Some(ids)).await
}

async fn of_rows(site: &Site, query: &str, ids: Option<Vec<String>>) -> f64 {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        let query = sqlx::query(AssertSqlSafe(query));
        let query = match &ids {
            Some(ids) => query.bind(ids),
            None => query,
        };
        query.fetch_all(site.pool()).await.unwrap();
        took.push(began.elapsed());
    }
    p95(took)
}

fn p95(mut took: Vec<Duration>) -> f64 {
    took.sort();
    let place = (took.len() * 95).div_ceil(100) - 1;
    took[place].as_secs_f64() * 1000.0
}
