//! Paths that lead nowhere, to what is no file, or out of the asset store.

use std::os::unix::fs::symlink;

use platform_adapters::release::ReleaseType;

use super::problems;
use crate::fixtures::{self, Fixture};

#[tokio::test]
async fn paths_that_leave_the_store() {
    let outside = tempfile::tempdir().unwrap();
    let wav = fixtures::wav(44_100, 16, 2, 1.0);
    std::fs::write(outside.path().join("a.wav"), &wav).unwrap();
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Single, 1);
    fixture.write("good.wav", &wav);
    symlink(outside.path().join("a.wav"), fixture.root().join("a.wav")).unwrap();
    symlink(outside.path(), fixture.root().join("directory")).unwrap();
    symlink("a.wav", fixture.root().join("twice.wav")).unwrap();

    let absolute = fixture.root().join("good.wav");
    for path in [
        absolute.to_str().unwrap(),
        "../good.wav",
        "releases/../good.wav",
        "./good.wav",
        "releases//good.wav",
        "good.wav/",
        "/good.wav",
        "..\\good.wav",
        "good.wav\0",
        "a.wav",
        "directory/a.wav",
        "twice.wav",
    ] {
        release.tracks[0].audio_file = Some(path.into());
        release.artwork = Some(path.into());
        let leaves = format!("{path:?} leads out of the asset store");
        assert_eq!(
            problems(&fixture, &release).await,
            [
                format!("track 1 audio_file: {leaves}"),
                format!("artwork: {leaves}"),
            ]
        );
    }
}

#[tokio::test]
async fn links_and_odd_names_inside_the_store_are_good() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Single, 1);
    let wav = fixtures::wav(44_100, 16, 2, 1.0);
    for name in [
        "Ångström 100% *?#[x].wav",
        "a b/%2e%2e/c.wav",
        "…/日本語.wav",
    ] {
        fixture.write(name, &wav);
        release.tracks[0].audio_file = Some(name.into());
        let package = fixture.package(&release).await;
        assert_eq!(package.files().next().unwrap().size, wav.len() as u64);
    }
    fixture.write("good.wav", &wav);
    symlink("good.wav", fixture.root().join("link.wav")).unwrap();
    release.tracks[0].audio_file = Some("link.wav".into());
    fixture.package(&release).await;
}

#[tokio::test]
async fn what_is_no_file() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Single, 1);
    fixture.write("empty.wav", b"");
    std::fs::create_dir(fixture.root().join("directory.wav")).unwrap();
    nix::unistd::mkfifo(
        &fixture.root().join("pipe.wav"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    let long = "x".repeat(300);
    for (path, problem) in [
        ("empty.wav", "is empty"),
        ("directory.wav", "is not a file"),
        ("pipe.wav", "is not a file"),
        ("empty.wav/deeper.wav", "is not in the asset store"),
        (long.as_str(), "is not in the asset store"),
    ] {
        release.tracks[0].audio_file = Some(path.into());
        assert_eq!(
            problems(&fixture, &release).await,
            [format!("track 1 audio_file: {path:?} {problem}")]
        );
    }
}
