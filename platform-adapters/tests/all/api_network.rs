//! The adapter `api` against what is no partner at all: servers that answer nonsense, redirect,
//! never end, or show a certificate that nobody vouches for; and against very large files.

use std::{fs::File, net::SocketAddr, sync::Arc};

use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    ssl::{SslAcceptor, SslMethod},
    x509::{X509, X509NameBuilder},
};
use platform_adapters::{
    Adapter, Code, Fault, Kind, Receipt, Status, api::ApiAdapter, package::Package,
    release::ReleaseType, sandbox::Misbehaviours,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    api::{Scene, TOKEN, adapter, handover, platform},
    fixtures::Fixture,
};

/// A server that reads a request to its end and answers every one with the same bytes.
async fn server(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer.into());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(respond(stream, Arc::clone(&answer)));
        }
    });
    address
}

async fn respond(mut stream: TcpStream, answer: Arc<Vec<u8>>) {
    let mut request = Vec::new();
    loop {
        let mut buffer = vec![0; 65_536];
        let count = stream.read(&mut buffer).await.unwrap_or_default();
        if count == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..count]);
        let Some(head) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |value| value.trim().parse().unwrap());
        if request.len() >= head + 4 + length {
            break;
        }
    }
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

struct Sender {
    fixture: Fixture,
    package: Package,
}

impl Sender {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let release = fixture.release(ReleaseType::Single, 1);
        let package = fixture.package(&release).await;
        Self { fixture, package }
    }

    async fn deliver(&self, address: SocketAddr) -> Result<Receipt, Fault> {
        adapter(&format!("http://{address}/v1"), TOKEN, &self.fixture.assets)
            .deliver(&handover(Kind::Insert), &self.package)
            .await
    }
}

#[tokio::test]
async fn every_kind_of_answer_has_its_fault() {
    let sender = Sender::new().await;
    let json = r#"{"reason": "because"}"#;
    let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(10_000));
    let cases = [
        (http("200 OK", "", ""), Code::OutcomeUnknown, "it is empty"),
        (
            http("201 Created", "", "{}"),
            Code::OutcomeUnknown,
            "no id at \"/id\"",
        ),
        (
            http("201 Created", "", r#"{"id": null}"#),
            Code::OutcomeUnknown,
            "no id",
        ),
        (
            http("400 Bad Request", "", json),
            Code::PartnerRefused,
            "because",
        ),
        (
            http("422 Unprocessable Content", "", &long),
            Code::PartnerRefused,
            "xxx…",
        ),
        (
            http("401 Unauthorized", "", json),
            Code::CredentialsRefused,
            "because",
        ),
        (
            http("403 Forbidden", "", json),
            Code::CredentialsRefused,
            "because",
        ),
        (
            http("404 Not Found", "", ""),
            Code::SettingsInvalid,
            "it gives no reason",
        ),
        (
            http("408 Request Timeout", "", ""),
            Code::PartnerError,
            "408",
        ),
        (
            http("500 Internal Server Error", "", "<b>oops</b>"),
            Code::PartnerError,
            "oops",
        ),
        (http("502 Bad Gateway", "", ""), Code::PartnerError, "502"),
        (
            http("507 Insufficient Storage", "", ""),
            Code::PartnerFull,
            "507",
        ),
        (
            http("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
            Code::SettingsInvalid,
            "redirects to http://127.0.0.1:1/",
        ),
        (
            http("401 Unauthorized", "", TOKEN),
            Code::CredentialsRefused,
            "[redacted]",
        ),
        (
            "not HTTP at all\r\n\r\n".into(),
            Code::OutcomeUnknown,
            "lost after the whole",
        ),
        (String::new(), Code::OutcomeUnknown, "lost after the whole"),
    ];
    for (answer, code, words) in cases {
        let fault = sender
            .deliver(server(answer.clone()).await)
            .await
            .unwrap_err();
        assert_eq!(fault.code, code, "{answer}: {fault}");
        assert!(fault.message.contains(words), "{answer}: {fault}");
        assert!(fault.message.len() < 1_000, "{fault}");
        assert!(!format!("{fault:?}").contains(TOKEN), "{fault:?}");
        for evidence in &fault.evidence {
            let body = String::from_utf8_lossy(&evidence.body);
            assert!(!body.contains(TOKEN), "{body}");
        }
    }
}

#[tokio::test]
async fn a_conflict_is_looked_into() {
    let sender = Sender::new().await;
    let conflict = http("409 Conflict", "", "{}");
    // This server has something under every key.
    let address = server(conflict.clone()).await;
    let without = ApiAdapter::new(
        &platform(&format!("http://{address}"), TOKEN, json!({"api": {}})),
        sender.fixture.assets.clone(),
    )
    .unwrap();
    let fault = without
        .deliver(&handover(Kind::Insert), &sender.package)
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::OutcomeUnknown);
    assert!(fault.remedy().contains("format_specs.api.lookup"));
    let busy = server(http("409 Conflict", "retry-after: 5\r\n", "{}")).await;
    let fault = sender.deliver(busy).await.unwrap_err();
    assert_eq!(fault.code, Code::Throttled);
    assert_eq!(fault.retry_after.unwrap().as_secs(), 5);
}

