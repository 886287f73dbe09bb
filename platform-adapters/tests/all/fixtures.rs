//! Releases to test with: the model, and real audio and artwork files in a directory that goes away
//! with the fixture.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    f64::consts::TAU,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use chrono::NaiveDate;
use flacenc::{component::BitRepr, error::Verify};
use platform_adapters::{
    Kind,
    package::{AssetStore, Package, assemble},
    release::{
        Credits, Release, ReleaseAvailability, ReleaseType, RightsLine, Territories, Track,
        TrackAvailability, Upc,
    },
    settings::{Platform, PlatformRow},
};
use serde_json::json;
use tempfile::TempDir;

/// Each release gets a bar code and recording codes of its own.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// An asset store in a directory of its own.
pub(crate) struct Fixture {
    directory: TempDir,
    pub(crate) assets: AssetStore,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let assets = AssetStore::local(directory.path()).unwrap();
        Self { directory, assets }
    }

    /// The root of the asset store.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file below the root and gives its path there.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let full = self.root().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, bytes).unwrap();
        full
    }

    /// A release that every platform takes: `tracks` tracks of one second each, WAV (16 and 24
    /// bits) and FLAC in turn, and a JPEG of 3000 × 3000.
    pub(crate) fn release(&self, release_type: ReleaseType, tracks: usize) -> Release {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("releases/{id}");
        let artwork = format!("{folder}/front.jpg");
        self.write(&artwork, jpeg_3000());
        Release {
            id: i32::try_from(id).unwrap(),
            title: format!("Über den Wellen {id}"),
            subtitle: None,
            release_type,
            upc: Some(upc(id).to_string()),
            display_artist: "Åsa Nørgård".into(),
            label: "Nordlicht Records".into(),
            p_line: Some(rights("Nordlicht Records")),
            c_line: Some(rights("Nordlicht Publishing")),
            genre: Some("Electronic".into()),
            sub_genre: None,
            language: "en".into(),
            is_explicit: false,
            release_date: NaiveDate::from_ymd_opt(2025, 11, 28).unwrap(),
            original_release_date: None,
            availability: ReleaseAvailability::default(),
            artwork: Some(artwork),
            credits: Credits::default(),
            territories: Territories::Worldwide,
            tracks: (1..=tracks)
                .map(|number| self.track(id, &folder, number))
                .collect(),
        }
    }

    fn track(&self, release: u32, folder: &str, number: usize) -> Track {
        let (extension, bytes) = match number % 4 {
            1 => ("wav", wav(44_100, 16, 2, 1.0)),
            3 => ("wav", wav(48_000, 24, 2, 1.0)),
            _ => ("flac", flac_1s().to_vec()),
        };
        let path = format!("{folder}/{number:02}.{extension}");
        self.write(&path, &bytes);
        Track {
            id: i32::try_from(release).unwrap() * 1000 + i32::try_from(number).unwrap(),
            title: format!("Wave {number}"),
            subtitle: None,
            display_artist: "Åsa Nørgård".into(),
            disc: 1,
            number: Some(i32::try_from(number).unwrap()),
            isrc: Some(format!("DEA1B25{:02}{number:03}", release % 100)),
            iswc: None,
            duration_s: Some(1),
            audio_file: Some(path),
            lyrics: None,
            is_explicit: false,
            genre: Some("Electronic".into()),
            sub_genre: None,
            language: "en".into(),
            p_line: Some(rights("Nordlicht Records")),
            availability: TrackAvailability::default(),
            credits: Credits {
                primary_artist: vec!["Åsa Nørgård".into()],
                composers: vec!["Åsa Nørgård".into()],
                producers: vec!["Jón Þór".into()],
                ..Credits::default()
            },
        }
    }

    /// The release, checked for [`platform`] as an insert.
    pub(crate) async fn package(&self, release: &Release) -> Package {
        assemble(release, &platform(), Kind::Insert, &self.assets)
            .await
            .unwrap()
    }
}

/// A platform with the default settings.
pub(crate) fn platform() -> Platform {
    Platform::from_row(&PlatformRow {
        id: 7,
        name: "Nordlys".into(),
        api_endpoint: Some("sftp://127.0.0.1:2222/incoming".into()),
        delivery_method: "sftp".into(),
        requirements: Some(json!({})),
        format_specs: Some(json!({})),
        ..PlatformRow::default()
    })
    .unwrap()
}

fn rights(text: &str) -> RightsLine {
    RightsLine {
        year: 2025,
        text: text.into(),
    }
}

/// A bar code for each number.
pub(crate) fn upc(number: u32) -> Upc {
    Upc::from_body(&format!("7{number:011}")).unwrap()
}

/// A tone in PCM.
pub(crate) fn wav(rate_hz: u32, bits: u16, channels: u16, seconds: f64) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: bits,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    // The plain header: hound's own choice for 24 bits is WAVE_FORMAT_EXTENSIBLE.
    let samples = tone(rate_hz, bits, channels, seconds);
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    plain_header(bytes.into_inner())
}

/// Replaces a WAVE_FORMAT_EXTENSIBLE header (68 bytes) by the plain one (44 bytes).
fn plain_header(wav: Vec<u8>) -> Vec<u8> {
    if wav[20..22] != [0xFE, 0xFF] {
        return wav;
    }
    let mut plain = wav[..36].to_vec();
    plain.extend_from_slice(&wav[60..]);
    plain[16..20].copy_from_slice(&16u32.to_le_bytes());
    plain[20..22].copy_from_slice(&1u16.to_le_bytes());
    let riff = u32::try_from(plain.len() - 8).unwrap();
    plain[4..8].copy_from_slice(&riff.to_le_bytes());
    plain
}

/// A tone in FLAC.
pub(crate) fn flac(rate_hz: u32, bits: u16, channels: u16, seconds: f64) -> Vec<u8> {
    let samples = tone(rate_hz, bits, channels, seconds);
    flac_of(&samples, rate_hz, bits, channels)
}

/// These samples in FLAC.
pub(crate) fn flac_of(samples: &[i32], rate_hz: u32, bits: u16, channels: u16) -> Vec<u8> {
    let source = flacenc::source::MemSource::from_samples(
        samples,
        channels.into(),
        bits.into(),
        rate_hz.try_into().unwrap(),
    );
    let config = flacenc::config::Encoder::default().into_verified().unwrap();
    let stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size).unwrap();
    let mut sink = flacenc::bitsink::ByteSink::new();
    stream.write(&mut sink).unwrap();
    sink.as_slice().to_vec()
}

/// One second of 44.1 kHz, 16 bits, stereo.
pub(crate) fn flac_1s() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| flac(44_100, 16, 2, 1.0))
}

fn tone(rate_hz: u32, bits: u16, channels: u16, seconds: f64) -> Vec<i32> {
    let frames = (f64::from(rate_hz) * seconds).round() as u32;
    let loud = f64::from(1 << (bits - 2));
    (0..frames)
        .flat_map(|at| {
            let phase = f64::from(at) / f64::from(rate_hz) * 440.0 * TAU;
            std::iter::repeat_n((phase.sin() * loud) as i32, channels.into())
        })
        .collect()
}

/// A cover of 3000 × 3000.
pub(crate) fn jpeg_3000() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| image(3000, 3000, image::ImageFormat::Jpeg))
}

/// A picture with something to see on it.
pub(crate) fn image(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x / 12) as u8, (y / 12) as u8, ((x ^ y) / 24) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
