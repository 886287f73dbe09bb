//! Deliveries that are cut off: by the server, by the worker, at the worst moment.

use std::{fs, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use platform_adapters::{
    Adapter, Code, FaultClass, Located,
    package::{Package, PackagedFile},
    release::ReleaseType,
    sftp::{Marker, Remote, SftpAdapter},
};
use serde_json::json;

use super::partner::{Partner, Proxy, handover, layout};
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
    let resources = partner
        .incoming()
        .join(layout(&handover(1), package).resources);
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
    let layout = layout(&handover(1), package);
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
    assert_eq!(fault.class(), FaultClass::Transient, "{fault}");
    let marker = layout(&handover(1), &package).marker;
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
    let resources = partner
        .incoming()
        .join(layout(&handover(1), &package).resources);
    // The recording's: the picture may be there as well, in part or as a whole.
    let (part, size) = fs::read_dir(&resources)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
        .max_by_key(|(_, size)| *size)
        .unwrap();
    fs::write(part, vec![0; usize::try_from(size).unwrap()]).unwrap();

    partner.restart().await;
    proxy.stall_up_after(u64::MAX);
    let before = proxy.bytes_up();
    adapter.deliver(&handover(1), &package).await.unwrap();
    assert_complete(&partner, &fixture, &package);
    let recording = package.files().map(|file| file.size).max().unwrap();
    assert!(
        proxy.bytes_up() - before > recording,
        "all of it was sent anew"
    );
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

#[tokio::test]
async fn uploads_that_are_cut_once_go_on_within_the_attempt() {
    const UPLOADS: u64 = 10;
    const SIZE: u64 = 20_000_000;
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let remote = Remote::new(&proxy.platform(&partner, json!({}))).unwrap();
    let mut random = Random(0x5f7_2026);
    let bytes: Vec<u8> = (0..SIZE / 8)
        .flat_map(|_| random.next().to_le_bytes())
        .collect();
    fixture.write("recording.wav", &bytes);
    let file = PackagedFile {
        name: "recording.wav".into(),
        path: "recording.wav".into(),
        text: None,
        size: SIZE,
        sha256: hex::encode(Sha256::digest(&bytes)),
        md5: String::new(),
        media_type: "audio/wav",
    };
    let before = proxy.bytes_up();
    for upload in 0..UPLOADS {
        let at = random.next() % SIZE;
        let connections = proxy.connections();
        proxy.cut_up_once_after(at);
        let folder = format!("upload-{upload}");
        let done = remote
            .put_files(&fixture.assets, &folder, &[&file], &[])
            .await
            .unwrap_or_else(|fault| panic!("upload {upload}, cut at {at}: {fault}"));
        assert_eq!(done.sent, 1);
        assert!(!proxy.is_cut_to_come() && proxy.connections() > connections);
        let received = fs::read(partner.incoming().join(&folder).join(&file.name)).unwrap();
        assert!(received == bytes, "upload {upload}, cut at {at}");
    }
    let sent = proxy.bytes_up() - before;
    assert!(
        sent < UPLOADS * SIZE * 5 / 4,
        "{sent} bytes sent for {}",
        UPLOADS * SIZE
    );
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[tokio::test]
async fn two_workers_at_the_same_hand_over_end_with_one_that_is_whole() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let package = large_package(&fixture).await;
    let platform = partner.platform(json!({}), json!({}));
    let workers: Vec<_> = (0..3)
        .map(|_| SftpAdapter::new(&platform, fixture.assets.clone()).unwrap())
        .collect();
    let handover = handover(1);
    let deliveries = workers.iter().map(|one| one.deliver(&handover, &package));
    let outcomes = futures_util::future::join_all(deliveries).await;
    for fault in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(fault.class(), FaultClass::Transient, "{fault}");
    }
    workers[0].deliver(&handover, &package).await.unwrap();
    assert_complete(&partner, &fixture, &package);
}

#[tokio::test]
async fn a_worker_that_wakes_up_late_leaves_alone_what_is_complete() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let package = large_package(&fixture).await;
    let platform = proxy.platform(&partner, json!({}));
    let asleep = Arc::new(SftpAdapter::new(&platform, fixture.assets.clone()).unwrap());
    let late = begin_and_stall(&partner, &proxy, &asleep, &package).await;

    let awake = partner.adapter(&fixture);
    awake.deliver(&handover(1), &package).await.unwrap();
    assert_complete(&partner, &fixture, &package);
    let before = partner.files();
    // It goes on with what it had open, and with all that follows.
    proxy.go_on();
    let _whatever = late.await.unwrap();
    // It may end in the middle of a file under a temporary name, which nobody looks at.
    let after = partner.files();
    for (path, file) in &before {
        let bytes = after.get(path).map(|found| &found.bytes);
        assert!(bytes == Some(&file.bytes), "{path} is as it was");
    }
    let marker = layout(&handover(1), &package).marker;
    assert!(before[&marker] == after[&marker]);
    let beside: Vec<_> = after
        .keys()
        .filter(|path| !before.contains_key(*path) && !path.ends_with(".part"))
        .collect();
    assert!(beside.is_empty(), "{beside:?}");
}
