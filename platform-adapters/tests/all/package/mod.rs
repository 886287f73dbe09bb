//! The package: what is refused, with which words, and what comes out of a good release.

mod artwork;
mod audio;
mod catalogue;
mod documents;
mod kept;
mod paths;
mod store;

use md5::Md5;
use platform_adapters::{
    Code, Finding, Kind,
    package::{AudioCodec, ImageFormat, assemble},
    release::{Release, ReleaseType, Territories},
    settings::Platform,
};
use sha2::{Digest, Sha256};

use crate::fixtures::{self, Fixture};

/// What the package check finds in `release`.
async fn findings(fixture: &Fixture, release: &Release) -> Vec<Finding> {
    findings_for(fixture, release, &fixtures::platform()).await
}

async fn findings_for(fixture: &Fixture, release: &Release, platform: &Platform) -> Vec<Finding> {
    match assemble(release, platform, Kind::Insert, &fixture.assets).await {
        Ok(_) => Vec::new(),
        Err(fault) => {
            assert_eq!(fault.code, Code::PackageInvalid, "{fault}");
            for finding in &fault.findings {
                assert!(finding.remedy.ends_with('.'), "{finding}");
            }
            fault.findings
        }
    }
}

/// Field and problem of each finding, as `field: problem`.
async fn problems(fixture: &Fixture, release: &Release) -> Vec<String> {
    words(findings(fixture, release).await)
}

fn words(findings: Vec<Finding>) -> Vec<String> {
    findings
        .into_iter()
        .map(|finding| format!("{}: {}", finding.field, finding.problem))
        .collect()
}

#[tokio::test]
async fn a_good_release_becomes_a_package() {
    let fixture = Fixture::new();
    let release = fixture.release(ReleaseType::Ep, 3);
    let package = fixture.package(&release).await;

    let upc = package.upc.as_str();
    let expected = [
        (format!("{upc}_01_001.wav"), "audio/wav"),
        (format!("{upc}_01_002.flac"), "audio/flac"),
        (format!("{upc}_01_003.wav"), "audio/wav"),
        (format!("{upc}.jpg"), "image/jpeg"),
    ];
    assert_eq!(package.files().count(), expected.len());
    for (file, (name, media_type)) in package.files().zip(expected) {
        let bytes = std::fs::read(fixture.root().join(file.path.as_ref())).unwrap();
        assert_eq!(file.name, name);
        assert_eq!(file.media_type, media_type);
        assert_eq!(file.size, bytes.len() as u64);
        assert_eq!(file.sha256, hex::encode(Sha256::digest(&bytes)));
        assert_eq!(file.md5, hex::encode(Md5::digest(&bytes)));
    }
    let properties = |index: usize| {
        let audio = package.tracks[index].audio.as_ref().unwrap();
        let properties = &audio.properties;
        assert_eq!(properties.duration.as_millis(), 1000);
        assert_eq!(properties.channels, 2);
        (
            properties.codec,
            properties.sample_rate_hz,
            properties.bits_per_sample,
        )
    };
    assert_eq!(properties(0), (AudioCodec::Pcm, 44_100, 16));
    assert_eq!(properties(1), (AudioCodec::Flac, 44_100, 16));
    assert_eq!(properties(2), (AudioCodec::Pcm, 48_000, 24));
    let artwork = package.artwork.unwrap();
    assert_eq!(artwork.format, ImageFormat::Jpeg);
    assert_eq!((artwork.width_px, artwork.height_px), (3000, 3000));
}

#[tokio::test]
async fn a_takedown_needs_neither_files_nor_a_place_to_sell() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Single, 1);
    release.artwork = None;
    release.tracks[0].audio_file = Some("gone.wav".into());
    release.territories = Territories::Only(Vec::new());
    let platform = fixtures::platform();
    let package = assemble(&release, &platform, Kind::Takedown, &fixture.assets)
        .await
        .unwrap();
    assert_eq!(package.files().count(), 0);
    assert_eq!(package.tracks.len(), 1);

    release.upc = None;
    let fault = assemble(&release, &platform, Kind::Takedown, &fixture.assets)
        .await
        .unwrap_err();
    assert_eq!(words(fault.findings), ["upc: is missing"]);
}

#[tokio::test]
async fn everything_is_said_at_once() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Ep, 3);
    release.upc = Some("036000291453".into());
    release.label = " ".into();
    release.artwork = Some("nowhere.jpg".into());
    release.tracks[1].isrc = None;
    release.tracks[2].audio_file = None;
    assert_eq!(
        problems(&fixture, &release).await,
        [
            "upc: the check digit of \"036000291453\" is 3, it should be 2",
            "label: is empty",
            "track 2 isrc: of \"Wave 2\" is missing",
            "track 3 audio_file: of \"Wave 3\" is not set",
            "artwork: \"nowhere.jpg\" is not in the asset store",
        ]
    );
}

#[tokio::test]
async fn a_store_that_is_gone_is_no_fault_of_the_release() {
    let fixture = Fixture::new();
    let release = fixture.release(ReleaseType::Single, 1);
    std::fs::remove_dir_all(fixture.root()).unwrap();
    let fault = assemble(
        &release,
        &fixtures::platform(),
        Kind::Insert,
        &fixture.assets,
    )
    .await
    .unwrap_err();
    assert_eq!(fault.code, Code::AssetsUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_assembled_side_by_side_in_tasks_of_their_own() {
    let fixture = std::sync::Arc::new(Fixture::new());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let fixture = std::sync::Arc::clone(&fixture);
            tokio::spawn(async move {
                let release = fixture.release(ReleaseType::Album, 12);
                fixture.package(&release).await.files().count()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 13);
    }
}
