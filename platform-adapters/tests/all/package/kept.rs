//! Files are read once: what was found out is kept by version, in this process and beyond it, for
//! local stores and for those over HTTP.

use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use axum::http::Method;
use futures_util::TryStreamExt;
use platform_adapters::{
    Code, Fault, Kind,
    package::{AssetStore, Inspection, KeptInspections, Package, assemble},
    release::{Release, ReleaseType},
};
use sha2::{Digest, Sha256};

use crate::{
    api_partner::{Answer, ScriptedPartner, Seen},
    fixtures::{self, Fixture},
};

/// Keeps by store, path, version and kind, and counts what it could not answer.
#[derive(Default)]
struct InMemory {
    kept: Mutex<HashMap<[String; 4], Inspection>>,
    misses: AtomicUsize,
}

fn key(store: &str, path: &str, version: &str, kind: &str) -> [String; 4] {
    [store, path, version, kind].map(str::to_owned)
}

#[async_trait]
impl KeptInspections for InMemory {
    async fn recall(
        &self,
        store: &str,
        path: &str,
        version: &str,
        kind: &str,
    ) -> Result<Option<Inspection>, Fault> {
        let kept = self.kept.lock().unwrap();
        let found = kept.get(&key(store, path, version, kind)).cloned();
        if found.is_none() {
            self.misses.fetch_add(1, Ordering::SeqCst);
        }
        Ok(found)
    }

    async fn keep(
        &self,
        store: &str,
        path: &str,
        version: &str,
        kind: &str,
        found: &Inspection,
    ) -> Result<(), Fault> {
        let key = key(store, path, version, kind);
        self.kept.lock().unwrap().insert(key, found.clone());
        Ok(())
    }
}

/// Makes every file of a release look as if it had been written long ago.
fn rest(fixture: &Fixture, release: &Release) {
    let audio = release.tracks.iter().map(|track| track.audio_file.as_ref());
    for path in audio.chain([release.artwork.as_ref()]).flatten() {
        age(&fixture.root().join(path));
    }
}

fn age(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
}

async fn packaged(release: &Release, assets: &AssetStore) -> Package {
    assemble(release, &fixtures::platform(), Kind::Insert, assets)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_unchanged_file_is_not_read_again() {
    let fixture = Fixture::new();
    let release = fixture.release(ReleaseType::Single, 1);
    rest(&fixture, &release);
    let kept = Arc::new(InMemory::default());
    let store = || {
        AssetStore::local(fixture.root())
            .unwrap()
            .with_kept(Arc::clone(&kept) as Arc<dyn KeptInspections>)
    };
    let first = packaged(&release, &store()).await;
    assert_eq!(kept.misses.load(Ordering::SeqCst), 2, "audio and artwork");
    // Another process.
    let second = packaged(&release, &store()).await;
    assert_eq!(kept.misses.load(Ordering::SeqCst), 2);
    assert_eq!(first.fingerprint(), second.fingerprint());
    // What is kept is what is used: no byte of the file was read for it.
    for found in kept.kept.lock().unwrap().values_mut() {
        found.sha256 = "0".repeat(64);
    }
    let third = packaged(&release, &store()).await;
    assert!(third.files().all(|file| file.sha256 == "0".repeat(64)));
}

#[tokio::test]
async fn another_version_is_read() {
    let fixture = Fixture::new();
    let release = fixture.release(ReleaseType::Single, 1);
    rest(&fixture, &release);
    let assets = &fixture.assets;
    let before = packaged(&release, assets).await;
    let path = release.tracks[0].audio_file.as_deref().unwrap();
    let mut wav = std::fs::read(fixture.root().join(path)).unwrap();
    *wav.last_mut().unwrap() ^= 1;
    let full = fixture.write(path, &wav);
    age(&full);
    let after = packaged(&release, assets).await;
    assert_ne!(before.fingerprint(), after.fingerprint());
    let file = after.files().next().unwrap();
    assert_eq!(file.sha256, hex::encode(Sha256::digest(&wav)));
    // The package of before cannot be sent any more, from any place in the file.
    let file = before.files().next().unwrap();
    for from in [0, 1000] {
        let sent = match assets.stream(file, from).await {
            Ok(stream) => stream.try_fold((), |(), _| async { Ok(()) }).await,
            Err(fault) => Err(fault),
        };
        // In the middle only the length tells, once the version is not the one that was packaged.
        if from == 0 {
            assert_eq!(sent.unwrap_err().code, Code::AssetChanged);
        }
    }
}

#[tokio::test]
async fn a_file_that_is_written_to_while_it_is_sent_is_noticed() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Single, 1);
    let wav = fixtures::wav(96_000, 24, 2, 5.0);
    let full = fixture.write("long.wav", &wav);
    release.tracks[0].audio_file = Some("long.wav".into());
    release.tracks[0].duration_s = Some(5);
    rest(&fixture, &release);
    let package = packaged(&release, &fixture.assets).await;
    let file = package.files().next().unwrap();
    for from in [0, 1 << 20] {
        let mut stream = fixture.assets.stream(file, from).await.unwrap();
        stream.try_next().await.unwrap().unwrap();
        // The same bytes, so that only the version tells.
        std::fs::write(&full, &wav).unwrap();
        let fault = stream
            .try_fold((), |(), _| async { Ok(()) })
            .await
            .unwrap_err();
        assert_eq!(fault.code, Code::AssetChanged, "{fault}");
        age(&full);
        packaged(&release, &fixture.assets).await;
    }
}

