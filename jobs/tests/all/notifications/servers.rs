//! A receiver of webhooks and a mail server, as small as they can be.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use jobs::{
    notification::{self, Secret, WebhookSettings},
    queue::{self, Backoff},
};
use platform_adapters::settings::SecretReference;
use sqlx::PgPool;
use tempfile::NamedTempFile;
use test_support::catalogue;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::deliveries::harness::{World, until};

/// The key behind [`SECRET`].
pub(super) const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// Answers with the statuses of a script, and with 204 when the script is at its end.
pub(super) struct Receiver {
    pub(super) port: u16,
    pub(super) requests: Arc<Mutex<Vec<Request>>>,
    pub(super) answers: Arc<Mutex<VecDeque<String>>>,
    secret: NamedTempFile,
}

impl Receiver {
    pub(super) async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let secret = NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), SECRET).unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            answers: Arc::new(Mutex::new(
                answers.iter().map(ToString::to_string).collect(),
            )),
            secret,
        };
        let (requests, answers) = (
            Arc::clone(&receiver.requests),
            Arc::clone(&receiver.answers),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let request = read_request(stream, &answers).await;
                requests.lock().unwrap().push(request);
            }
        });
        receiver
    }

    pub(super) fn webhook(&self, name: &str) -> WebhookSettings {
        WebhookSettings {
            name: name.into(),
            url: format!("http://127.0.0.1:{}/hook", self.port)
                .parse()
                .unwrap(),
            secret: Secret::Reference(SecretReference::File(self.secret.path().to_owned())),
            events: Vec::new(),
        }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(stream: TcpStream, answers: &Mutex<VecDeque<String>>) -> Request {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let next = answers.lock().unwrap().pop_front();
    let answer = next.unwrap_or_else(|| "204 No Content\r\n".into());
    let answer = format!("HTTP/1.1 {answer}content-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    Request {
        path,
        headers,
        body: String::from_utf8(body).unwrap(),
    }
}

/// A mail as it came: who it was for, and the message.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) recipients: Vec<String>,
    pub(super) message: String,
}

/// Takes every mail, after it has answered the first messages as the script says.
pub(super) struct MailServer {
    pub(super) port: u16,
    pub(super) mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailServer {
    pub(super) async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        let answers: VecDeque<String> = answers.iter().map(ToString::to_string).collect();
        let answers = Arc::new(Mutex::new(answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, Arc::clone(&kept), Arc::clone(&answers)));
            }
        });
        Self { port, mails }
    }

    pub(super) fn settings(&self) -> notification::MailSettings {
        notification::MailSettings {
            host: "127.0.0.1".into(),
            port: self.port,
            security: notification::Security::None,
            from: "TuneMantra <noreply@label.example>".into(),
            operators: vec!["ops@label.example".into(), "night@label.example".into()],
            ..notification::MailSettings::default()
        }
    }

    pub(super) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }
}

async fn talk(
    stream: TcpStream,
    mails: Arc<Mutex<Vec<Mail>>>,
    answers: Arc<Mutex<VecDeque<String>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut recipients = Vec::new();
    stream.write_all(b"220 mail.test\r\n").await.unwrap();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let answer = match line.get(..4).unwrap_or_default() {
            "EHLO" => "250-mail.test\r\n250 8BITMIME".to_owned(),
            "RCPT" if line.contains("<refused@") => "550 nobody here".to_owned(),
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap();
                recipients.push(address.to_owned());
                "250 OK".to_owned()
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.unwrap();
                let mut message = String::new();
                while !message.ends_with("\r\n.\r\n") {
                    stream.read_line(&mut message).await.unwrap();
                }
                let recipients = std::mem::take(&mut recipients);
                mails.lock().unwrap().push(Mail {
                    recipients,
                    message,
                });
                let next = answers.lock().unwrap().pop_front();
                next.unwrap_or_else(|| "250 taken".into())
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 OK".to_owned(),
        };
        stream
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .unwrap();
    }
}

/// A daemon whose retries do not let the test wait, and that may reach loopback.
pub(super) async fn world() -> World {
    let mut world = World::new().await;
    world.queue = queue::Settings {
        retry: Backoff {
            first: Duration::from_millis(20),
            ceiling: Duration::from_millis(50),
        },
        ..queue::Settings::default()
    };
    world.notifications.allow_private_addresses = true;
    world
}

/// A schedule that ends well.
pub(super) async fn distribute(world: &mut World) -> i32 {
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    schedule
}

/// The state of the one notification of this event, once it is settled.
pub(super) async fn settled(pool: &PgPool, event: &str) -> String {
    until(|| async {
        sqlx::query_scalar(
            "select state from worker.notifications where event = $1 and state <> 'pending'",
        )
        .bind(event)
        .fetch_optional(pool)
        .await
        .unwrap()
    })
    .await
}

/// The schedule's `notification_sent`.
pub(super) async fn is_marked(pool: &PgPool, schedule: i32) -> bool {
    sqlx::query_scalar("select notification_sent from scheduled_distributions where id = $1")
        .bind(schedule)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// A text without what differs from run to run: ids, times.
pub(super) fn steady(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    let mut steady = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word: String = rest.chars().take_while(|c| is_part(*c)).collect();
        if word.len() == 36 && uuid::Uuid::parse_str(&word).is_ok() {
            steady.push_str("[uuid]");
            rest = rest.get(word.len()..).unwrap();
        } else if let Some(length) = time_length(rest) {
            steady.push_str("[time]");
            rest = rest.get(length..).unwrap();
        } else if word.is_empty() {
            steady.push(c);
            rest = rest.get(c.len_utf8()..).unwrap();
        } else {
            // Times begin with a digit, too: one character at a time.
            steady.push(c);
            rest = rest.get(1..).unwrap();
        }
    }
    steady
}

/// The length of an RFC 3339 time, or of one written for people, at the beginning of a text.
fn time_length(text: &str) -> Option<usize> {
    let date = text.get(..10)?;
    chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let is_time = |c: char| c.is_ascii_digit() || "T:.Z-".contains(c);
    let rfc3339 = text.find(|c| !is_time(c)).unwrap_or(text.len());
    if rfc3339 > 10 {
        return Some(rfc3339);
    }
    (text.get(19..23) == Some(" UTC")).then_some(23)
}
