//! What must hold of any bytes at all, for each thing that reads what others wrote. The fuzz targets
//! (`fuzz/`) and the tests of their corpora ask the same.

use std::{fs, path::PathBuf, sync::OnceLock};

use platform_adapters::{
    Code, ConnectOptions, Kind, connect,
    package::{AssetStore, assemble},
    release::{Dpid, Grid, Isni, Isrc, Iswc, Release, Upc},
    settings::{Platform, PlatformRow, Secretive, Windows},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// What a person is told is no longer than this.
const LONGEST_MESSAGE_BYTES: usize = 20_000;
const COVER: &[u8] = include_bytes!("../../../../tests/support/media/cover.jpg");

/// A release of one track, in a store of its own.
struct Place {
    runtime: Runtime,
    directory: TempDir,
    store: AssetStore,
    release: Release,
    platform: Platform,
}

impl Place {
    fn new() -> Self {
        // In memory, where there is such a place: each input is a file.
        let memory = PathBuf::from("/dev/shm");
        let directory = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        fs::write(directory.path().join("cover"), COVER).unwrap();
        fs::write(directory.path().join("audio"), tone()).unwrap();
        let row = PlatformRow {
            id: 7,
            name: "Nordlys".into(),
            api_endpoint: Some("sftp://127.0.0.1:22/incoming".into()),
            delivery_method: "sftp".into(),
            requirements: Some(serde_json::json!({"artwork": {"min_px": 16}})),
            ..PlatformRow::default()
        };
        Self {
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            store: AssetStore::local(directory.path()).unwrap(),
            directory,
            release: serde_json::from_str(include_str!("release.json")).unwrap(),
            platform: Platform::from_row(&row).unwrap(),
        }
    }

    /// The release is packaged or refused with its faults. Whether it is packaged.
    fn takes(&self, file: &str, bytes: &[u8]) -> bool {
        fs::write(self.directory.path().join(file), bytes).unwrap();
        let packaged = assemble(&self.release, &self.platform, Kind::Insert, &self.store);
        match self.runtime.block_on(packaged) {
            Ok(package) => {
                assert!(package.files().any(|one| one.size == bytes.len() as u64));
                true
            }
            Err(fault) => {
                assert_eq!(fault.code, Code::PackageInvalid, "{fault}");
                assert!(fault.message.len() < LONGEST_MESSAGE_BYTES);
                assert!(!fault.findings.is_empty());
                false
            }
        }
    }
}

/// A WAV of 100 ms that is not silent.
fn tone() -> Vec<u8> {
    let samples = 4410u32 * 4;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend([1, 0, 2, 0]);
    wav.extend(44_100u32.to_le_bytes());
    wav.extend((44_100u32 * 4).to_le_bytes());
    wav.extend([4, 0, 16, 0]);
    wav.extend(b"data");
    wav.extend(samples.to_le_bytes());
    wav.extend((0..samples).map(|at| (at % 100) as u8));
    wav
}

/// A file that is to be a track. Whether it is one.
pub(crate) fn audio(bytes: &[u8]) -> bool {
    static PLACE: OnceLock<std::sync::Mutex<Place>> = OnceLock::new();
    let place = PLACE.get_or_init(|| Place::new().into());
    place.lock().unwrap().takes("audio", bytes)
}

/// A file that is to be a cover. Whether it is one.
pub(crate) fn artwork(bytes: &[u8]) -> bool {
    static PLACE: OnceLock<std::sync::Mutex<Place>> = OnceLock::new();
    let place = PLACE.get_or_init(|| Place::new().into());
    place.lock().unwrap().takes("cover", bytes)
}

/// A platform's row as one JSON object. Whether an adapter can be made of it.
pub(crate) fn platform(bytes: &[u8]) -> bool {
    static STORE: OnceLock<(TempDir, AssetStore)> = OnceLock::new();
    let (_, store) = STORE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let store = AssetStore::local(directory.path()).unwrap();
        (directory, store)
    });
    let Ok(Value::Object(mut columns)) = serde_json::from_slice(bytes) else {
        return false;
    };
    let text = |value: Option<Value>| value?.as_str().map(ToOwned::to_owned);
    let list = |value: Option<Value>| serde_json::from_value(value?).ok();
    let row = PlatformRow {
        id: 7,
        name: "Nordlys".into(),
        api_endpoint: text(columns.remove("api_endpoint")),
        delivery_method: text(columns.remove("delivery_method")).unwrap_or_default(),
        api_credentials: columns.remove("api_credentials").map(Secretive),
        requirements: columns.remove("requirements"),
        format_specs: columns.remove("format_specs"),
        supported_content: list(columns.remove("supported_content")),
        territory_restrictions: list(columns.remove("territory_restrictions")),
        processing_time: text(columns.remove("processing_time")),
    };
    let made = Platform::from_row(&row)
        .and_then(|platform| connect(platform, store.clone(), &ConnectOptions::default()));
    match made {
        Ok(_) => true,
        Err(fault) => {
            assert_eq!(fault.code, Code::SettingsInvalid, "{fault}");
            assert!(fault.message.len() < LONGEST_MESSAGE_BYTES + 2 * bytes.len());
            false
        }
    }
}

/// A text that is to be an identifier, or times of day. Whether it is one of them.
pub(crate) fn identifier(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    // Written as it is kept it reads as the same.
    macro_rules! reads {
        ($($kind:ty),*) => { [$(match text.parse::<$kind>() {
            Ok(read) => {
                assert_eq!(read.as_str().parse::<$kind>().as_ref(), Ok(&read));
                true
            }
            Err(why) => {
                assert!(why.to_string().len() < 200 + 8 * text.len());
                false
            }
        }),*] };
    }
    if let Ok(upc) = text.parse::<Upc>() {
        assert_eq!(upc.to_gtin13().len(), 13);
    }
    if let Ok(dpid) = text.parse::<Dpid>() {
        let _ = dpid.other_check_character();
    }
    let windows = serde_json::from_slice::<Windows>(bytes).is_ok();
    windows | reads!(Isrc, Upc, Dpid, Iswc, Grid, Isni).contains(&true)
}
