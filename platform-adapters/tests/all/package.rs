//! The package: what is refused, with which words, and what comes out of a good release.

use platform_adapters::{package::AudioCodec, release::ReleaseType};

use crate::fixtures::Fixture;

#[tokio::test]
async fn a_good_release_becomes_a_package() {
    let fixture = Fixture::new();
    let release = fixture.release(ReleaseType::Ep, 3);
    let package = fixture.package(&release).await;

    let names: Vec<_> = package.files().map(|file| file.name.as_str()).collect();
    let upc = package.upc.as_str();
    assert_eq!(
        names,
        [
            format!("{upc}_01_001.wav"),
            format!("{upc}_01_002.flac"),
            format!("{upc}_01_003.wav"),
            format!("{upc}.jpg"),
        ]
    );
    let codecs: Vec<_> = package
        .tracks
        .iter()
        .map(|track| track.audio.as_ref().unwrap().properties.codec)
        .collect();
    assert_eq!(codecs, [AudioCodec::Pcm, AudioCodec::Flac, AudioCodec::Pcm]);
}