#[tokio::test]
async fn a_state_that_is_not_known_is_never_success() {
    let sender = Sender::new().await;
    let receipt = Receipt {
        partner_release_id: Some("a/b ?c".into()),
        ..Receipt::default()
    };
    let asked = async |status: &str, body: &str| {
        let address = server(http(status, "", body)).await;
        adapter(&format!("http://{address}"), TOKEN, &sender.fixture.assets)
            .status(&handover(Kind::Insert), &receipt)
            .await
    };
    for (status, body) in [
        ("200 OK", r#"{"status": "fine"}"#),
        ("200 OK", r#"{"status": true}"#),
        ("200 OK", r#"{"state": "accepted"}"#),
        ("200 OK", "accepted"),
        ("200 OK", ""),
        ("404 Not Found", ""),
        ("500 Internal Server Error", ""),
    ] {
        let fault = asked(status, body).await.unwrap_err();
        assert_eq!(fault.code, Code::PartnerError, "{status} {body}: {fault}");
    }
    assert_eq!(
        asked("200 OK", r#"{"status": "In Review"}"#).await.unwrap(),
        Status::Pending("In Review".into())
    );
    assert!(matches!(
        asked("200 OK", r#"{"status": "LIVE"}"#).await.unwrap(),
        Status::Accepted(_)
    ));
    let Status::Rejected { reason, .. } = asked("200 OK", r#"{"status": "failed"}"#).await.unwrap()
    else {
        panic!("not rejected")
    };
    assert!(reason.contains("gives no reason"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let sender = Sender::new().await;
    let body = "x".repeat(3 << 20);
    let address = server(http("201 Created", "", &body)).await;
    let fault = sender.deliver(address).await.unwrap_err();
    assert_eq!(fault.code, Code::OutcomeUnknown);
    assert!(fault.message.contains("longer than"), "{fault}");
    assert!(fault.evidence[0].body.len() <= 1 << 20);
}

/// Headers without end, a body without end, and a small body that would be a large one.
#[tokio::test]
async fn answers_that_would_fill_the_memory_are_refused() {
    let sender = Sender::new().await;
    let mut headers = String::from("HTTP/1.1 200 OK\r\n");
    for number in 0..200_000 {
        headers.push_str(&format!("x-{number}: {}\r\n", "y".repeat(20)));
    }
    let fault = sender.deliver(server(headers).await).await.unwrap_err();
    assert_eq!(fault.code, Code::OutcomeUnknown, "{fault}");
    let before = resident_kb();
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20)).repeat(64);
    let endless = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    let fault = sender.deliver(server(endless).await).await.unwrap_err();
    assert!(fault.message.contains("longer than"), "{fault}");
    // 10 MiB of zeros, as gzip writes them: it is neither asked for nor unpacked.
    let bomb: Vec<u8> = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0xED; 10_000]].concat();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        bomb.len()
    );
    let answer = [head.into_bytes(), bomb].concat();
    let fault = sender.deliver(server(answer).await).await.unwrap_err();
    assert!(fault.message.contains("compressed (gzip)"), "{fault}");
    assert!(resident_kb() < before + (64 << 10) + other_tests_kb());
}

/// A partner that sends us round in circles, or to where nobody may look.
#[tokio::test]
async fn redirects_are_not_followed_whatever_is_asked() {
    let sender = Sender::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let trap = listener.local_addr().unwrap();
    for place in [
        format!("http://{trap}/"),
        "/v1/releases".into(),
        "http://169.254.169.254/".into(),
    ] {
        for status in [
            "301 Moved Permanently",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
        ] {
            let answer = http(status, &format!("location: {place}\r\n"), "");
            let address = server(answer).await;
            let fault = sender.deliver(address).await.unwrap_err();
            assert_eq!(fault.code, Code::SettingsInvalid, "{status}: {fault}");
            assert!(fault.message.contains(&place), "{fault}");
            let adapter = adapter(&format!("http://{address}"), TOKEN, &sender.fixture.assets);
            assert_eq!(
                adapter.check().await.unwrap_err().code,
                Code::SettingsInvalid
            );
        }
    }
    let followed = tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept());
    assert!(followed.await.is_err(), "somebody followed");
}

#[tokio::test]
async fn a_private_address_needs_leave() {
    let sender = Sender::new().await;
    let refuse = json!({"allow_private_addresses": false});
    for endpoint in [
        "http://127.0.0.1:9/",
        "http://[::1]:9/",
        "http://169.254.169.254/",
    ] {
        let platform = platform(endpoint, TOKEN, refuse.clone());
        let fault = ApiAdapter::new(&platform, sender.fixture.assets.clone())
            .err()
            .unwrap();
        assert_eq!(fault.code, Code::SettingsInvalid, "{endpoint}");
    }
    let platform = platform("http://localhost:9/", TOKEN, refuse);
    let adapter = ApiAdapter::new(&platform, sender.fixture.assets.clone()).unwrap();
    let fault = adapter.check().await.unwrap_err();
    assert_eq!(fault.code, Code::SettingsInvalid);
    assert!(fault.message.contains("a private address"), "{fault}");
    assert!(fault.remedy().contains("allow_private_addresses"));
}

#[tokio::test]
async fn a_path_in_the_settings_cannot_change_the_host() {
    let sender = Sender::new().await;
    let specs = json!({"api": {"create": "@elsewhere.example/"}});
    let adapter = ApiAdapter::new(
        &platform("http://127.0.0.1:9", TOKEN, specs),
        sender.fixture.assets.clone(),
    )
    .unwrap();
    let fault = adapter
        .deliver(&handover(Kind::Insert), &sender.package)
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::SettingsInvalid);
    assert!(fault.message.contains("@elsewhere.example"), "{fault}");
}

/// Serves TLS with a certificate that it signed itself, and never gets as far as HTTP.
fn self_signed() -> SocketAddr {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    certificate
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    let acceptor = acceptor.build();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = acceptor.accept(stream.unwrap());
        }
    });
    address
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let sender = Sender::new().await;
    let port = self_signed().port();
    let adapter = adapter(
        &format!("https://localhost:{port}"),
        TOKEN,
        &sender.fixture.assets,
    );
    let fault = adapter
        .deliver(&handover(Kind::Insert), &sender.package)
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::CertificateInvalid, "{fault}");
}

