//! What people are told while the daemon works, and what they do about it with commands.

use std::sync::{Arc, Mutex};

use platform_adapters::sandbox::{Misbehaviour, Misbehaviours};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use toml::toml;

use super::{processes::until, site::Site};

/// What a path of a webhook holds that nobody else may know.
const TOKEN: &str = "T0K3N-in-the-path";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Takes webhooks once `is_up`, and answers 503 before.
struct Receiver {
    port: u16,
    is_up: Arc<Mutex<bool>>,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            is_up: Arc::default(),
            taken: Arc::default(),
        };
        let (is_up, taken) = (Arc::clone(&receiver.is_up), Arc::clone(&receiver.taken));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let is_up = *is_up.lock().unwrap();
                let body = answer(stream, is_up).await;
                taken.lock().unwrap().extend(body);
            }
        });
        receiver
    }

    async fn until_told(&self, event: &str) -> Value {
        until(&format!("{event} is told"), || async {
            let taken = self.taken.lock().unwrap();
            taken.iter().find(|one| one["type"] == event).cloned()
        })
        .await
    }
}

async fn answer(stream: TcpStream, is_up: bool) -> Option<Value> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(given) = line.strip_prefix("content-length: ") {
            length = given.parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let status = if is_up { "204 No Content" } else { "503 Down" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    serde_json::from_slice(&body).ok().filter(|_| is_up)
}

async fn site_with(receiver: &Receiver) -> Site {
    let site = Site::new().await;
    site.keep_secret(TOKEN);
    site.keep_secret(SECRET);
    std::fs::write(site.path("secret"), SECRET).unwrap();
    let url = format!("http://127.0.0.1:{}/hooks/{TOKEN}", receiver.port);
    let secret = site.path("secret").to_str().unwrap().to_owned();
    let webhook = toml! {
        name = "ops"
        url = url
        secret = { file = secret }
    };
    site.configure("notifications", "allow_private_addresses", true);
    site.configure("notifications", "support_tickets", true);
    site.configure(
        "notifications",
        "webhooks",
        vec![toml::Value::Table(webhook)],
    );
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_told_laid_out_and_settled() {
    let receiver = Receiver::start().await;
    let site = site_with(&receiver).await;
    // Set up: the receiver is down, then up.
    let test = ["notifications", "test"];
    site.cli(&test).await.expect(69, &["webhook/ops", "503"]);
    *receiver.is_up.lock().unwrap() = true;
    site.cli(&test).await.expect(0, &["webhook/ops: taken"]);
    let told = receiver.until_told("worker.test").await;
    assert_eq!(
        told["data"]["message"].as_str().map(str::is_empty),
        Some(false)
    );

    let lost = Misbehaviours::none().then(1, Misbehaviour::CutBeforeAnswer);
    let partner = site.http("Fjordwave", lost).await;
    // A partner that can neither be asked nor tell a repetition.
    let specs = json!({"confirmation": "none", "api": {"idempotent": false}});
    let platform = site
        .platform("Fjordwave", "api", partner.url(), site.token_file(), specs)
        .await;
    let release = site.scheduled(1..2, &[platform]).await[0];
    let daemon = site.daemon("daemon.log");
    let told = receiver.until_told("delivery.unknown").await;
    let delivery = told["data"]["delivery"].as_str().unwrap().to_owned();
    assert_eq!(told["data"]["release"]["id"], release);
    let remedy = told["data"]["remedy"].as_str().unwrap();
    assert!(remedy.contains("deliveries acknowledge"), "{remedy}");
    site.cli(&["deliveries", "show", &delivery]).await.expect(
        0,
        &[
            "not known whether it arrived, since",
            "last certain step: ",
            "key at the partner: ",
            "files: 2 of ",
            "--absent to send it again",
        ],
    );

    let unexplained = ["deliveries", "acknowledge", &delivery, "--accepted"];
    site.cli(&unexplained).await.expect(64, &["--reason"]);
    let answer = [
        unexplained.as_slice(),
        &["--url", "https://fjordwave.example/r/7"],
        &["--reason", "mail of their support"],
    ]
    .concat();
    site.cli(&answer).await.expect(0, &["is accepted"]);
    let told = receiver.until_told("schedule.completed").await;
    assert_eq!(told["data"]["completed"][0]["name"], "Fjordwave");
    let audit = ["audit", "--kind", "delivery", "--id", &delivery];
    site.cli(&audit)
        .await
        .expect(0, &["delivery.acknowledge", "mail of their support"]);
    let url: String = sqlx::query_scalar("select platform_url from distribution_records")
        .fetch_one(site.pool())
        .await
        .unwrap();
    assert_eq!(url, "https://fjordwave.example/r/7");
    let sent = "select notification_sent from scheduled_distributions";
    until("notification_sent is true", || async {
        sqlx::query_scalar::<_, bool>(sent)
            .fetch_one(site.pool())
            .await
            .unwrap()
            .then_some(())
    })
    .await;
    site.cli(&["notifications", "list", "--event", "schedule.completed"])
        .await
        .expect(0, &["schedule/1", "delivered"]);
    site.stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_schedule_opens_a_ticket_and_what_nobody_took_is_seen() {
    let receiver = Receiver::start().await;
    let site = site_with(&receiver).await;
    let no = Misbehaviour::Refuse {
        reason: "artwork shows a logo".into(),
    };
    let partner = site
        .http("Fjordwave", Misbehaviours::none().then(1, no))
        .await;
    let platform = site.api_platform("Fjordwave", partner.url()).await;
    let release = site.scheduled(1..2, &[platform]).await[0];
    let daemon = site.daemon("daemon.log");
    site.until_state(release, platform, "rejected").await;
    until("the ticket is open", || async {
        sqlx::query_scalar::<_, String>(
            "select message from support_ticket_messages where is_internal",
        )
        .fetch_optional(site.pool())
        .await
        .unwrap()
        .filter(|message| message.contains("artwork shows a logo"))
    })
    .await;
    let list = ["notifications", "list", "--subject", "schedule/1"];
    until("the receiver's answer is seen", || async {
        let listed = site.cli(&list).await;
        listed.stdout.contains("webhook/ops: ").then_some(())
    })
    .await;
    site.cli(&list).await.expect(0, &["pending", "503"]);
    *receiver.is_up.lock().unwrap() = true;
    receiver.until_told("schedule.failed").await;
    site.stop(daemon).await;
    let tickets: i64 = sqlx::query_scalar("select count(*) from support_tickets")
        .fetch_one(site.pool())
        .await
        .unwrap();
    assert_eq!(tickets, 1, "not one for each try");
}
