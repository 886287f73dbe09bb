//! Hand-overs to an object store: a small one of S3's kind, and a directory of this machine.

use std::fs;

use chrono::{TimeZone as _, Utc};
use platform_adapters::{
    Adapter as _, Batch, BatchEntry, BatchFound, Code, Handover, Kind, Located, Status,
    ddex::{Acknowledgement, DdexAdapter, FileStatus, read_manifest, read_message},
    package::Package,
    release::ReleaseType,
    settings::{Platform, PlatformRow, Secretive},
};
use serde_json::{Value, json};

use super::{
    delivery::word,
    releases::{handover, without_files},
    schemas::schemas,
};
use crate::{
    bucket::{self, Bucket},
    fixtures::{self, Fixture},
};

const BATCH: &str = "20251124160000043";

/// A platform whose partner is this store.
fn platform_of(store: &Bucket, choreography: &str) -> Platform {
    let credentials = json!({"username": bucket::KEY, "password": bucket::SECRET});
    let specs = json!({"endpoint": store.url, "region": bucket::REGION});
    platform("s3://bucket/incoming", credentials, specs, choreography)
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
    let (store, fixture) = (Bucket::start().await, Fixture::new());
    let adapter = adapter(&fixture, platform_of(&store, "release-by-release"));
    let (insert, package) = (handover(Kind::Insert), large(&fixture).await);
    assert_eq!(
        adapter.locate(&insert, &package).await.unwrap(),
        Located::Absent
    );
    let icpn = package.upc.to_gtin13();
    let folder = format!("incoming/N_{icpn}_20251124160000042");
    let stray = format!("{folder}/resources/stray.wav");
    store
        .held()
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
        let held = store.held();
        let xml = &held.objects[&format!("{folder}/{icpn}.xml")];
        for resource in read_message(xml).unwrap().resources {
            let bytes = &held.objects[&format!("{folder}/{}", resource.uri)];
            assert_eq!(bucket::md5(bytes), resource.hash);
        }
        let puts = held.puts();
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
    store.held().objects.insert(name, said.to_xml().unwrap());
    let status = adapter.status(&insert, &receipt).await.unwrap();
    assert!(matches!(status, Status::Accepted(_)), "{status:?}");
    assert_eq!(adapter.word_files().await.unwrap().len(), 1);
    let sentences = adapter.check().await.unwrap();
    assert!(sentences[0].contains("read back"), "{sentences:?}");

    store.held().refuses = true;
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
    let (store, fixture) = (Bucket::start().await, Fixture::new());
    let adapter = adapter(&fixture, platform_of(&store, "batch"));
    let lose = || store.held().loses_answer = true;
    let manifest = completes_a_batch(&adapter, &fixture, lose).await;
    let held = store.held();
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
