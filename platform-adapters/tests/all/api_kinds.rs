//! Partners of every usual kind, by settings alone: how they know us, in which form they take a
//! release, where files go, and what takes a release down.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::http::Method;
use platform_adapters::{
    Adapter, Code, Fault, Kind, Located, Receipt, Status,
    api::ApiAdapter,
    package::Package,
    release::ReleaseType,
    settings::{Platform, PlatformRow, Secretive},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    api::handover,
    api_partner::{Answer, ScriptedPartner, Seen, json as answer},
    fixtures::Fixture,
};

fn platform(endpoint: &str, credentials: Value, api: Value) -> Platform {
    Platform::from_row(&PlatformRow {
        id: 3,
        name: "Nordlys".into(),
        api_endpoint: Some(endpoint.into()),
        api_credentials: Some(Secretive(credentials)),
        delivery_method: "api".into(),
        format_specs: Some(json!({"allow_private_addresses": true, "api": api})),
        ..PlatformRow::default()
    })
    .unwrap()
}

struct Scene {
    fixture: Fixture,
    package: Package,
}

impl Scene {
    async fn new() -> Self {
        let fixture = Fixture::new();
        let release = fixture.release(ReleaseType::Ep, 2);
        let package = fixture.package(&release).await;
        Self { fixture, package }
    }

    fn adapter(&self, partner: &ScriptedPartner, credentials: Value, api: Value) -> ApiAdapter {
        let platform = platform(&partner.url(), credentials, api);
        ApiAdapter::new(&platform, self.fixture.assets.clone()).unwrap()
    }

    async fn deliver(&self, adapter: &ApiAdapter) -> Result<Receipt, Fault> {
        adapter
            .deliver(&handover(Kind::Insert), &self.package)
            .await
    }
}

fn created(_: &Seen) -> Answer {
    answer(
        201,
        json!({"id": "r1", "url": "https://partner.example/r1"}),
    )
}

#[tokio::test]
async fn a_partner_knows_us_in_every_usual_way() {
    let scene = Scene::new().await;
    let cases = [
        (
            json!({"bearer_token": "s3cret-token"}),
            "authorization",
            "Bearer s3cret-token",
        ),
        (
            json!({"username": "tm", "password": "s3cret-pass"}),
            "authorization",
            "Basic dG06czNjcmV0LXBhc3M=",
        ),
        (json!({"api_key": "s3cret-key"}), "x-api-key", "s3cret-key"),
        (
            json!({"api_key": "s3cret-key", "api_key_header": "X-Kiosk"}),
            "x-kiosk",
            "s3cret-key",
        ),
    ];
    for (credentials, header, value) in cases {
        let partner = ScriptedPartner::start(created).await;
        let adapter = scene.adapter(&partner, credentials, json!({}));
        scene.deliver(&adapter).await.unwrap();
        assert_eq!(partner.seen()[0].header(header), value);
    }

    let partner = ScriptedPartner::start(|_| answer(403, json!({"reason": "no s3cret key"}))).await;
    let credentials = json!({"api_key": "s3cret key", "api_key_query": "k"});
    let adapter = scene.adapter(&partner, credentials, json!({"create": "/releases?v=2"}));
    let fault = scene.deliver(&adapter).await.unwrap_err();
    assert_eq!(fault.code, Code::CredentialsRefused);
    assert_eq!(partner.seen()[0].path, "/v1/releases?v=2&k=s3cret+key");
    assert!(!format!("{fault:?}").contains("s3cret"), "{fault:?}");
}

#[tokio::test]
async fn two_ways_that_exclude_each_other_are_refused() {
    let scene = Scene::new().await;
    let credentials = json!({"bearer_token": "a", "username": "b", "password": "c"});
    let platform = platform("https://partner.example", credentials, json!({}));
    let fault = ApiAdapter::new(&platform, scene.fixture.assets.clone())
        .err()
        .unwrap();
    assert_eq!(fault.code, Code::SettingsInvalid);
    assert!(
        fault.message.contains("bearer_token and password"),
        "{fault}"
    );
}

