//! Secrets sealed with the worker's key, from the making of the key to a delivery with a newer one;
//! and an asset store that asks who we are.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use platform_adapters::sandbox::Misbehaviours;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::{
    processes::{answer, program},
    site::Site,
};

async fn credentials(site: &Site, platform: i32) -> Value {
    sqlx::query_scalar("select api_credentials from distribution_platforms where id = $1")
        .bind(platform)
        .fetch_one(site.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_secret_is_delivered_with_and_outlives_its_key() {
    let site = Site::new().await;
    let key = site.path("worker.key");
    site.configure("secrets", "key", key.to_str().unwrap());
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let token = fs::read_to_string(site.path("token")).unwrap();
    let plain = json!({"bearer_token": token});
    let specs = json!({"confirmation": "status"});
    let platform = site
        .platform("Fjordwave", "api", partner.url(), plain, specs)
        .await;
    let id = platform.to_string();
    let seal = [
        "platforms",
        "seal",
        &id,
        "--reason",
        "no secrets in backups",
    ];

    site.cli(&["check"])
        .await
        .expect(0, &["stands in the database in plain", "platforms seal"]);
    site.cli(&seal)
        .await
        .expect(78, &["worker.key", "platforms key"]);
    site.cli(&["platforms", "key"]).await.expect(0, &["age1"]);
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = fs::read_to_string(&key).unwrap();
    site.keep_secret(first.lines().last().unwrap());
    site.cli(&["platforms", "key"])
        .await
        .expect(64, &["--rotate"]);
    assert_eq!(fs::read_to_string(&key).unwrap(), first);

    site.cli(&["platforms", "seal", &id])
        .await
        .expect(64, &["--reason"]);
    site.cli(&seal).await.expect(0, &["sealed bearer_token"]);
    let sealed = credentials(&site, platform).await;
    site.assert_no_secret(&sealed.to_string());
    site.cli(&seal).await.expect(0, &["no secret stands there"]);
    site.cli(&["check", "--connect"])
        .await
        .expect(0, &["did not refuse the bearer token"]);
    site.cli(&["audit"]).await.expect(0, &["platform.seal"]);

    let release = site.scheduled(1..2, &[platform]).await[0];
    let daemon = site.daemon("daemon.log");
    site.until_state(release, platform, "accepted").await;
    // Another key, while the daemon runs.
    site.cli(&["platforms", "key", "--rotate"])
        .await
        .expect(0, &["age1"]);
    site.cli(&seal).await.expect(0, &["sealed bearer_token"]);
    assert_ne!(credentials(&site, platform).await, sealed);
    let newest: Vec<_> = fs::read_to_string(&key)
        .unwrap()
        .lines()
        .take(3)
        .map(str::to_owned)
        .collect();
    fs::write(&key, newest.join("\n")).unwrap();
    let release = site.scheduled(2..3, &[platform]).await[0];
    site.until_state(release, platform, "accepted").await;
    site.stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_secret_is_sealed_from_standard_input() {
    let site = Site::new().await;
    let key = site.path("worker.key");
    site.configure("secrets", "key", key.to_str().unwrap());
    site.cli(&["platforms", "key", "--json"])
        .await
        .expect(0, &["public_key"]);
    let mut command = program();
    command
        .args(["platforms", "seal", "--config"])
        .arg(site.config_file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    input.write_all(b"hunter2\n").await.unwrap();
    drop(input);
    let output = process.wait_with_output().await.unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(printed["sealed"].as_str().unwrap().starts_with("age:"));
    site.cli(&["platforms", "schema", "api_credentials"])
        .await
        .expect(0, &["https://json-schema.org", "webhook_secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_in_a_store_of_the_kind_of_s3() {
    let site = Site::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    // Whoever is not known is refused; the check asks for a file that is not there.
    let serving = tokio::spawn(async move {
        let mut heads = Vec::new();
        while heads.len() < 2 {
            let (stream, _) = listener.accept().await.unwrap();
            let mut lines = BufReader::new(stream).lines();
            let mut head = Vec::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.is_empty() {
                    break;
                }
                head.push(line);
            }
            let is_known = head.iter().any(|line| line.contains("Credential=known/"));
            let status = if is_known {
                "404 Not Found"
            } else {
                "403 Forbidden"
            };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let mut stream = lines.into_inner().into_inner();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read(&mut [0]).await;
            heads.push(head);
        }
        heads
    });
    site.configure("assets", "root", "s3://masters/2026");
    for (who, code, words) in [
        ("known", 0, "s3://masters/2026 can be read"),
        ("unknown", 78, "cannot be read"),
    ] {
        let mut command = program();
        command
            .args(["check", "--config"])
            .arg(site.config_file())
            .env("AWS_ENDPOINT", &endpoint)
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "eu-north-1")
            .env("AWS_ACCESS_KEY_ID", who)
            .env("AWS_SECRET_ACCESS_KEY", "s3cret");
        let said = answer(&mut command).await;
        said.expect(code, &[words]);
        assert!(!format!("{said:?}").contains("s3cret"));
    }
    let heads = serving.await.unwrap();
    for head in heads {
        assert_eq!(
            head[0],
            "HEAD /masters/2026/tunemantra-worker-check HTTP/1.1"
        );
        assert!(
            head.iter().any(|line| line.contains("AWS4-HMAC-SHA256")),
            "{head:?}"
        );
    }
}
