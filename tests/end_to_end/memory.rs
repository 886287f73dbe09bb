//! Files are streamed, however large they are.

use std::{fs, io::Write};

use platform_adapters::sandbox::{Misbehaviours, SftpKind};

use super::{
    processes::peak_memory_mb,
    site::{Site, assert_received_once},
};

const FILE_BYTES: u64 = 400_000_000;
/// Beyond what the daemon takes at rest.
const LIMIT_MB: u64 = 80;
const BYTES_PER_SECOND: u32 = 44_100 * 4;

/// A click and then silence in WAV (stereo, 16 bits, 44.1 kHz), sparse on the disk. Silence from end to
/// end would be refused.
fn click(path: &std::path::Path) {
    let data = u32::try_from(FILE_BYTES).unwrap() - 44;
    let mut head = Vec::new();
    head.extend_from_slice(b"RIFF");
    head.extend_from_slice(&(36 + data).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    head.extend_from_slice(&44_100u32.to_le_bytes());
    head.extend_from_slice(&BYTES_PER_SECOND.to_le_bytes());
    head.extend_from_slice(b"\x04\0\x10\0data");
    head.extend_from_slice(&data.to_le_bytes());
    let mut file = fs::File::create(path).unwrap();
    head.extend_from_slice(&[0x40; 400]);
    file.write_all(&head).unwrap();
    file.set_len(FILE_BYTES).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_are_delivered_in_little_memory() {
    let site = Site::new().await;
    let http = site.http("Fjordwave", Misbehaviours::none()).await;
    let sftp = site.sftp("Tidepool", SftpKind::Sftp).await;
    let ddex = site.sftp("Lumiere", SftpKind::Ddex).await;
    let platforms = [
        site.api_platform("Fjordwave", http.url()).await,
        site.sftp_platform("Tidepool", "sftp", &sftp).await,
        site.sftp_platform("Lumiere", "ddex", &ddex).await,
    ];
    let release = site.release(1).await;
    click(&site.assets().join("1/1.wav"));
    sqlx::query("update tracks set duration = $1")
        .bind(i32::try_from(FILE_BYTES / u64::from(BYTES_PER_SECOND)).unwrap())
        .execute(site.pool())
        .await
        .unwrap();
    let daemon = site.daemon("daemon.log");
    daemon.says("queue started").await;
    // Of a build for tests the program itself is a good part of it.
    let at_rest_mb = peak_memory_mb(daemon.pid());
    site.schedule(release, &platforms).await;
    site.until_accepted(3).await;
    let peak_mb = peak_memory_mb(daemon.pid());
    eprintln!("the daemon's resident memory: {at_rest_mb} MB at rest, {peak_mb} MB at most");
    site.stop(daemon).await;
    for ledger in [http.ledger(), sftp.ledger(), ddex.ledger()] {
        assert_received_once(ledger, 1);
    }
    assert!(
        peak_mb - at_rest_mb < LIMIT_MB,
        "{at_rest_mb} to {peak_mb} MB"
    );
}
