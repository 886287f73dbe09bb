//! Streaming a packaged file: from the beginning, from the middle, and after it changed.

use bytes::Bytes;
use futures_util::TryStreamExt;
use platform_adapters::{
    Code, Fault,
    package::{AssetStore, PackagedFile},
    release::ReleaseType,
};

use crate::fixtures::{self, Fixture};

/// A packaged WAV of more chunks than are read ahead, and its bytes.
async fn packaged() -> (Fixture, PackagedFile, Vec<u8>) {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Single, 1);
    let wav = fixtures::wav(96_000, 24, 2, 12.0);
    fixture.write("long.wav", &wav);
    release.tracks[0].audio_file = Some("long.wav".into());
    release.tracks[0].duration_s = Some(12);
    let package = fixture.package(&release).await;
    let file = package.files().next().unwrap().clone();
    (fixture, file, wav)
}

async fn read(assets: &AssetStore, file: &PackagedFile, offset: u64) -> Result<Vec<u8>, Fault> {
    let chunks: Vec<Bytes> = assets.stream(file, offset).await?.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn whole_and_in_part() {
    let (fixture, file, wav) = packaged().await;
    for offset in [0, 1, 1 << 20, wav.len() - 1, wav.len()] {
        let bytes = read(&fixture.assets, &file, offset as u64).await.unwrap();
        assert!(bytes == wav[offset..], "from {offset}");
    }
}

#[tokio::test]
async fn a_file_that_changed_is_noticed() {
    let (fixture, file, wav) = packaged().await;
    let mut other = wav.clone();
    *other.last_mut().unwrap() ^= 1;
    for (bytes, offset) in [
        (&other[..], 0),
        (&wav[..wav.len() - 1], 0),
        (&wav[..wav.len() - 1], 1000),
        (&[&wav[..], b"x"].concat(), 1000),
    ] {
        fixture.write("long.wav", bytes);
        let fault = read(&fixture.assets, &file, offset).await.unwrap_err();
        assert_eq!(fault.code, Code::AssetChanged, "{fault}");
    }
    std::fs::remove_file(fixture.root().join("long.wav")).unwrap();
    let fault = read(&fixture.assets, &file, 0).await.unwrap_err();
    assert_eq!(fault.code, Code::AssetChanged);
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_read_is_noticed() {
    let (fixture, file, _) = packaged().await;
    for offset in [0, 1000] {
        let mut stream = fixture.assets.stream(&file, offset).await.unwrap();
        stream.try_next().await.unwrap().unwrap();
        let path = fixture.root().join("long.wav");
        let handle = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        handle.set_len(100_000).unwrap();
        let fault = stream
            .try_fold((), |(), _| async { Ok(()) })
            .await
            .unwrap_err();
        assert_eq!(fault.code, Code::AssetChanged);
        handle.set_len(file.size).unwrap();
    }
}
