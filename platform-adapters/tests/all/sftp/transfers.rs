//! Files on their way: over several connections, in ranges, under the partner's own names.

use std::fs;

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
    let bytes: Vec<u8> = (0_u32..)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes())
        .take(size)
        .collect();
    fixture.write(name, &bytes);
    PackagedFile {
        name: name.into(),
        path: name.into(),
        size: size as u64,
        sha256: hex::encode(Sha256::digest(&bytes)),
        md5: String::new(),
        media_type: "audio/wav",
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
    let received = partner.files();
    assert_eq!(received.len(), 6);
    for one in files {
        let source = fs::read(fixture.root().join(&one.name)).unwrap();
        assert!(received[&format!("many/{}", one.name)].bytes == source);
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
    assert_eq!(partner.files().len(), 8);
}

#[tokio::test]
async fn a_large_file_goes_in_ranges_where_the_settings_allow_it() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let proxy = partner.proxy().await;
    let specs = json!({"sftp": {"connections": 4, "split_files": true}});
    let remote = Remote::new(&proxy.platform(&partner, specs)).unwrap();
    let large = file(&fixture, "large.wav", 140 * MIB + 12_345);
    let source = fs::read(fixture.root().join("large.wav")).unwrap();

    // One of the connections is cut in the middle.
    proxy.cut_up_once_after(70 * MIB as u64);
    let done = remote
        .put_files(&fixture.assets, "one", &[&large], &[])
        .await
        .unwrap();
    assert_eq!(done.sent, 1);
    assert!(!proxy.is_cut_to_come() && proxy.connections() == 5);
    let received = partner.files();
    assert_eq!(received.len(), 1);
    assert!(received["one/large.wav"].bytes == source);
    drop(received);

    // One with a hole, as an attempt leaves it that ended in the middle, is mended.
    let hidden = format!(".large.wav.{}.part", &large.sha256[..12]);
    let mut holey = source.clone();
    holey[50 * MIB..60 * MIB].fill(0);
    fs::remove_file(partner.incoming().join("one/large.wav")).unwrap();
    let part = partner.incoming().join("one").join(hidden);
    fs::write(&part, holey).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(&part, open).unwrap();
    let done = remote
        .put_files(&fixture.assets, "one", &[&large], &[])
        .await
        .unwrap();
    assert!(done.sent_bytes < large.size - 49 * MIB as u64, "{done:?}");
    assert!(partner.files()["one/large.wav"].bytes == source);
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
