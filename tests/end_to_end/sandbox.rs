//! `sandbox` and `check`, as an operator uses them to try a configuration out.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{AssertSqlSafe, raw_sql};

use super::{
    processes::{Running, program, until},
    site::Site,
};

/// The running command, and where its partners lie.
struct Sandbox {
    process: Running,
    root: PathBuf,
    printed: PathBuf,
}

impl Sandbox {
    async fn start(site: &Site, arguments: &[&str]) -> Self {
        let root = site.path("sandbox");
        let printed = site.path("printed");
        let mut command = program();
        command.args(["sandbox", "--json", "--root"]).arg(&root);
        command.args(arguments);
        let process = Running::start_apart(&mut command, site.path("sandbox.log"), &printed);
        let sandbox = Self {
            process,
            root,
            printed,
        };
        until("the partners' addresses", || async {
            (!sandbox.lines().is_empty()).then_some(())
        })
        .await;
        sandbox
    }

    /// What it printed: a JSON document a line.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.printed).unwrap();
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What it said of hand-overs: partner, event, and the hand-over.
    fn events(&self) -> Vec<(String, String, Value)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let lines = self.lines();
        lines
            .iter()
            .skip(1)
            .map(|line| {
                let event = text(&line["event"]);
                (text(&line["partner"]), event.clone(), line[&event].clone())
            })
            .collect()
    }

    async fn stop(mut self) {
        self.process.signal(Signal::SIGINT);
        assert_eq!(self.process.end().await.code(), Some(0));
    }
}

