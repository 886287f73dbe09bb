//! Files on their way: over several connections, in ranges, under the partner's own names.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use platform_adapters::{
    Adapter, Status,
    package::PackagedFile,
    release::ReleaseType,
    sftp::{Layout, Remote, SftpAdapter},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::partner::{Partner, handover};
use crate::fixtures::Fixture;

const MIB: usize = 1024 * 1024;

/// A file of the fixture whose bytes do not repeat.
fn file(fixture: &Fixture, name: &str, size: usize) -> PackagedFile {
    let mut sink = BufWriter::new(File::create(fixture.root().join(name)).unwrap());
    let numbers = (0_u32..).map(|number| number.wrapping_mul(0x9e37_79b9));
    for number in numbers.take(size / 4) {
        sink.write_all(&number.to_le_bytes()).unwrap();
    }
    drop(sink);
    PackagedFile {
        name: name.into(),
        path: name.into(),
        text: None,
        size: size as u64,
        sha256: sum(&fixture.root().join(name)),
        md5: String::new(),
        media_type: "audio/wav",
    }
}

/// The SHA-256 of a file in hex. The files are too large to lie in memory beside each other.
fn sum(path: &Path) -> String {
    let mut source = BufReader::with_capacity(MIB, File::open(path).unwrap());
    let mut hasher = Sha256::new();
    loop {
        let bytes = source.fill_buf().unwrap();
        if bytes.is_empty() {
            return hex::encode(hasher.finalize());
        }
        hasher.update(bytes);
        let count = bytes.len();
        source.consume(count);
    }
}

/// What a server may encrypt and authenticate with: each kind is a way of its own through libssh2,
/// which is built here with packets encrypted at once.
#[tokio::test]
async fn bytes_arrive_and_are_read_back_with_every_kind_of_cipher_and_authentication() {
    let fixture = Fixture::new();
    let recording = file(&fixture, "recording.wav", 3 * MIB + 4);
    let document: Vec<u8> = (0..200_003_u32).map(|number| number as u8).collect();
    let old = json!({"sftp": {"old_algorithms": ["aes128-cbc", "hmac-sha1"]}});
    for (cipher, authentication) in [
        ("aes256-gcm@openssh.com", "hmac-sha2-256"),
        ("aes128-gcm@openssh.com", "hmac-sha2-256"),
        ("chacha20-poly1305@openssh.com", "hmac-sha2-256"),
        ("aes256-ctr", "hmac-sha2-256"),
        ("aes256-ctr", "hmac-sha2-512-etm@openssh.com"),
        ("aes128-cbc", "hmac-sha1"),
    ] {
        let directives = [
            &format!("Ciphers {cipher}"),
            &format!("MACs {authentication}"),
        ];
        let partner = Partner::start_with(&directives.map(String::as_str)).await;
        let remote = Remote::new(&partner.platform(json!({}), old.clone())).unwrap();
        remote
            .put_files(&fixture.assets, "folder", &[&recording], &[])
            .await
            .unwrap();
        let arrived = partner.incoming().join("folder/recording.wav");
        assert_eq!(
            sum(&arrived),
            recording.sha256,
            "{cipher}, {authentication}"
        );
        remote
            .put_document("folder/document", &document)
            .await
            .unwrap();
        let read = remote.read_small("folder/document", MIB).await;
        assert!(
            read.unwrap().unwrap() == document,
            "{cipher}, {authentication}"
        );
    }
}

#[tokio::test]
async fn several_files_go_over_as_many_connections_as_the_partner_allows() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let specs = json!({"sftp": {"connections": 3}, "limits": {"concurrency": 1}});
    let remote = Remote::new(&proxy.platform(&partner, specs)).unwrap();
    let files: Vec<PackagedFile> = (0..6)
        .map(|number| file(&fixture, &format!("{number}.wav"), 5 * MIB))
        .collect();
    let files: Vec<&PackagedFile> = files.iter().collect();
    let done = remote
        .put_files(&fixture.assets, "many", &files, &[])
        .await
        .unwrap();
    assert_eq!((done.sent, done.kept), (6, 0));
    assert_eq!(done.sent_bytes, 30 * MIB as u64);
    assert_eq!(proxy.connections(), 3);
    let many = partner.incoming().join("many");
    assert_eq!(fs::read_dir(&many).unwrap().count(), 6);
    for one in files {
        assert_eq!(sum(&many.join(&one.name)), one.sha256);
    }
}

