//! Batches on a real SSH server: what lies there before and after they are complete, and words on them.

use std::fs;

use chrono::{Duration, TimeZone as _, Utc};
use platform_adapters::{
    Adapter as _, Batch, BatchEntry, BatchFound, Code, Evidence, Handover, Kind, Located, Status,
    ddex::{Acknowledgement, DdexAdapter, FileStatus, read_manifest},
    package::Package,
    release::ReleaseType,
    settings::Choreography,
};
use uuid::Uuid;

use super::{
    delivery::{Partner, word},
    releases::{handover, without_files},
    schemas::schemas,
};

const NAME: &str = "20251124160000043";

fn adapter(partner: &Partner) -> DdexAdapter {
    let mut platform = partner.platform("folder");
    let specs = platform.format_specs.ddex.as_mut().unwrap();
    specs.choreography = Choreography::Batch;
    let schemas = schemas("validation of manifests");
    DdexAdapter::new(platform, partner.fixture.assets.clone(), schemas).unwrap()
}

fn in_batch(delivery: u128, kind: Kind) -> Handover {
    Handover {
        delivery: Uuid::from_u128(delivery),
        batch: Some(NAME.into()),
        ..handover(kind)
    }
}

/// Lays hand-overs into a batch, with nothing said yet.
async fn laid(adapter: &DdexAdapter, parts: &[(Handover, Package)]) -> Batch {
    let mut entries = Vec::new();
    for (handover, package) in parts {
        let receipt = adapter.deliver(handover, package).await.unwrap();
        assert!(!receipt.is_final);
        let again = adapter.deliver(handover, package).await.unwrap();
        assert_eq!(again, receipt);
        entries.push(BatchEntry {
            key: handover.key(),
            kind: handover.kind,
            transmission: handover.transmission,
            receipt,
        });
    }
    Batch {
        name: NAME.into(),
        sealed_at: Utc.timestamp_opt(1_764_003_600, 0).unwrap(),
        entries,
    }
}

async fn scene(partner: &Partner) -> Vec<(Handover, Package)> {
    vec![
        (
            in_batch(1, Kind::Insert),
            partner.package(ReleaseType::Single, 1).await,
        ),
        (
            in_batch(2, Kind::Takedown),
            without_files(partner.package(ReleaseType::Ep, 3).await),
        ),
    ]
}