/// Serves files as a plain web server does: HEAD, ranges, ETags.
fn serve(files: &HashMap<String, Vec<u8>>, seen: &Seen) -> Answer {
    let Some(bytes) = files.get(&seen.path) else {
        return (404, Vec::new(), Vec::new());
    };
    let tag = format!("\"{}\"", hex::encode(Sha256::digest(bytes)));
    if !seen.header("if-match").is_empty() && seen.header("if-match") != tag {
        return (412, Vec::new(), Vec::new());
    }
    let mut headers = vec![
        ("etag", tag),
        ("last-modified", "Wed, 01 Jan 2020 00:00:00 GMT".to_owned()),
    ];
    if seen.method == Method::HEAD {
        headers.push(("content-length", bytes.len().to_string()));
        return (200, headers, Vec::new());
    }
    let range = seen.header("range").strip_prefix("bytes=");
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
        return (200, headers, bytes.clone());
    };
    let from: usize = from.parse().unwrap();
    let to = to.parse().map_or(bytes.len(), |to: usize| to + 1);
    headers.push((
        "content-range",
        format!("bytes {from}-{}/{}", to - 1, bytes.len()),
    ));
    (206, headers, bytes[from..to].to_vec())
}

#[tokio::test]
async fn files_over_http() {
    let fixture = Fixture::new();
    let release = fixture.release(ReleaseType::Single, 2);
    let audio = release.tracks.iter().map(|track| track.audio_file.clone());
    let files: HashMap<_, _> = audio
        .chain([release.artwork.clone()])
        .flatten()
        .map(|path| {
            let bytes = std::fs::read(fixture.root().join(&path)).unwrap();
            (format!("/masters/{path}"), bytes)
        })
        .collect();
    let files = Arc::new(Mutex::new(files));
    let served = Arc::clone(&files);
    let server = ScriptedPartner::start(move |seen| serve(&served.lock().unwrap(), seen)).await;
    let assets = AssetStore::open(&format!("http://{}/masters", server.address)).unwrap();
    assets.check().await.unwrap();

    let package = packaged(&release, &assets).await;
    let local = fixture.package(&release).await;
    assert_eq!(package.fingerprint(), local.fingerprint());
    let whole = |server: &ScriptedPartner| {
        let seen = server.seen();
        let whole = seen
            .iter()
            .filter(|seen| seen.method == Method::GET && seen.header("range").is_empty());
        whole.count()
    };
    assert_eq!(whole(&server), 3);
    packaged(&release, &assets).await;
    assert_eq!(whole(&server), 3, "nothing is read again");

    let file = package.files().next().unwrap();
    let parts: Vec<_> = assets
        .stream(file, 1000)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let path = format!("/masters/{}", file.path);
    assert_eq!(parts.concat(), files.lock().unwrap()[&path][1000..]);
    // The server has another file now, of the same length.
    *files
        .lock()
        .unwrap()
        .get_mut(&path)
        .unwrap()
        .last_mut()
        .unwrap() ^= 1;
    let fault = assets.stream(file, 1000).await.err().unwrap();
    assert_eq!(fault.code, Code::AssetChanged, "{fault}");

    let gone = AssetStore::open("http://127.0.0.1:9/masters").unwrap();
    assert_eq!(
        gone.check().await.unwrap_err().code,
        Code::AssetsUnavailable
    );
    for wrong in ["ftp://host/x", "http://u:s3cret@host/x", "gs://bucket"] {
        let fault = AssetStore::open(wrong).unwrap_err();
        assert_eq!(fault.code, Code::AssetsUnavailable, "{wrong}");
        assert!(!fault.message.contains("s3cret"), "{fault}");
    }
}
