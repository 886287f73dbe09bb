//! Lyrics: from the catalogue's text to a file at the partner, tied to its recording.

use std::fs;

use platform_adapters::{
    Adapter as _, Code, Kind,
    ddex::{DdexAdapter, Version, read_message},
    package::{Package, assemble},
    release::{Release, ReleaseType},
    settings::Platform,
};
use serde_json::json;

use super::{
    delivery::Partner,
    releases::{handover, platform},
    schemas::schemas,
};
use crate::fixtures::Fixture;

const WORDS: &str = "  Wave after wave  \r\n\r\n\tE\u{301}toile\rEnd \n\n";
const WRITTEN: &str = "Wave after wave\n\n\t\u{c9}toile\nEnd\n";

/// An EP of three tracks, the second of which has words, and the third none to speak of.
fn sung(fixture: &Fixture) -> Release {
    let mut release = fixture.release(ReleaseType::Ep, 3);
    release.tracks[1].lyrics = Some(WORDS.into());
    release.tracks[2].lyrics = Some(" \n".into());
    release
}

/// A platform that takes lyrics, in this version, reached as `like` is.
fn that_takes_lyrics(like: &Platform, version: Version) -> Platform {
    let mut platform = like.clone();
    let specs = platform.format_specs.ddex.as_mut().unwrap();
    specs.version = version.as_str().into();
    specs.lyrics = true;
    platform
}

async fn packaged(fixture: &Fixture, release: &Release, platform: &Platform) -> Package {
    assemble(release, platform, Kind::Insert, &fixture.assets)
        .await
        .unwrap()
}

#[tokio::test]
async fn only_a_platform_that_takes_lyrics_gets_them_and_their_changes() {
    let fixture = Fixture::new();
    let release = sung(&fixture);
    let takes = that_takes_lyrics(&platform(json!({})), Version::Ern43);
    let package = packaged(&fixture, &release, &takes).await;
    let files: Vec<_> = package.files().collect();
    assert_eq!(files.len(), 5);
    let lyrics = files[4];
    assert_eq!(lyrics.name, format!("{}_01_002.txt", package.upc));
    assert_eq!(lyrics.text.as_deref(), Some(WRITTEN.as_bytes()));
    assert_eq!(lyrics.size, WRITTEN.len() as u64);
    assert_eq!(lyrics.media_type, "text/plain");

    let without = packaged(&fixture, &release, &platform(json!({}))).await;
    assert_eq!(without.files().count(), 4);
    let mut changed = release.clone();
    changed.tracks[1].lyrics = Some("Other words".into());
    let changed_without = packaged(&fixture, &changed, &platform(json!({}))).await;
    assert_eq!(changed_without.fingerprint(), without.fingerprint());
    let changed = packaged(&fixture, &changed, &takes).await;
    assert_ne!(changed.fingerprint(), package.fingerprint());
    let takedown = assemble(&release, &takes, Kind::Takedown, &fixture.assets);
    assert_eq!(takedown.await.unwrap().files().count(), 0);
}

#[tokio::test]
async fn lyrics_that_are_none_are_named() {
    let fixture = Fixture::new();
    let takes = that_takes_lyrics(&platform(json!({})), Version::Ern43);
    let mut release = fixture.release(ReleaseType::Ep, 2);
    release.tracks[0].lyrics = Some("bell \u{7}".into());
    release.tracks[1].lyrics = Some("la ".repeat(100_000));
    let refused = assemble(&release, &takes, Kind::Insert, &fixture.assets).await;
    let fault = refused.unwrap_err();
    assert_eq!(fault.code, Code::PackageInvalid);
    let said: Vec<String> = fault
        .findings
        .iter()
        .map(|finding| format!("{} {}", finding.field, finding.problem))
        .collect();
    assert_eq!(
        said,
        [
            "track 1 lyrics hold the character U+0007, which no text file should",
            "track 2 lyrics are longer than 262144 bytes",
        ]
    );
}

#[tokio::test]
async fn lyrics_arrive_over_sftp_in_every_version() {
    let partner = Partner::start().await;
    for version in Version::ALL {
        let platform = that_takes_lyrics(&partner.platform("none"), version);
        let package = packaged(&partner.fixture, &sung(&partner.fixture), &platform).await;
        let assets = partner.fixture.assets.clone();
        let adapter = DdexAdapter::new(platform, assets, schemas("lyrics before sending")).unwrap();
        let insert = handover(Kind::Insert);
        let receipt = adapter.deliver(&insert, &package).await.unwrap();
        assert!(receipt.confirmed.ends_with("and 5 files verified"));
        let folder = partner.incoming().join(receipt.remote_path.unwrap());
        holds_lyrics(&folder, &package);
    }
}

#[tokio::test]
async fn lyrics_arrive_in_a_directory() {
    let (directory, fixture) = (tempfile::tempdir().unwrap(), Fixture::new());
    let mut platform = that_takes_lyrics(&platform(json!({})), Version::Ern432);
    platform.endpoint = format!("file://{}", directory.path().display())
        .parse()
        .unwrap();
    let package = packaged(&fixture, &sung(&fixture), &platform).await;
    let assets = fixture.assets.clone();
    let adapter = DdexAdapter::new(platform, assets, schemas("lyrics before sending")).unwrap();
    let insert = handover(Kind::Insert);
    adapter.deliver(&insert, &package).await.unwrap();
    let icpn = package.upc.to_gtin13();
    let folder = directory.path().join(format!("N_{icpn}_20251124160000042"));
    holds_lyrics(&folder, &package);
}

/// The second recording's words are there, as the message says.
fn holds_lyrics(folder: &std::path::Path, package: &Package) {
    let xml = fs::read(folder.join(format!("{}.xml", package.upc.to_gtin13()))).unwrap();
    let message = read_message(&xml).unwrap();
    let tied: Vec<Option<&str>> = message
        .recordings
        .iter()
        .map(|recording| recording.lyrics.as_deref())
        .collect();
    assert_eq!(tied, [None, Some("A5"), None]);
    let said = message.resources.last().unwrap();
    let text = fs::read_to_string(folder.join(&said.uri)).unwrap();
    assert_eq!(text, WRITTEN);
    let lyrics = package.tracks[1].lyrics.as_ref().unwrap();
    assert_eq!((&said.hash, said.algorithm.as_str()), (&lyrics.md5, "MD5"));
}
