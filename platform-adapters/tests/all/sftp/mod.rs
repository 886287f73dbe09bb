//! Delivery by SFTP to a real OpenSSH server: what lies on its disk afterwards.

mod acknowledgements;
mod faults;
mod interrupted;
mod logins;
mod partner;
mod servers;
mod transfers;

use std::fs;

use partner::{Partner, handover, layout};
use platform_adapters::{
    Adapter, Kind, Located, Status,
    package::{Manifest, Metadata, assemble},
    release::ReleaseType,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::fixtures::Fixture;

#[tokio::test]
async fn a_hand_over_is_complete_and_says_so_last() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let package = fixture.package(&fixture.release(ReleaseType::Ep, 4)).await;
    let adapter = partner.adapter(&fixture);
    let handover = handover(1);
    assert_eq!(
        adapter.locate(&handover, &package).await.unwrap(),
        Located::Absent
    );

    let receipt = adapter.deliver(&handover, &package).await.unwrap();

    let layout = layout(&handover, &package);
    let on_disk = partner.files();
    let names: Vec<&str> = on_disk.keys().map(String::as_str).collect();
    let mut expected: Vec<String> = package
        .files()
        .map(|file| format!("{}/{}", layout.resources, file.name))
        .chain([
            layout.metadata,
            layout.manifest.clone(),
            layout.marker.clone(),
        ])
        .collect();
    expected.sort();
    assert_eq!(names, expected);
    let manifest: Manifest = serde_json::from_slice(&on_disk[&layout.manifest].bytes).unwrap();
    assert_eq!(manifest.files.len(), 5);
    for listed in manifest.files.iter().chain(&manifest.documents) {
        let found = &on_disk[&format!("{}/{}", layout.folder, listed.name)];
        assert_eq!(hex::encode(Sha256::digest(&found.bytes)), listed.sha256);
        assert_eq!(found.bytes.len() as u64, listed.size);
    }
    let marker = &on_disk[&layout.marker];
    let sum = hex::encode(Sha256::digest(&on_disk[&layout.manifest].bytes));
    assert_eq!(
        String::from_utf8_lossy(&marker.bytes),
        format!("{sum}  manifest.json\n")
    );
    assert!(on_disk.values().all(|file| file.changed <= marker.changed));

    assert_eq!(receipt.confirmed, "completion marker and 5 files verified");
    assert_eq!(receipt.message_id, Some(handover.key()));
    assert_eq!(
        receipt.remote_path,
        Some(
            partner
                .incoming()
                .join(&layout.folder)
                .display()
                .to_string()
        )
    );
    assert!(receipt.is_final);
    for document in &receipt.evidence {
        let path = format!("{}/{}", layout.folder, document.name);
        assert!(document.body == on_disk[&path].bytes, "{path}");
    }
    let status = adapter.status(&handover, &receipt).await.unwrap();
    assert_eq!(status, Status::Accepted(Box::new(receipt)));
}

#[tokio::test]
async fn a_second_delivery_of_the_same_hand_over_touches_nothing() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let package = fixture
        .package(&fixture.release(ReleaseType::Single, 1))
        .await;
    let adapter = partner.adapter(&fixture);
    let first = adapter.deliver(&handover(1), &package).await.unwrap();
    let before = partner.files();
    let second = partner
        .adapter(&fixture)
        .deliver(&handover(1), &package)
        .await
        .unwrap();
    assert!(before == partner.files());
    assert_eq!(second.evidence, first.evidence);
    assert_eq!(second.remote_path, first.remote_path);
    let located = adapter.locate(&handover(1), &package).await.unwrap();
    assert!(matches!(located, Located::Complete(receipt) if receipt.evidence == first.evidence));
}

#[tokio::test]
async fn what_an_earlier_attempt_left_is_kept_when_right_and_replaced_when_wrong() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let package = fixture.package(&fixture.release(ReleaseType::Ep, 3)).await;
    let adapter = partner.adapter(&fixture);
    let layout = layout(&handover(1), &package);
    adapter.deliver(&handover(1), &package).await.unwrap();
    let before = partner.files();

    // As if the attempt had ended before the marker, with one file damaged, size and all else right.
    let resources: Vec<String> = package
        .files()
        .map(|file| format!("{}/{}", layout.resources, file.name))
        .collect();
    let damaged = partner.incoming().join(&resources[1]);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[1000] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let stray = format!("{}/.stray.wav.0123.part", layout.resources);
    fs::write(partner.incoming().join(stray), "left over").unwrap();
    fs::remove_file(partner.incoming().join(&layout.marker)).unwrap();

    adapter.deliver(&handover(1), &package).await.unwrap();
    let after = partner.files();
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    for (path, file) in &after {
        assert!(file.bytes == before[path].bytes, "{path}");
    }
    assert!(after[&resources[0]] == before[&resources[0]]);
    assert!(after[&resources[2]] == before[&resources[2]]);
    assert!(after[&layout.manifest] == before[&layout.manifest]);
}

#[tokio::test]
async fn a_resend_is_another_hand_over() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let package = fixture
        .package(&fixture.release(ReleaseType::Single, 1))
        .await;
    let adapter = partner.adapter(&fixture);
    adapter.deliver(&handover(1), &package).await.unwrap();
    let first = partner.files();
    adapter.deliver(&handover(2), &package).await.unwrap();
    let both = partner.files();
    assert_eq!(both.len(), 2 * first.len());
    assert!(first.iter().all(|(path, file)| both[path] == *file));
}

#[tokio::test]
async fn a_takedown_is_documents_and_marker_alone() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let release = fixture.release(ReleaseType::Single, 1);
    let platform = partner.platform(json!({}), json!({}));
    let package = assemble(&release, &platform, Kind::Takedown, &fixture.assets)
        .await
        .unwrap();
    let takedown = platform_adapters::Handover {
        kind: Kind::Takedown,
        ..handover(1)
    };
    partner
        .adapter(&fixture)
        .deliver(&takedown, &package)
        .await
        .unwrap();
    let layout = layout(&takedown, &package);
    let on_disk = partner.files();
    assert_eq!(on_disk.len(), 3);
    let metadata: Metadata = serde_json::from_slice(&on_disk[&layout.metadata].bytes).unwrap();
    assert_eq!(metadata.handover.kind, Kind::Takedown);
    let manifest: Manifest = serde_json::from_slice(&on_disk[&layout.manifest].bytes).unwrap();
    assert!(manifest.files.is_empty());
    assert!(on_disk.contains_key(&layout.marker));
}

#[tokio::test]
async fn deliveries_at_the_same_time_share_a_bounded_number_of_connections() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let platform = proxy.platform(&partner, json!({"limits": {"concurrency": 2}}));
    let adapter =
        platform_adapters::sftp::SftpAdapter::new(&platform, fixture.assets.clone()).unwrap();
    let package = fixture
        .package(&fixture.release(ReleaseType::Single, 1))
        .await;
    let handovers: Vec<_> = (1..=6).map(handover).collect();
    let deliveries = handovers
        .iter()
        .map(|handover| adapter.deliver(handover, &package));
    for outcome in futures_util::future::join_all(deliveries).await {
        outcome.unwrap();
    }
    assert_eq!(proxy.connections(), 2);
    assert_eq!(partner.files().len(), 6 * 5);
}