#[tokio::test]
async fn a_partner_that_lets_in_fewer_than_the_settings_say_gets_all_the_same() {
    let partner = Partner::start_with(&["MaxStartups 1"]).await;
    let fixture = Fixture::new();
    let platform = partner.platform(json!({}), json!({"sftp": {"connections": 4}}));
    let remote = Remote::new(&platform).unwrap();
    let files: Vec<PackagedFile> = (0..8)
        .map(|number| file(&fixture, &format!("{number}.wav"), 4 * MIB))
        .collect();
    let files: Vec<&PackagedFile> = files.iter().collect();
    let done = remote
        .put_files(&fixture.assets, "many", &files, &[])
        .await
        .unwrap();
    assert_eq!(done.sent, 8);
    let many = partner.incoming().join("many");
    assert_eq!(fs::read_dir(&many).unwrap().count(), 8);
}

#[tokio::test]
async fn a_large_file_goes_in_ranges_where_the_settings_allow_it() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let specs = json!({"sftp": {"connections": 4, "split_files": true}});
    let remote = Remote::new(&proxy.platform(&partner, specs)).unwrap();
    let large = file(&fixture, "large.wav", 70 * MIB + 12_344);
    let folder = partner.incoming().join("one");
    let target = folder.join("large.wav");

    // One of the connections is cut in the middle.
    proxy.cut_up_once_after(40 * MIB as u64);
    let done = remote
        .put_files(&fixture.assets, "one", &[&large], &[])
        .await
        .unwrap();
    assert_eq!(done.sent, 1);
    assert!(!proxy.is_cut_to_come() && proxy.connections() > 2);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(sum(&target), large.sha256);

    // One with a hole, as an attempt leaves it that ended in the middle, is mended.
    let part = folder.join(format!(".large.wav.{}.part", &large.sha256[..12]));
    fs::rename(&target, &part).unwrap();
    let holed = File::options().write(true).open(&part).unwrap();
    holed.write_all_at(&vec![0; MIB], 50 * MIB as u64).unwrap();
    let done = remote
        .put_files(&fixture.assets, "one", &[&large], &[])
        .await
        .unwrap();
    assert!(done.sent_bytes <= large.size - 50 * MIB as u64, "{done:?}");
    assert_eq!(sum(&target), large.sha256);
}

#[tokio::test]
async fn a_hand_over_has_the_names_that_the_partner_wants() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let package = fixture.package(&fixture.release(ReleaseType::Ep, 2)).await;
    let specs = json!({"confirmation": "folder", "sftp": {"layout": {
        "folder": "drop/{upc}/{date}_{key}",
        "resources": "",
        "metadata": "{upc}.json",
        "manifest": "{upc}_files.json",
        "marker": "{folder}.complete",
        "acknowledgement": "answers/{key}.json",
    }}});
    let platform = partner.platform(json!({}), specs);
    let adapter = SftpAdapter::new(&platform, fixture.assets.clone()).unwrap();
    let handover = handover(1);
    // What an earlier attempt left: documents, and a file that has no place any more.
    let folder = format!("drop/{}/20251124_{}", package.upc, handover.key());
    let on_disk = partner.incoming().join(&folder);
    partner
        .sshd
        .make_directory(&format!("incoming/{folder}"))
        .unwrap();
    fs::write(on_disk.join(".01.wav.0123.part"), "left over").unwrap();

    let receipt = adapter.deliver(&handover, &package).await.unwrap();
    let received = partner.files();
    let mut expected: Vec<String> = package
        .files()
        .map(|file| format!("{folder}/{}", file.name))
        .chain([
            format!("{folder}/{}.json", package.upc),
            format!("{folder}/{}_files.json", package.upc),
            format!("{folder}.complete"),
        ])
        .collect();
    expected.sort();
    assert_eq!(received.keys().cloned().collect::<Vec<_>>(), expected);
    let manifest = &received[&format!("{folder}/{}_files.json", package.upc)].bytes;
    let marker = &received[&format!("{folder}.complete")].bytes;
    let sum = hex::encode(Sha256::digest(manifest));
    assert_eq!(
        String::from_utf8_lossy(marker),
        format!("{sum}  {}_files.json\n", package.upc)
    );
    let layout = Layout::new(&platform.format_specs.sftp.layout, &handover, &package.upc);
    assert_eq!(layout.folder, folder);

    // A second attempt finds it; the partner's word is looked for where it was told.
    let again = adapter.deliver(&handover, &package).await.unwrap();
    assert_eq!(again.evidence, receipt.evidence);
    assert!(received == partner.files());
    let answers = partner.incoming().join("answers");
    fs::create_dir(&answers).unwrap();
    let word = json!({"delivery": handover.key(), "status": "accepted"});
    fs::write(
        answers.join(format!("{}.json", handover.key())),
        word.to_string(),
    )
    .unwrap();
    let status = adapter.status(&handover, &receipt).await.unwrap();
    assert!(matches!(status, Status::Accepted(_)), "{status:?}");
}