#[tokio::test]
async fn a_large_file_passes_through_little_memory() {
    const BYTES: u64 = 400 << 20;
    const ALLOWED_KB: u64 = 60 << 10;
    let scene = Scene::new(Misbehaviours::none()).await;
    let mut package = scene.package(1).await;
    let file = &mut package.tracks[0].audio.as_mut().unwrap().file;
    let path = scene.fixture.root().join(file.path.as_ref());
    File::create(path).unwrap().set_len(BYTES).unwrap();
    let mut hasher = Sha256::new();
    for _ in 0..BYTES >> 20 {
        hasher.update(vec![0; 1 << 20]);
    }
    file.size = BYTES;
    file.sha256 = hex::encode(hasher.finalize());
    let adapter = scene.adapter();
    // Other tests run in this process; what counts is that the file is not in memory.
    let before = resident_kb();
    let handover = handover(Kind::Insert);
    let sending = adapter.deliver(&handover, &package);
    let mut sending = std::pin::pin!(sending);
    let mut most = 0;
    let receipt = loop {
        tokio::select! {
            receipt = &mut sending => break receipt.unwrap(),
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {
                most = most.max(resident_kb());
            }
        }
    };
    assert!(receipt.partner_release_id.is_some());
    let received = scene.partner.ledger().received(&handover.key()).unwrap();
    assert!(received[0].files.iter().any(|file| file.size == BYTES));
    assert!(
        most < before + ALLOWED_KB + other_tests_kb(),
        "{before} kB before, {most} kB while sending"
    );
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What the other tests of this process may take meanwhile: less than half of the file.
fn other_tests_kb() -> u64 {
    120 << 10
}
