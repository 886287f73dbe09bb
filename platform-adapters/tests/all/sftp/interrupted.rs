//! Deliveries that are cut off: by the server, by the worker, at the worst moment.

use std::{fs, sync::Arc, time::Duration};

use platform_adapters::{
    Adapter, Code, FaultClass, Located,
    package::Package,
    release::ReleaseType,
    sftp::{Layout, Marker, Remote, SftpAdapter},
};
use serde_json::json;

use super::partner::{Partner, Proxy, handover};
use crate::fixtures::{Fixture, wav};

const MIB: u64 = 1024 * 1024;

/// A single whose recording is large enough for an upload to be cut off in its middle: 14 MB.
async fn large_package(fixture: &Fixture) -> Package {
    let mut release = fixture.release(ReleaseType::Single, 1);
    let track = &mut release.tracks[0];
    track.duration_s = Some(80);
    fixture.write(
        track.audio_file.as_ref().unwrap(),
        &wav(44_100, 16, 2, 80.0),
    );
    fixture.package(&release).await
}

/// Begins a delivery that comes to a standstill in the middle of the recording, and waits for it.
async fn begin_and_stall(
    partner: &Partner,
    proxy: &Proxy,
    adapter: &Arc<SftpAdapter>,
    package: &Package,
) -> tokio::task::JoinHandle<Result<platform_adapters::Receipt, platform_adapters::Fault>> {
    proxy.stall_up_after(6 * MIB);
    let mut delivery = tokio::spawn({
        let (adapter, package) = (Arc::clone(adapter), package.clone());
        async move { adapter.deliver(&handover(1), &package).await }
    });
    tokio::select! {
        () = proxy.stalled() => {}
        ended = &mut delivery => panic!("ended before it came to a standstill: {ended:?}"),
    }
    // What has passed the wire reaches the disk.
    let resources = partner.incoming().join(Layout::new(&handover(1)).resources);
    loop {
        let arrived: u64 = fs::read_dir(&resources)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        if arrived >= 5 * MIB {
            return delivery;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn assert_complete(partner: &Partner, fixture: &Fixture, package: &Package) {
    let layout = Layout::new(&handover(1));
    let on_disk = partner.files();
    assert_eq!(on_disk.len(), 5, "{:?}", on_disk.keys());
    for file in package.files() {
        let sent = fs::read(fixture.root().join(file.path.as_ref())).unwrap();
        let path = format!("{}/{}", layout.resources, file.name);
        assert!(on_disk[&path].bytes == sent, "{path}");
    }
    assert!(on_disk.contains_key(&layout.marker));
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_gets_the_rest_later() {
    let (mut partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let package = large_package(&fixture).await;
    let platform = proxy.platform(&partner, json!({}));
    let adapter = Arc::new(SftpAdapter::new(&platform, fixture.assets.clone()).unwrap());

    let delivery = begin_and_stall(&partner, &proxy, &adapter, &package).await;
    partner.sshd.kill();
    let fault = delivery.await.unwrap().unwrap_err();
    assert_eq!(fault.code, Code::ConnectionLost, "{fault}");
    let down = adapter.deliver(&handover(1), &package).await.unwrap_err();
    assert_eq!(down.class(), FaultClass::Transient, "{down}");
    let marker = Layout::new(&handover(1)).marker;
    assert!(!partner.files().contains_key(&marker));

    partner.restart().await;
    proxy.stall_up_after(u64::MAX);
    let before = proxy.bytes_up();
    adapter.deliver(&handover(1), &package).await.unwrap();
    assert_complete(&partner, &fixture, &package);
    let total: u64 = package.files().map(|file| file.size).sum();
    assert!(
        proxy.bytes_up() - before < total - 4 * MIB,
        "the beginning was sent again"
    );
}

#[tokio::test]
async fn a_part_that_is_not_what_was_sent_is_found_and_sent_anew() {
    let (mut partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let package = large_package(&fixture).await;
    let platform = proxy.platform(&partner, json!({}));
    let adapter = Arc::new(SftpAdapter::new(&platform, fixture.assets.clone()).unwrap());
    let delivery = begin_and_stall(&partner, &proxy, &adapter, &package).await;
    partner.sshd.kill();
    delivery.await.unwrap().unwrap_err();

    // As after a power failure: the size is there, the bytes are not.
    let resources = partner.incoming().join(Layout::new(&handover(1)).resources);
    let part = fs::read_dir(&resources).unwrap().next().unwrap().unwrap();
    let size = usize::try_from(part.metadata().unwrap().len()).unwrap();
    fs::write(part.path(), vec![0; size]).unwrap();

    partner.restart().await;
    proxy.stall_up_after(u64::MAX);
    let fault = adapter.deliver(&handover(1), &package).await.unwrap_err();
    assert_eq!(fault.code, Code::TransferCorrupt, "{fault}");
    adapter.deliver(&handover(1), &package).await.unwrap();
    assert_complete(&partner, &fixture, &package);
}

#[tokio::test]
async fn a_dropped_delivery_hangs_up_and_can_be_begun_again() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let package = large_package(&fixture).await;
    let platform = proxy.platform(&partner, json!({"limits": {"concurrency": 1}}));
    let adapter = Arc::new(SftpAdapter::new(&platform, fixture.assets.clone()).unwrap());

    let delivery = begin_and_stall(&partner, &proxy, &adapter, &package).await;
    delivery.abort();
    assert!(delivery.await.unwrap_err().is_cancelled());
    proxy.closed_by_client().await;

    proxy.stall_up_after(u64::MAX);
    adapter.deliver(&handover(1), &package).await.unwrap();
    assert_complete(&partner, &fixture, &package);
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_file_that_changes_on_the_way_is_never_given_its_name() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let package = fixture
        .package(&fixture.release(ReleaseType::Single, 1))
        .await;
    let file = package.files().next().unwrap();
    let source = fixture.root().join(file.path.as_ref());
    let mut bytes = fs::read(&source).unwrap();
    bytes[5000] ^= 1;
    fs::write(&source, bytes).unwrap();
    let adapter = partner.adapter(&fixture);
    let fault = adapter.deliver(&handover(1), &package).await.unwrap_err();
    assert_eq!(fault.code, Code::AssetChanged, "{fault}");
    assert!(partner.files().is_empty());
}

#[tokio::test]
async fn a_connection_lost_while_the_marker_gets_its_name_leaves_the_outcome_unknown() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let platform = proxy.platform(&partner, json!({}));

    // How much the server says in all when a marker is written.
    let whole = Remote::new(&platform).unwrap();
    let written = whole.put_marker("one/complete", b"done\n").await.unwrap();
    assert_eq!(written, Marker::Written);
    let said = proxy.bytes_down();

    // The last byte of its last answer is lost.
    proxy.cut_down_after(said - 1);
    let cut = Remote::new(&platform).unwrap();
    let fault = cut.put_marker("two/complete", b"done\n").await.unwrap_err();
    assert_eq!(fault.code, Code::OutcomeUnknown, "{fault}");
    assert_eq!(fault.class(), FaultClass::Unknown);

    proxy.cut_down_after(u64::MAX);
    let before = partner.files();
    assert_eq!(before["two/complete"].bytes, b"done\n");
    let again = cut.put_marker("two/complete", b"done\n").await.unwrap();
    assert_eq!(again, Marker::AlreadyThere);
    assert!(before == partner.files());

    // Seen by the adapter: it looks before it sends.
    let package = fixture
        .package(&fixture.release(ReleaseType::Single, 1))
        .await;
    let adapter = SftpAdapter::new(&platform, fixture.assets.clone()).unwrap();
    adapter.deliver(&handover(1), &package).await.unwrap();
    let located = adapter.locate(&handover(1), &package).await.unwrap();
    assert!(matches!(located, Located::Complete(_)));
}