/// Puts the rows that the sandbox printed into the database; the covers of the tests are small.
async fn insert(site: &Site, sandbox: &Sandbox) -> Vec<i32> {
    let sql = fs::read_to_string(sandbox.root.join("platforms.sql")).unwrap();
    assert_eq!(sandbox.lines()[0]["sql"], sql.as_str());
    raw_sql(AssertSqlSafe(sql))
        .execute(site.pool())
        .await
        .unwrap();
    sqlx::query(
        r#"update distribution_platforms set requirements = requirements || '{"artwork": {"min_px": 16}}'"#,
    )
    .execute(site.pool())
    .await
    .unwrap();
    sqlx::query_scalar("select id from distribution_platforms order by name")
        .fetch_all(site.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_tried_against_the_sandbox() {
    let site = Site::new().await;
    let sandbox = Sandbox::start(
        &site,
        &[
            "--misbehave",
            "unavailable",
            "--misbehave",
            "2:reject-later=the label is blocked",
        ],
    )
    .await;
    let token = fs::read_to_string(sandbox.root.join("credentials/api-token")).unwrap();
    site.keep_secret(token);
    let platforms = insert(&site, &sandbox).await;
    let [api, ddex, sftp] = platforms[..] else {
        panic!("{platforms:?}");
    };
    assert_eq!(insert(&site, &sandbox).await, platforms, "inserted once");

    // It says what the next delivery will meet.
    let checked = site.cli(&["check", "--connect", "--json"]).await;
    assert_eq!(checked.json()["ok"], false);
    checked.expect(78, &["503 Service Unavailable", "is the pinned one"]);

    let releases = site.scheduled(1..4, &platforms).await;
    let daemon = site.daemon("daemon.log");
    for platform in platforms {
        until("deliveries are decided", || async {
            let mut states = Vec::new();
            for release in &releases {
                states.push(site.state(*release, platform).await.unwrap_or_default());
            }
            states
                .iter()
                .all(|state| state == "accepted" || state == "rejected")
                .then_some(())
        })
        .await;
    }
    site.stop(daemon).await;
    until("all are printed", || async {
        let events = sandbox.events();
        let handovers = events.iter().filter(|(_, event, _)| event == "handover");
        (handovers.count() == 9).then_some(())
    })
    .await;
    let events = sandbox.events();
    let of = |partner: &str, event: &str| -> Vec<Value> {
        let found = events.iter().filter(|(p, e, _)| p == partner && e == event);
        found.map(|(_, _, what)| what.clone()).collect()
    };
    let refused = of("Sandbox API", "refused");
    // What the check met, and what the delivery met then.
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|one| one["status"] == 503));
    for partner in ["Sandbox API", "Sandbox SFTP", "Sandbox DDEX"] {
        let handovers = of(partner, "handover");
        assert_eq!(handovers.len(), 3, "{partner}");
        let blocked = serde_json::json!({"rejected": "the label is blocked"});
        let rejected = handovers.iter().filter(|one| one["verdict"] == blocked);
        assert_eq!(rejected.count(), 2, "{partner}");
        for handover in &handovers {
            assert_eq!(handover["violations"], serde_json::json!([]), "{partner}");
        }
    }
    for platform in [api, ddex, sftp] {
        let mut rejected = 0;
        for release in &releases {
            let state = site.state(*release, platform).await;
            rejected += i32::from(state.as_deref() == Some("rejected"));
        }
        assert_eq!(rejected, 2);
    }
    let said = format!("{:?}{}", sandbox.lines(), sandbox.process.log());
    site.assert_no_secret(&said);
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_started_again_is_where_it_was() {
    let site = Site::new().await;
    let sandbox = Sandbox::start(&site, &["--api", "--sftp"]).await;
    let first = sandbox.lines()[0]["platforms"].clone();
    assert_eq!(first.as_array().unwrap().len(), 2);
    let mut second = program();
    second.arg("sandbox").arg("--root").arg(&sandbox.root);
    let refused = super::processes::answer(&mut second).await;
    refused.expect(69, &["another sandbox is running in", "--root"]);
    for secret in [
        "credentials/api-token",
        "partners/sandbox-sftp/sshd/client_key",
    ] {
        let mode = fs::metadata(sandbox.root.join(secret))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{secret}");
    }
    sandbox.stop().await;

    let again = Sandbox::start(&site, &["--api", "--sftp"]).await;
    assert_eq!(again.lines()[0]["platforms"], first);
    again.stop().await;

    let usage = site
        .cli(&[
            "sandbox",
            "--root",
            "/nonexistent",
            "--ddex",
            "--misbehave",
            "garbage",
        ])
        .await;
    usage.expect(
        64,
        &["--misbehave garbage is for a partner that is not started: add --api"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_missing_and_what_to_do() {
    let site = Site::with(test_support::TestDatabase::empty().await).await;
    let empty = site.cli(&["check"]).await;
    empty.expect(78, &["none of the web application's tables", "migrate"]);
    site.cli(&["deliveries", "list"])
        .await
        .expect(78, &["tunemantra-worker migrate"]);
    site.cli(&["migrate"]).await.expect(0, &[]);
    site.cli(&["check"])
        .await
        .expect(0, &["no active platform"]);

    raw_sql("drop index worker_scheduled_distributions_due")
        .execute(site.pool())
        .await
        .unwrap();
    site.keep_secret("hunter2");
    site.platform(
        "Nordlys",
        "api",
        "http://127.0.0.1:1",
        serde_json::json!({"api_key": "hunter2"}),
        serde_json::json!({}),
    )
    .await;
    let warned = site.cli(&["check"]).await;
    warned.expect(
        0,
        &[
            "warn  additions: worker_scheduled_distributions_due",
            "warn  platform 1 (\"Nordlys\"): api_credentials.api_key stands",
        ],
    );
    let down = site.cli(&["check", "--connect"]).await;
    down.expect(
        78,
        &[
            "FAIL  platform 1 (\"Nordlys\")",
            "no connection to platform 1",
        ],
    );
    site.cli(&["migrate"]).await.expect(0, &[]);
    let again = site.cli(&["check", "--json"]).await;
    assert!(!again.stdout.contains("worker_scheduled"), "{again:?}");

    site.configure("database", "max_connections", 2);
    let few = site.cli(&["check"]).await;
    few.expect(0, &["16 deliveries at once share 2 connections"]);
    site.configure("database", "max_connections", 1000);
    let many = site.cli(&["check"]).await;
    many.expect(0, &["a daemon opens up to 1017 connections"]);

    raw_sql("alter table tracks drop column isrc")
        .execute(site.pool())
        .await
        .unwrap();
    site.cli(&["check"])
        .await
        .expect(78, &["FAIL  schema public: column tracks.isrc"]);
}
