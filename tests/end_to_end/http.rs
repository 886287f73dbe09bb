//! The HTTP server of the daemon: with keys made on the command line, over real connections.

use std::{net::TcpListener, time::Duration};

use platform_adapters::sandbox::Misbehaviours;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{
    processes::{Running, until},
    site::Site,
};

impl Site {
    /// Where a daemon answers.
    pub(super) async fn base(&self, daemon: &Running) -> String {
        until("the daemon listens", || async {
            let log = daemon.log();
            let (_, rest) = log.split_once("http listens address=")?;
            let address = rest.split_whitespace().next()?;
            Some(format!("http://{address}"))
        })
        .await
    }

    /// A key with these scopes, made on the command line.
    async fn key(&self, scopes: &str) -> String {
        test_support::catalogue::owner(self.pool()).await;
        let create = [
            "keys", "create", "--user", "owner", "--name", "test", "--scope", scopes,
        ];
        let create = [create.as_slice(), &["--reason", "for a test", "--json"]].concat();
        let made = self.cli(&create).await;
        assert_eq!(made.code, Some(0), "{made:?}");
        let key = made.json()["key"].as_str().unwrap().to_owned();
        self.keep_secret(key.clone());
        key
    }
}

async fn get(base: &str, key: &str, path: &str) -> Value {
    let answer = Client::new()
        .get(format!("{base}{path}"))
        .bearer_auth(key)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_watches_and_acts_over_http() {
    let site = Site::new().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let platform = site.api_platform("Fjordwave", partner.url()).await;
    let daemon = site.daemon("daemon.log");
    let base = site.base(&daemon).await;
    let key = site.key("read,operate").await;
    let path = format!("{base}/api/v1/platforms/{platform}");
    let act = |what: &str| {
        Client::new()
            .post(format!("{path}/{what}"))
            .bearer_auth(&key)
            .json(&json!({"reason": "they move house"}))
            .send()
    };
    let checked: Value = act("check").await.unwrap().json().await.unwrap();
    assert_eq!(checked["ok"], true, "{checked}");
    assert_eq!(act("pause").await.unwrap().status(), StatusCode::OK);
    let release = site.scheduled(1..2, &[platform]).await[0];
    site.until_state(release, platform, "queued").await;

    let mut events = Client::new()
        .get(format!("{base}/api/v1/events"))
        .bearer_auth(&key)
        .send()
        .await
        .unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    // The first look only learns what is there.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(act("resume").await.unwrap().status(), StatusCode::OK);
    let mut told = String::new();
    while !told.contains("\"state\":\"accepted\"") {
        let chunk = events.chunk().await.unwrap().expect("the stream goes on");
        told.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(told.starts_with("event: missed\n"), "{told}");
    assert!(told.contains("event: deliveries"), "{told}");
    // The pause that ended, and that somebody ended it.
    while !(told.contains("\"platforms\"") && told.contains("\"audit\"")) {
        let chunk = events.chunk().await.unwrap().expect("the stream goes on");
        told.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(told.contains("event: changed"), "{told}");

    let listed = get(&base, &key, "/api/v1/deliveries?state=accepted").await;
    let id = listed["items"][0]["id"].as_str().unwrap();
    let story = get(&base, &key, &format!("/api/v1/deliveries/{id}")).await;
    assert_eq!(story["files"].as_array().unwrap().len(), 2);
    let workers = get(&base, &key, "/api/v1/workers").await;
    assert_eq!(workers["items"][0]["state"], "running");
    assert_eq!(workers["items"][0]["process"], daemon.pid());
    let audit = get(&base, &key, "/api/v1/audit?kind=platform&id=1").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 2, "{audit}");
    let metrics = Client::new()
        .get(format!("{base}/metrics"))
        .send()
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("tunemantra_daemons 1"), "{metrics}");

    // The stream ends with the daemon, which does not wait for those who watch.
    site.stop(daemon).await;
    while let Ok(Some(_)) = events.chunk().await {}
    let workers = site.cli(&["keys", "list", "--json"]).await.json();
    assert!(workers[0]["last_used"].is_string(), "{workers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_and_revoked_on_the_command_line() {
    let site = Site::new().await;
    let daemon = site.daemon("daemon.log");
    let base = site.base(&daemon).await;
    let key = site.key("read").await;
    get(&base, &key, "/api/v1/platforms").await;
    let listed = site.cli(&["keys", "list"]).await;
    listed.expect(0, &["test", "owner (active)", "worker:read"]);
    let id = site.cli(&["keys", "list", "--json"]).await.json()[0]["id"].to_string();
    let revoke = ["keys", "revoke", &id, "--reason", "lost"];
    site.cli(&revoke).await.expect(0, &["is revoked"]);
    site.cli(&revoke).await.expect(1, &["was revoked before"]);
    let answer = Client::new()
        .get(format!("{base}/api/v1/platforms"))
        .bearer_auth(&key)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let create = |user: &'static str, scope: &'static str| {
        let site = &site;
        async move {
            let create = [
                "keys", "create", "--user", user, "--name", "x", "--scope", scope,
            ];
            site.cli(&[create.as_slice(), &["--reason", "x"]].concat())
                .await
        }
    };
    create("nobody", "read")
        .await
        .expect(66, &["no user \"nobody\""]);
    create("owner", "everything")
        .await
        .expect(64, &["no such scope"]);
    let audit = site.cli(&["audit"]).await;
    audit.expect(0, &["key.create", "key.revoke", "access.refused"]);
    let described = site.cli(&["openapi"]).await.json();
    assert_eq!(described["openapi"], "3.1.0");
    site.stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_said_at_the_start() {
    let site = Site::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    site.configure("http", "listen", address.clone());
    let answer = site.cli(&["run"]).await;
    answer.expect(69, &["http.listen", &address]);
    // Several daemons on one machine: one of them answers.
    site.configure("http", "listen", "");
    let daemon = site.daemon("daemon.log");
    until("it runs without HTTP", || async {
        daemon.log().contains("started").then_some(())
    })
    .await;
    site.stop(daemon).await;
}