async fn ready(adapter: &DdexAdapter, batch: &Batch) -> Evidence {
    match adapter.survey_batch(batch).await.unwrap() {
        BatchFound::Ready(manifest) => manifest,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_batch_is_said_to_be_complete_last_and_once() {
    let partner = Partner::start().await;
    let adapter = adapter(&partner);
    let parts = scene(&partner).await;
    let batch = laid(&adapter, &parts).await;
    let folder = partner.incoming().join(format!("N_{NAME}"));
    // What was called off is no part of it.
    fs::rename(
        folder.join(parts[0].1.upc.to_gtin13()),
        folder.join("0000000000000"),
    )
    .unwrap();
    let away = adapter.survey_batch(&batch).await.unwrap();
    assert_eq!(away, BatchFound::Lacking(vec![parts[0].0.key()]));
    adapter.deliver(&parts[0].0, &parts[0].1).await.unwrap();

    let manifest = ready(&adapter, &batch).await;
    assert!(!folder.join("0000000000000").exists());
    assert_eq!(manifest, ready(&adapter, &batch).await);
    assert_eq!(manifest.name, format!("BatchComplete_{NAME}.xml"));
    assert!(!folder.join(&manifest.name).exists());
    let read = read_manifest(&manifest.body).unwrap();
    assert_eq!(
        (read.root.as_str(), read.number.as_str()),
        ("/N_20251124160000043", "2")
    );
    let types: Vec<&str> = read
        .messages
        .iter()
        .map(|message| message.delivery_type.as_str())
        .collect();
    assert_eq!(types, ["NewReleaseDelivery", "TakeDown"]);
    let icpn = parts[0].1.upc.to_gtin13();
    assert_eq!(read.messages[0].url, format!("{icpn}/{icpn}.xml"));
    assert_eq!(read.messages[0].icpn, icpn);

    let told = adapter
        .complete_batch(&batch, manifest.clone())
        .await
        .unwrap();
    assert!(!told.is_final);
    assert_eq!(told.manifest.as_ref(), Some(&manifest));
    let written = fs::read(folder.join(&manifest.name)).unwrap();
    assert_eq!(written, manifest.body);
    // Again, after a fault that hid the outcome: nothing is written.
    let changed = fs::metadata(folder.join(&manifest.name))
        .unwrap()
        .modified()
        .unwrap();
    let again = adapter.survey_batch(&batch).await.unwrap();
    assert_eq!(again, BatchFound::Complete(Box::new(told.clone())));
    assert_eq!(
        adapter
            .complete_batch(&batch, manifest.clone())
            .await
            .unwrap(),
        told
    );
    let still = fs::metadata(folder.join(&manifest.name))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(still, changed);

    let mut other = batch.clone();
    other.entries.pop();
    let fault = adapter.survey_batch(&other).await.unwrap_err();
    assert_eq!(fault.code, Code::OutcomeUnknown);
    assert!(fault.message.contains("other messages"), "{fault}");
    fs::remove_dir_all(folder).unwrap();
    let gone = adapter.survey_batch(&batch).await.unwrap();
    assert!(matches!(gone, BatchFound::Gone(_)), "{gone:?}");
}

#[tokio::test]
async fn what_lies_in_an_open_batch_is_gone_on_with() {
    let partner = Partner::start().await;
    let adapter = adapter(&partner);
    let (insert, package) = scene(&partner).await.remove(0);
    assert_eq!(
        adapter.locate(&insert, &package).await.unwrap(),
        Located::Absent
    );
    let receipt = adapter.deliver(&insert, &package).await.unwrap();
    let path = receipt.remote_path.clone().unwrap();
    fs::write(format!("{path}/resources/stray.wav"), b"of another version").unwrap();
    fs::write(format!("{path}/{}.xml", package.upc.to_gtin13()), b"<old/>").unwrap();
    assert_eq!(adapter.deliver(&insert, &package).await.unwrap(), receipt);
    let files = fs::read_dir(format!("{path}/resources")).unwrap().count();
    assert_eq!(files, 2);
}

#[tokio::test]
async fn words_on_a_batch_are_about_its_releases() {
    let partner = Partner::start().await;
    let adapter = adapter(&partner);
    let parts = scene(&partner).await;
    let batch = laid(&adapter, &parts).await;
    let manifest = ready(&adapter, &batch).await;
    adapter.complete_batch(&batch, manifest).await.unwrap();
    let status = async |place: usize| {
        let receipt = &batch.entries[place].receipt;
        adapter.status(&parts[place].0, receipt).await.unwrap()
    };
    assert!(matches!(status(0).await, Status::Pending(_)));

    let put = |place: &str, second: i64, release_id: Option<String>, status: FileStatus| {
        let said = Acknowledgement {
            release_id,
            created_at: Utc.timestamp_opt(1_764_003_600, 0).unwrap() + Duration::seconds(second),
            ..word(status, 0)
        };
        let folder = partner.incoming().join(place);
        fs::create_dir_all(&folder).unwrap();
        let name = said.file_name(NAME);
        fs::write(folder.join(&name), said.to_xml().unwrap()).unwrap();
        name
    };
    let second = parts[1].1.upc.to_string();
    put(
        "acknowledgements",
        1,
        Some(second.clone()),
        FileStatus::ErnMissing,
    );
    assert!(matches!(status(0).await, Status::Pending(_)));
    assert!(matches!(status(1).await, Status::Rejected { .. }));
    put(&format!("N_{NAME}"), 2, None, FileStatus::FileOk);
    assert!(matches!(status(0).await, Status::Accepted(_)));
    assert!(matches!(status(1).await, Status::Accepted(_)));

    let files = adapter.word_files().await.unwrap();
    assert_eq!(files.len(), 1);
    let said = adapter.read_words(&files[0]).await.unwrap();
    assert_eq!(said[0].key, NAME);
    assert_eq!(said[0].release_id.as_deref(), Some(second.as_str()));
}
