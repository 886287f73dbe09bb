//! Hand-overs to an object store: a small one of S3's kind that holds every request against its
//! signature, and a directory of this machine.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use chrono::{TimeZone as _, Utc};
use md5::{Digest as _, Md5};
use platform_adapters::{
    Adapter as _, Batch, BatchEntry, BatchFound, Code, Handover, Kind, Located, Status,
    ddex::{Acknowledgement, DdexAdapter, FileStatus, read_manifest, read_message},
    package::Package,
    release::ReleaseType,
    settings::{Platform, PlatformRow, Secretive},
};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    delivery::word,
    releases::{handover, without_files},
    schemas::schemas,
};
use crate::fixtures::{self, Fixture};

const KEY: &str = "AKIATUNEMANTRA";
const BATCH: &str = "20251124160000043";

/// What the store holds, and what it was asked.
#[derive(Default)]
struct Held {
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, u32), Vec<u8>>,
    asked: Vec<String>,
    /// The next conditional put is done, and not answered.
    loses_answer: bool,
    refuses: bool,
}

type Shared = Arc<Mutex<Held>>;

/// A store of S3's kind on this machine.
struct Store {
    held: Shared,
    url: String,
}

impl Store {
    async fn start() -> Self {
        let held = Shared::default();
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(held.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { held, url }
    }

    fn names(&self) -> Vec<String> {
        self.held.lock().unwrap().objects.keys().cloned().collect()
    }

    fn platform(&self, choreography: &str) -> Platform {
        let credentials = json!({"username": KEY, "password": "not-a-secret"});
        let store = json!({"endpoint": self.url, "region": "eu-north-1"});
        platform("s3://bucket/incoming", credentials, store, choreography)
    }
}

fn platform(endpoint: &str, credentials: Value, store: Value, choreography: &str) -> Platform {
    Platform::from_row(&PlatformRow {
        id: 7,
        name: "Nordlys".into(),
        api_endpoint: Some(endpoint.into()),
        api_credentials: Some(Secretive(credentials)),
        delivery_method: "ddex".into(),
        format_specs: Some(json!({
            "confirmation": "folder",
            "store": store,
            "ddex": {
                "choreography": choreography,
                "sender_dpid": "PADPIDA2014120301C",
                "recipient_dpid": "PADPIDA2009101501Y",
            },
        })),
        ..PlatformRow::default()
    })
    .unwrap()
}

/// Every request is signed, and what it carries is what was signed.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text("authorization").unwrap_or_default();
    authorization.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY}/"))
        && authorization.contains("/eu-north-1/s3/aws4_request")
        && authorization.contains("x-amz-content-sha256")
        && text("x-amz-content-sha256") == Some(&hex::encode(Sha256::digest(body)))
}