/// A partner that gives tokens, the second of which is the only one that it takes when `ended`.
async fn with_tokens(expires_in: u64, ended: bool) -> ScriptedPartner {
    let given = AtomicU32::new(0);
    ScriptedPartner::start(move |seen| {
        if seen.path == "/v1/token" {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return answer(
                200,
                json!({"access_token": format!("s3cret-token-{number}"), "token_type": "Bearer",
                       "expires_in": expires_in}),
            );
        }
        let is_late = ended && given.load(Ordering::SeqCst) < 2;
        match seen.header("authorization") {
            "Bearer s3cret-token-1" if is_late && seen.method == Method::POST => {
                answer(401, json!({"reason": "s3cret-token-1 has ended"}))
            }
            value if value.starts_with("Bearer s3cret-token-") => {
                answer(200, json!({"id": "r1", "status": "live"}))
            }
            _ => answer(401, json!({})),
        }
    })
    .await
}

fn oauth2(partner: &ScriptedPartner) -> Value {
    json!({"oauth2": {
        "token_url": format!("{}/token", partner.url()), "client_id": "tm&co",
        "client_secret": "cl1ent", "scope": "deliver",
    }})
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_it_ends() {
    let scene = Scene::new().await;
    let partner = with_tokens(3600, false).await;
    let adapter = scene.adapter(&partner, oauth2(&partner), json!({}));
    let receipt = scene.deliver(&adapter).await.unwrap();
    assert!(matches!(
        adapter.status(&handover(Kind::Insert), &receipt).await,
        Ok(Status::Accepted(_))
    ));
    assert_eq!(
        partner.lines(),
        ["POST /v1/token", "POST /v1/releases", "GET /v1/releases/r1"]
    );
    let asked = &partner.seen()[0];
    assert_eq!(asked.header("authorization"), "Basic dG0lMjZjbzpjbDFlbnQ=");
    assert_eq!(asked.body, b"grant_type=client_credentials&scope=deliver");

    // One that the partner ended before its time is replaced, and the request sent again.
    let partner = with_tokens(3600, true).await;
    let adapter = scene.adapter(&partner, oauth2(&partner), json!({}));
    adapter.check().await.unwrap();
    scene.deliver(&adapter).await.unwrap();
    let lines = partner.lines();
    assert_eq!(
        lines,
        [
            "POST /v1/token",
            "GET /v1/",
            "POST /v1/releases",
            "POST /v1/token",
            "POST /v1/releases"
        ]
    );

    // A token that does not last is not used twice.
    let partner = with_tokens(0, false).await;
    let adapter = scene.adapter(&partner, oauth2(&partner), json!({}));
    scene.deliver(&adapter).await.unwrap();
    scene.deliver(&adapter).await.unwrap();
    let tokens = partner
        .lines()
        .iter()
        .filter(|l| l.ends_with("token"))
        .count();
    assert_eq!(tokens, 2);
}

#[tokio::test]
async fn a_refused_client_is_a_matter_of_credentials_and_shows_no_secret() {
    let scene = Scene::new().await;
    let partner = ScriptedPartner::start(|_| {
        answer(
            400,
            json!({"error": "invalid_client", "error_description": "cl1ent is wrong"}),
        )
    })
    .await;
    let mut credentials = oauth2(&partner);
    credentials["oauth2"]["client_authentication"] = "form".into();
    let adapter = scene.adapter(&partner, credentials, json!({}));
    let fault = scene.deliver(&adapter).await.unwrap_err();
    assert_eq!(fault.code, Code::CredentialsRefused, "{fault}");
    assert!(fault.message.contains("[redacted] is wrong"), "{fault}");
    assert!(!format!("{fault:?}").contains("cl1ent"), "{fault:?}");
    let body = String::from_utf8(partner.seen()[0].body.clone()).unwrap();
    assert!(
        body.ends_with("client_id=tm%26co&client_secret=cl1ent"),
        "{body}"
    );

    let partner = ScriptedPartner::start(|_| answer(200, json!({"token": "s3cret-token"}))).await;
    let adapter = scene.adapter(&partner, oauth2(&partner), json!({}));
    let fault = scene.deliver(&adapter).await.unwrap_err();
    assert_eq!(fault.code, Code::PartnerError);
    assert!(!format!("{fault:?}").contains("s3cret-token"), "{fault:?}");
}

#[tokio::test]
async fn requests_are_signed() {
    let scene = Scene::new().await;
    let partner = ScriptedPartner::start(created).await;
    let credentials = json!({"hmac": {
        "secret": "s3cret", "key_id": "tm-1",
        "message": "{method}\n{path}\n{timestamp}\n{body_sha256}",
        "header": "Authorization", "value": "TM {key_id}:{signature}", "encoding": "base64",
    }});
    let adapter = scene.adapter(&partner, credentials.clone(), json!({"body": "json"}));
    scene.deliver(&adapter).await.unwrap();
    let seen = &partner.seen()[0];
    let message = format!(
        "POST\n/v1/releases\n{}\n{}",
        seen.header("x-timestamp"),
        hex::encode(Sha256::digest(&seen.body))
    );
    let key = openssl::pkey::PKey::hmac(b"s3cret").unwrap();
    let mut signer =
        openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
    let signature = signer.sign_oneshot_to_vec(message.as_bytes()).unwrap();
    assert_eq!(
        seen.header("authorization"),
        format!("TM tm-1:{}", openssl::base64::encode_block(&signature))
    );

    let adapter = scene.adapter(&partner, credentials, json!({"body": "multipart"}));
    let fault = scene.deliver(&adapter).await.unwrap_err();
    assert_eq!(fault.code, Code::SettingsInvalid);
    assert!(fault.message.contains("multipart"), "{fault}");
}

#[tokio::test]
async fn a_partners_document_is_made_by_template() {
    let scene = Scene::new().await;
    let partner = ScriptedPartner::start(|seen| {
        let id = seen.json()["album"]["barcode"].clone();
        answer(
            200,
            json!({"data": {"ref": id, "href": "https://p.example/x"}}),
        )
    })
    .await;
    let api = json!({
        "create": "PUT /albums/{upc}?attempt={transmission}",
        "body": "json",
        "headers": {"X-Kind": "{kind}", "Accept": "application/json"},
        "idempotency_header": "X-Request-Id",
        "document": {"album": {
            "barcode": "{/release/upc}",
            "name": "{/release/title} ({/release/label})",
            "songs": {"$for_each": "{/tracks}", "$give": {"isrc": "{./isrc}", "file": "{./audio/name}"}},
        }},
        "receipt": {"id": "/data/ref", "url": "/data/href"},
    });
    let adapter = scene.adapter(&partner, json!({"api_key": "k"}), api);
    let receipt = scene.deliver(&adapter).await.unwrap();
    let upc = scene.package.upc.to_string();
    assert_eq!(receipt.partner_release_id.as_deref(), Some(upc.as_str()));
    assert_eq!(receipt.evidence[0].name, "document.json");
    let seen = &partner.seen()[0];
    assert_eq!(seen.method, Method::PUT);
    assert_eq!(seen.path, format!("/v1/albums/{upc}?attempt=1"));
    assert_eq!(seen.header("x-kind"), "insert");
    assert!(!seen.header("x-request-id").is_empty());
    let sent = seen.json();
    assert_eq!(
        sent["album"]["name"],
        format!("{} (Nordlicht Records)", scene.package.release.title)
    );
    assert_eq!(
        sent["album"]["songs"][1]["isrc"],
        scene.package.tracks[1].isrc.as_str()
    );
    assert_eq!(
        sent["album"]["songs"][0]["file"],
        format!("{upc}_01_001.wav")
    );
}

/// What a store of files has, by path.
type Stored = Arc<Mutex<HashMap<String, Vec<u8>>>>;

#[tokio::test]
async fn files_go_to_the_urls_that_the_answer_names() {
    let scene = Scene::new().await;
    let stored: Stored = Arc::default();
    let bucket = {
        let stored = Arc::clone(&stored);
        ScriptedPartner::start(move |seen| {
            assert!(
                seen.header("authorization").is_empty(),
                "a token went elsewhere"
            );
            assert_eq!(seen.header("x-amz-acl"), "private");
            assert_eq!(seen.header("content-length"), seen.body.len().to_string());
            stored
                .lock()
                .unwrap()
                .insert(seen.path.clone(), seen.body.clone());
            answer(200, json!({}))
        })
        .await
    };
    let base = format!("http://{}", bucket.address);
    let partner = ScriptedPartner::start(move |seen| {
        if seen.path.ends_with("/complete") {
            return answer(202, json!({"state": "processing"}));
        }
        let document = seen.json();
        let names = document["tracks"].as_array().unwrap().iter();
        let uploads: Vec<_> = names
            .map(|track| &track["audio"]["name"])
            .chain([&document["artwork"]["name"]])
            .map(|name| {
                let name = name.as_str().unwrap();
                json!({"name": name, "url": format!("{base}/b/{name}?sig=1"),
                       "headers": {"x-amz-acl": "private", "content-length": "7"}})
            })
            .collect();
        answer(201, json!({"id": "r 1", "uploads": uploads}))
    })
    .await;
    let api = json!({"body": "json", "files": {}, "complete": "/releases/{id}/complete"});
    let adapter = scene.adapter(&partner, json!({"bearer_token": "s3cret"}), api);
    let receipt = scene.deliver(&adapter).await.unwrap();
    assert_eq!(receipt.confirmed, "202 Accepted, 3 files one by one");
    assert_eq!(receipt.partner_release_id.as_deref(), Some("r 1"));
    assert_eq!(
        partner.lines(),
        ["POST /v1/releases", "POST /v1/releases/r%201/complete"]
    );
    let stored = stored.lock().unwrap();
    for file in scene.package.files() {
        let bytes = &stored[&format!("/b/{}?sig=1", file.name)];
        assert_eq!(hex::encode(Sha256::digest(bytes)), file.sha256);
    }
}

#[tokio::test]
async fn an_answer_cannot_send_files_into_our_network_or_into_the_clear() {
    let scene = Scene::new().await;
    let name = scene.package.files().next().unwrap().name.clone();
    for url in ["ftp://files.example/x", "http://u:p@files.example/x"] {
        let uploads = json!({&name: url});
        let partner =
            ScriptedPartner::start(move |_| answer(201, json!({"id": "r1", "uploads": uploads})))
                .await;
        let adapter = scene.adapter(&partner, json!({}), json!({"body": "json", "files": {}}));
        let fault = scene.deliver(&adapter).await.unwrap_err();
        assert_eq!(fault.code, Code::SettingsInvalid, "{url}: {fault}");
        assert!(fault.message.contains(&name), "{fault}");
    }
    // Not named at all.
    let partner = ScriptedPartner::start(created).await;
    let adapter = scene.adapter(&partner, json!({}), json!({"body": "json", "files": {}}));
    let fault = scene.deliver(&adapter).await.unwrap_err();
    assert_eq!(fault.code, Code::PartnerError);
    assert!(fault.message.contains("names no URLs"), "{fault}");
}

/// A partner that takes files in ranges, and breaks off twice in the middle of a piece.
async fn with_ranges(stored: Stored) -> ScriptedPartner {
    let cuts = AtomicU32::new(0);
    ScriptedPartner::impatient(
        move |seen| {
            if seen.method == Method::POST {
                return answer(201, json!({"id": "r1"}));
            }
            let mut stored = stored.lock().unwrap();
            let file = stored.entry(seen.path.clone()).or_default();
            let range = seen.header("content-range");
            let total: usize = match range.strip_prefix("bytes ") {
                None => {
                    file.clone_from(&seen.body);
                    seen.body.len()
                }
                Some(range) => {
                    let (piece, total) = range.split_once('/').unwrap();
                    if let Some((from, _)) = piece.split_once('-') {
                        assert_eq!(from.parse::<usize>().unwrap(), file.len(), "a gap");
                        file.extend_from_slice(&seen.body);
                    }
                    total.parse().unwrap()
                }
            };
            if file.len() == total {
                return answer(200, json!({}));
            }
            let range = match file.len() {
                0 => Vec::new(),
                length => vec![("range", format!("bytes=0-{}", length - 1))],
            };
            (308, range, Vec::new())
        },
        move |method, _| {
            let is_cut = method == Method::PUT && cuts.fetch_add(1, Ordering::SeqCst) % 3 == 1;
            is_cut.then_some(50_000)
        },
    )
    .await
}

#[tokio::test]
async fn files_go_in_ranges_and_go_on_where_they_stopped() {
    let scene = Scene::new().await;
    let stored: Stored = Arc::default();
    let partner = with_ranges(Arc::clone(&stored)).await;
    let api = json!({"body": "json", "files": {
        "to": "/releases/{id}/files/{name}", "ranges": "content-range", "piece_bytes": 70_000,
    }});
    let adapter = scene.adapter(&partner, json!({"api_key": "k"}), api);
    scene.deliver(&adapter).await.unwrap();
    let stored = stored.lock().unwrap();
    for file in scene.package.files() {
        let bytes = &stored[&format!("/v1/releases/r1/files/{}", file.name)];
        assert_eq!(
            hex::encode(Sha256::digest(bytes)),
            file.sha256,
            "{}",
            file.name
        );
    }
    assert!(
        partner
            .seen()
            .iter()
            .skip(1)
            .all(|s| s.header("x-api-key") == "k")
    );
}

#[tokio::test]
async fn a_hand_over_that_lacks_files_is_not_taken_for_whole() {
    let scene = Scene::new().await;
    let api = json!({
        "body": "json", "files": {}, "lookup": "/find?key={key}",
        "states": {"incomplete": ["Awaiting files"], "accepted": ["ON AIR"]},
    });
    for (state, is_whole) in [("awaiting-files", false), ("On air", true)] {
        let partner =
            ScriptedPartner::start(move |_| answer(200, json!({"id": "r1", "status": state})))
                .await;
        let adapter = scene.adapter(&partner, json!({}), api.clone());
        let located = adapter
            .locate(&handover(Kind::Insert), &scene.package)
            .await;
        let found = matches!(located.unwrap(), Located::Complete(_));
        assert_eq!(found, is_whole, "{state}");
    }
}

#[tokio::test]
async fn updates_and_takedowns_name_the_partners_own_id() {
    let scene = Scene::new().await;
    let partner = ScriptedPartner::start(created).await;
    let api = json!({
        "update": "PATCH /releases/{id}", "takedown": "POST /releases/{id}/takedown",
    });
    let adapter = scene.adapter(&partner, json!({}), api);
    let mut known = handover(Kind::Update);
    known.partner_release_id = Some("r/1".into());
    adapter.deliver(&known, &scene.package).await.unwrap();
    known.kind = Kind::Takedown;
    let receipt = adapter.deliver(&known, &scene.package).await.unwrap();
    assert!(receipt.is_final);
    assert_eq!(
        partner.lines(),
        [
            "PATCH /v1/releases/r%2F1",
            "POST /v1/releases/r%2F1/takedown"
        ]
    );
    assert_eq!(partner.seen()[1].json()["handover"]["kind"], "takedown");

    let unknown = handover(Kind::Takedown);
    let fault = adapter.deliver(&unknown, &scene.package).await.unwrap_err();
    assert_eq!(fault.code, Code::Unsupported);
    assert!(fault.remedy().contains("{upc}"), "{fault}");
}

#[tokio::test]
async fn a_lookup_that_finds_what_cannot_be_there_is_found_out() {
    let scene = Scene::new().await;
    let api = json!({"lookup": "/find?key={key}", "receipt": {"id": "/items/0/id"}});
    let cases = [
        (json!({"items": [{"id": "r7"}]}), Some("release \"r7\"")),
        (json!({"status": "ok"}), Some("holds no id at")),
        (json!({"items": []}), None),
    ];
    for (body, problem) in cases {
        let partner = ScriptedPartner::start(move |_| answer(200, body.clone())).await;
        let adapter = scene.adapter(&partner, json!({"api_key": "k"}), api.clone());
        match problem {
            Some(problem) => {
                let fault = adapter.check().await.unwrap_err();
                assert!(fault.message.contains(problem), "{fault}");
                assert!(fault.remedy().contains("lookup"), "{}", fault.remedy());
            }
            None => {
                adapter.check().await.unwrap();
                let located = adapter
                    .locate(&handover(Kind::Insert), &scene.package)
                    .await;
                assert_eq!(located.unwrap(), Located::Absent);
            }
        }
    }
}
