//! A partner's own notices: taken when they are signed and fresh, and never otherwise.

use chrono::{DateTime, TimeDelta, Utc};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use platform_adapters::{
    Status,
    api::webhook::{self, Notice, Untrusted},
    settings::{Platform, PlatformRow, Secretive},
};
use serde_json::{Value, json};

const SECRET: &str = "s3cret";
const BODY: &str = r#"{"id": "r1", "idempotency_key": "k-r1-t1", "status": "accepted",
    "url": "https://p.example/r1"}"#;

fn platform(secret: Value, specs: Value) -> Platform {
    Platform::from_row(&PlatformRow {
        id: 3,
        name: "Nordlys".into(),
        api_endpoint: Some("https://partner.example".into()),
        api_credentials: Some(Secretive(json!({"webhook_secret": secret}))),
        delivery_method: "api".into(),
        format_specs: Some(json!({"api": {"webhook": specs}})),
        ..PlatformRow::default()
    })
    .unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_000_000, 0).unwrap()
}

fn signature(secret: &str, message: &str) -> String {
    let key = PKey::hmac(secret.as_bytes()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    hex::encode(signer.sign_oneshot_to_vec(message.as_bytes()).unwrap())
}

fn signed(time: &str, body: &str) -> String {
    signature(SECRET, &format!("{time}.{body}"))
}

fn read(headers: &[(&str, &str)], body: &str) -> Result<Notice, Untrusted> {
    let platform = platform(json!(SECRET), json!({}));
    webhook::read(&platform, headers, body.as_bytes(), now())
}

#[test]
fn a_signed_notice_is_read() {
    let sum = signed("1764000000", BODY);
    let headers = [("x-signature", sum.as_str()), ("X-TIMESTAMP", "1764000000")];
    let notice = read(&headers, BODY).unwrap();
    assert_eq!(notice.key.as_deref(), Some("k-r1-t1"));
    assert_eq!(notice.partner_release_id.as_deref(), Some("r1"));
    let Status::Accepted(receipt) = &notice.status else {
        panic!("{notice:?}")
    };
    assert_eq!(receipt.url.as_deref(), Some("https://p.example/r1"));
    assert_eq!(receipt.evidence[0].body, BODY.as_bytes());
    // The same notice has the same id, another one another.
    assert_eq!(read(&headers, BODY).unwrap().id, notice.id);
    let later = signed("1764000001", BODY);
    let headers = [
        ("x-signature", later.as_str()),
        ("x-timestamp", "1764000001"),
    ];
    assert_ne!(read(&headers, BODY).unwrap().id, notice.id);
}

#[test]
fn what_is_not_signed_or_old_is_not_taken() {
    let (time, old) = ("1764000000", "1763999000");
    let good = signed(time, BODY);
    let other = BODY.replace("accepted", "rejected");
    let refused = [
        (vec![("x-timestamp", time)], BODY, "X-Signature is missing"),
        (
            vec![("x-signature", good.as_str())],
            BODY,
            "X-Timestamp is missing",
        ),
        (
            vec![("x-signature", good.as_str()), ("x-timestamp", time)],
            other.as_str(),
            "not right",
        ),
        // The time is signed: a new one makes an old notice no younger.
        (
            vec![
                ("x-signature", good.as_str()),
                ("x-timestamp", "1764000100"),
            ],
            BODY,
            "not right",
        ),
        (
            vec![("x-signature", ""), ("x-timestamp", time)],
            BODY,
            "not right",
        ),
        (
            vec![("x-signature", good.as_str()), ("x-timestamp", "soon")],
            BODY,
            "is no time",
        ),
    ];
    for (headers, body, words) in refused {
        let error = read(&headers, body).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let sum = signed(old, BODY);
    let headers = [("x-signature", sum.as_str()), ("x-timestamp", old)];
    assert!(matches!(
        read(&headers, BODY).unwrap_err(),
        Untrusted::Stale {
            tolerance_s: 300,
            ..
        }
    ));
    for body in ["{}", "not json", r#"{"status": "perhaps"}"#] {
        let sum = signed(time, body);
        let headers = [("x-signature", sum.as_str()), ("x-timestamp", time)];
        let error = read(&headers, body).unwrap_err();
        assert!(matches!(error, Untrusted::Malformed(_)), "{error}");
    }
}

#[test]
fn several_signatures_and_several_secrets_side_by_side() {
    let specs = json!({"signature_header": "Webhook-Signature", "signature_prefix": "v1=",
                       "id_header": "Webhook-Id", "message": "{id}.{timestamp}.{body}"});
    let platform = platform(json!(["older", SECRET]), specs);
    let time = (now() - TimeDelta::seconds(10)).to_rfc3339();
    let sum = signature(SECRET, &format!("n7.{time}.{BODY}"));
    let header = format!("v1={},v1={sum}", "0".repeat(64));
    let headers = [
        ("webhook-signature", header.as_str()),
        ("x-timestamp", time.as_str()),
        ("webhook-id", "n7"),
    ];
    let notice = webhook::read(&platform, &headers, BODY.as_bytes(), now()).unwrap();
    assert_eq!(notice.id, "n7");
    // The form in which the time stands beside the signatures.
    let sum = signature(SECRET, &format!("n7.1764000000.{BODY}"));
    let header = format!("t=1764000000,v1={sum}");
    let headers = [("webhook-signature", header.as_str()), ("webhook-id", "n7")];
    webhook::read(&platform, &headers, BODY.as_bytes(), now()).unwrap();
}

#[test]
fn settings_with_which_anybody_could_sign_are_refused() {
    // A key is padded with zeros: this is the signature with an empty one.
    let (time, sum) = ("1764000000", signature("\0", &format!("1764000000.{BODY}")));
    let headers = [("x-signature", sum.as_str()), ("x-timestamp", time)];
    for (secret, specs) in [
        (json!(""), json!({})),
        (json!([]), json!({})),
        (json!(SECRET), json!({"message": "{body}"})),
        (json!(SECRET), json!({"message": "{timestamp}"})),
    ] {
        let platform = platform(secret, specs);
        let error = webhook::read(&platform, &headers, BODY.as_bytes(), now()).unwrap_err();
        assert!(matches!(error, Untrusted::Settings(_)), "{error}");
    }
}