async fn answer(
    State(held): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut held = held.lock().unwrap();
    held.asked.push(format!("{method} {uri}"));
    if held.refuses || !is_signed(&headers, &body) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let name = uri
        .path()
        .trim_start_matches("/bucket")
        .trim_start_matches('/')
        .to_owned();
    let part = query
        .get("partNumber")
        .and_then(|number| number.parse().ok());
    let etag = |bytes: &[u8]| {
        [(
            header::ETAG,
            format!("\"{}\"", hex::encode(Md5::digest(bytes))),
        )]
    };
    match (method, part) {
        (Method::PUT, Some(part)) => {
            let tag = etag(&body);
            held.parts.insert((name, part), body.to_vec());
            tag.into_response()
        }
        (Method::PUT, None) => {
            let is_conditional = headers
                .get("if-none-match")
                .is_some_and(|value| value == "*");
            if is_conditional && held.objects.contains_key(&name) {
                return StatusCode::PRECONDITION_FAILED.into_response();
            }
            let tag = etag(&body);
            held.objects.insert(name, body.to_vec());
            if is_conditional && std::mem::take(&mut held.loses_answer) {
                return StatusCode::CONFLICT.into_response();
            }
            tag.into_response()
        }
        (Method::POST, _) if query.contains_key("uploads") => format!(
            "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>{name}</Key>\
             <UploadId>u</UploadId></InitiateMultipartUploadResult>"
        )
        .into_response(),
        (Method::POST, _) => {
            let parts = std::mem::take(&mut held.parts);
            let whole: Vec<u8> = parts.into_values().flatten().collect();
            held.objects.insert(name, whole);
            "<CompleteMultipartUploadResult><ETag>\"u-2\"</ETag></CompleteMultipartUploadResult>"
                .into_response()
        }
        (Method::DELETE, _) => {
            held.objects.remove(&name);
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::GET, _) if query.contains_key("list-type") => listing(&held, &query),
        (Method::GET | Method::HEAD, _) => match held.objects.get(&name) {
            None => StatusCode::NOT_FOUND.into_response(),
            Some(bytes) => {
                let modified = [(header::LAST_MODIFIED, "Mon, 24 Nov 2025 16:00:00 GMT")];
                (modified, etag(bytes), bytes.clone()).into_response()
            }
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn listing(held: &Held, query: &HashMap<String, String>) -> Response {
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let is_shallow = query.contains_key("delimiter");
    let (mut contents, mut folders) = (String::new(), Vec::new());
    for (name, bytes) in &held.objects {
        let Some(rest) = name.strip_prefix(&prefix) else {
            continue;
        };
        match rest.split_once('/') {
            Some((folder, _)) if is_shallow => folders.push(format!("{prefix}{folder}/")),
            _ => contents.push_str(&format!(
                "<Contents><Key>{name}</Key><LastModified>2025-11-24T16:00:00.000Z</LastModified>\
                 <ETag>\"e\"</ETag><Size>{}</Size></Contents>",
                bytes.len()
            )),
        }
    }
    folders.dedup();
    for folder in folders {
        contents.push_str(&format!(
            "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
        ));
    }
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")
        .into_response()
}

fn adapter(fixture: &Fixture, platform: Platform) -> DdexAdapter {
    DdexAdapter::new(
        platform,
        fixture.assets.clone(),
        schemas("messages to a store"),
    )
    .unwrap()
}

/// A single whose track goes in parts.
async fn large(fixture: &Fixture) -> Package {
    let mut release = fixture.release(ReleaseType::Single, 1);
    fixture.write("long.wav", &fixtures::wav(96_000, 24, 2, 18.0));
    release.tracks[0].audio_file = Some("long.wav".into());
    release.tracks[0].duration_s = Some(18);
    fixture.package(&release).await
}

fn in_batch(kind: Kind) -> Handover {
    Handover {
        batch: Some(BATCH.into()),
        ..handover(kind)
    }
}

#[tokio::test]
async fn files_then_message_arrive_in_a_store_once() {
    let (store, fixture) = (Store::start().await, Fixture::new());
    let adapter = adapter(&fixture, store.platform("release-by-release"));
    let (insert, package) = (handover(Kind::Insert), large(&fixture).await);
    assert_eq!(
        adapter.locate(&insert, &package).await.unwrap(),
        Located::Absent
    );
    let icpn = package.upc.to_gtin13();
    let folder = format!("incoming/N_{icpn}_20251124160000042");
    let stray = format!("{folder}/resources/stray.wav");
    store
        .held
        .lock()
        .unwrap()
        .objects
        .insert(stray.clone(), b"of an earlier attempt".to_vec());
    let receipt = adapter.deliver(&insert, &package).await.unwrap();
    assert_eq!(
        receipt.remote_path.as_deref(),
        Some(format!("s3://bucket/{folder}").as_str())
    );
    assert_eq!(store.names().len(), 3, "{:?}", store.names());
    assert!(!store.names().contains(&stray));
    {
        let held = store.held.lock().unwrap();
        let xml = &held.objects[&format!("{folder}/{icpn}.xml")];
        for resource in read_message(xml).unwrap().resources {
            let bytes = &held.objects[&format!("{folder}/{}", resource.uri)];
            assert_eq!(hex::encode(Md5::digest(bytes)), resource.hash);
        }
        let puts: Vec<&String> = held
            .asked
            .iter()
            .filter(|one| one.starts_with("PUT"))
            .collect();
        assert!(
            puts.iter().any(|put| put.contains("partNumber=2")),
            "{puts:?}"
        );
        assert!(puts.last().unwrap().ends_with(".xml"), "{puts:?}");
    }
    let again = adapter.deliver(&insert, &package).await.unwrap();
    assert_eq!(again, receipt);

    // A word that the partner puts below the prefix.
    let said = word(FileStatus::FileOk, 0);
    let name = format!(
        "incoming/acknowledgements/{}",
        said.file_name(&insert.key())
    );
    store
        .held
        .lock()
        .unwrap()
        .objects
        .insert(name, said.to_xml().unwrap());
    let status = adapter.status(&insert, &receipt).await.unwrap();
    assert!(matches!(status, Status::Accepted(_)), "{status:?}");
    assert_eq!(adapter.word_files().await.unwrap().len(), 1);
    let sentences = adapter.check().await.unwrap();
    assert!(sentences[0].contains("read back"), "{sentences:?}");

    store.held.lock().unwrap().refuses = true;
    let fault = adapter.check().await.unwrap_err();
    assert_eq!(fault.code, Code::AccessDenied, "{fault}");
}

/// Lays an insert and a takedown into a batch and completes it, with its first answer lost.
async fn completes_a_batch(
    adapter: &DdexAdapter,
    fixture: &Fixture,
    lose: impl FnOnce(),
) -> Vec<u8> {
    let insert = (in_batch(Kind::Insert), large(fixture).await);
    let small = fixture.release(ReleaseType::Single, 1);
    let small = without_files(fixture.package(&small).await);
    let mut takedown = (in_batch(Kind::Takedown), small);
    takedown.0.revision = 2;
    let mut entries = Vec::new();
    for (handover, package) in [&insert, &takedown] {
        let receipt = adapter.deliver(handover, package).await.unwrap();
        assert_eq!(adapter.deliver(handover, package).await.unwrap(), receipt);
        entries.push(BatchEntry {
            key: handover.key(),
            kind: handover.kind,
            transmission: 1,
            receipt,
        });
    }
    let batch = Batch {
        name: BATCH.into(),
        sealed_at: Utc.timestamp_opt(1_764_003_600, 0).unwrap(),
        entries,
    };
    let BatchFound::Ready(manifest) = adapter.survey_batch(&batch).await.unwrap() else {
        panic!("not ready")
    };
    lose();
    let first = adapter.complete_batch(&batch, manifest.clone()).await;
    if let Err(fault) = &first {
        assert_eq!(fault.code, Code::OutcomeUnknown, "{fault}");
    }
    let found = adapter.survey_batch(&batch).await.unwrap();
    assert!(matches!(found, BatchFound::Complete(_)), "{found:?}");
    let again = adapter
        .complete_batch(&batch, manifest.clone())
        .await
        .unwrap();
    assert_eq!(again.manifest.as_ref(), Some(&manifest));
    assert_eq!(read_manifest(&manifest.body).unwrap().messages.len(), 2);
    manifest.body
}

#[tokio::test]
async fn a_batch_in_a_store_is_completed_once_though_the_answer_is_lost() {
    let (store, fixture) = (Store::start().await, Fixture::new());
    let adapter = adapter(&fixture, store.platform("batch"));
    let lose = || store.held.lock().unwrap().loses_answer = true;
    let manifest = completes_a_batch(&adapter, &fixture, lose).await;
    let held = store.held.lock().unwrap();
    let marker = format!("incoming/N_{BATCH}/BatchComplete_{BATCH}.xml");
    assert_eq!(held.objects[&marker], manifest);
}

#[tokio::test]
async fn a_directory_takes_batches_too() {
    let (directory, fixture) = (tempfile::tempdir().unwrap(), Fixture::new());
    let endpoint = format!("file://{}", directory.path().display());
    let adapter = adapter(&fixture, platform(&endpoint, json!({}), json!({}), "batch"));
    let stray = directory
        .path()
        .join(format!("N_{BATCH}/0000000000000/resources"));
    fs::create_dir_all(&stray).unwrap();
    fs::write(stray.join("called-off.wav"), b"called off").unwrap();
    let manifest = completes_a_batch(&adapter, &fixture, || {}).await;
    let folder = directory.path().join(format!("N_{BATCH}"));
    let marker = folder.join(format!("BatchComplete_{BATCH}.xml"));
    assert_eq!(fs::read(marker).unwrap(), manifest);
    assert!(!folder.join("0000000000000").exists());
    let said = Acknowledgement {
        release_id: None,
        ..word(FileStatus::FileOk, 0)
    };
    let words = directory.path().join("acknowledgements");
    fs::create_dir_all(&words).unwrap();
    fs::write(words.join(said.file_name(BATCH)), said.to_xml().unwrap()).unwrap();
    let files = adapter.word_files().await.unwrap();
    let said = adapter.read_words(&files[0]).await.unwrap();
    assert_eq!((said.len(), said[0].key.as_str()), (1, BATCH));
}
