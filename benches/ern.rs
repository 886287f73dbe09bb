//! The message of an album of twelve tracks: building it, and building and validating it, held
//! against lxml's validation of the very same bytes with a schema that it compiled once.
//!
//! Ours is what is done before a message is sent: it is built, held against the rules beyond the
//! schema, and validated against DDEX's schema. lxml parses and validates. Both use libxml2. They
//! take turns. DDEX's schemas are not part of the project: `DDEX_DIR` says where they are.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod report;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use chrono::{NaiveDate, TimeZone, Utc};
use platform_adapters::{
    Handover, Kind,
    ddex::{Schemas, Version, build, find_schemas, verify},
    package::{
        AudioCodec, AudioProperties, ImageFormat, Package, PackagedArtwork, PackagedAudio,
        PackagedFile, PackagedTrack,
    },
    release::{
        Credits, Musician, Release, ReleaseAvailability, ReleaseType, RightsLine, Territories,
        Track, TrackAvailability, Upc,
    },
    settings::{Platform, PlatformRow},
};
use report::{Measure, median};
use serde_json::json;
use uuid::Uuid;

const TRACKS: u32 = 12;
const ROUNDS: usize = 9;
/// Messages of a round.
const MESSAGES: u32 = 300;
const UPC: &str = "036000291452";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/ddex");
    let directory = env::var_os("DDEX_DIR").map_or(beside, PathBuf::from);
    let Some(python) = env::var_os("BENCH_LXML").map(PathBuf::from) else {
        eprintln!("ern: BENCH_LXML names no Python with lxml; run scripts/bench ern");
        return ExitCode::from(64);
    };
    if !directory.is_dir() {
        eprintln!(
            "ern: DDEX's schemas are not in {}; set DDEX_DIR",
            directory.display()
        );
        return ExitCode::from(69);
    }
    let schemas = find_schemas(&directory).unwrap();
    let mut measures = Vec::new();
    for version in [Version::Ern432, Version::Ern43, Version::Ern382] {
        measures.extend(measure(version, &schemas, &directory, &python).await);
    }
    report::print(&measures)
}

/// The median rates of a version: built; built and validated.
async fn measure(
    version: Version,
    schemas: &Schemas,
    directory: &Path,
    python: &Path,
) -> [Measure; 2] {
    let platform = platform(version);
    let (handover, package) = (handover(), album());
    let message = build(&platform, &handover, &package).unwrap();
    let file = env::temp_dir().join(format!("ern-{}.xml", Uuid::now_v7()));
    fs::write(&file, &message.xml).unwrap();
    let folder = format!("ernv{}", version.as_str().replace('.', ""));
    let schema = directory
        .join("xsd")
        .join(folder)
        .join("release-notification.xsd");
    let namespace = version.namespace();
    // Compiles the schema.
    schemas
        .validate(namespace, "x.xml", &message.xml)
        .await
        .unwrap();

    let (mut built, mut valid, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let mut lxml = String::new();
    for round in 1..=ROUNDS {
        let started = Instant::now();
        for _ in 0..MESSAGES {
            std::hint::black_box(build(&platform, &handover, &package).unwrap());
        }
        built.push(rate(started.elapsed()));
        let started = Instant::now();
        for _ in 0..MESSAGES {
            let message = build(&platform, &handover, &package).unwrap();
            verify(Some(schemas), "x.xml", &message).await.unwrap();
        }
        valid.push(rate(started.elapsed()));
        let (version, seconds) = validate_by_lxml(python, &schema, &file);
        lxml = version;
        theirs.push(f64::from(MESSAGES) / seconds);
        eprintln!("ern: round {round} of {ROUNDS}");
    }
    fs::remove_file(&file).unwrap();
    let theirs = median(theirs);
    eprintln!(
        "ern: {version}, {} kB: build {:.2} ms, build and validate {:.2} ms, lxml {:.2} ms",
        message.xml.len() / 1000,
        1000.0 / median(built.clone()),
        1000.0 / median(valid.clone()),
        1000.0 / theirs,
    );
    let measure = |unit, ours, limit: String, value| Measure {
        benchmark: "ern",
        unit,
        ours: median(ours),
        peers: Vec::new(),
        limit: Some((limit, value)),
        bar: 1.0,
    };
    let (build_unit, valid_unit) = units(version);
    [
        measure(
            build_unit,
            built,
            format!("4 times validations by {lxml}"),
            4.0 * theirs,
        ),
        measure(
            valid_unit,
            valid,
            format!("half of validations by {lxml}"),
            theirs / 2.0,
        ),
    ]
}

fn units(version: Version) -> (&'static str, &'static str) {
    match version {
        Version::Ern432 => (
            "albums of ERN 4.3.2 built a second",
            "albums of ERN 4.3.2 built and validated a second",
        ),
        Version::Ern43 => (
            "albums of ERN 4.3 built a second",
            "albums of ERN 4.3 built and validated a second",
        ),
        Version::Ern382 => (
            "albums of ERN 3.8.2 built a second",
            "albums of ERN 3.8.2 built and validated a second",
        ),
    }
}

fn rate(elapsed: Duration) -> f64 {
    f64::from(MESSAGES) / elapsed.as_secs_f64()
}

/// lxml's version, and the seconds that it took for a round.
fn validate_by_lxml(python: &Path, schema: &Path, file: &Path) -> (String, f64) {
    const DRIVER: &str = r#"
import sys, time
from lxml import etree
schema = etree.XMLSchema(etree.parse(sys.argv[1]))
xml = open(sys.argv[2], "rb").read()
assert schema.validate(etree.fromstring(xml)), schema.error_log
started = time.perf_counter()
for _ in range(int(sys.argv[3])):
    schema.validate(etree.fromstring(xml))
print(etree.__version__, time.perf_counter() - started)
"#;
    let output = Command::new(python)
        .args(["-c", DRIVER])
        .arg(schema)
        .arg(file)
        .arg(MESSAGES.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (version, seconds) = said.trim().split_once(' ').unwrap();
    (format!("lxml {version}"), seconds.parse().unwrap())
}

fn platform(version: Version) -> Platform {
    Platform::from_row(&PlatformRow {
        id: 7,
        name: "Nordlys".into(),
        api_endpoint: Some("sftp://127.0.0.1/incoming".into()),
        delivery_method: "ddex".into(),
        format_specs: Some(json!({"ddex": {
            "version": version.as_str(),
            "sender_dpid": "PADPIDA2026112301T",
            "recipient_dpid": "PADPIDA2026112302L",
        }})),
        ..PlatformRow::default()
    })
    .unwrap()
}

fn handover() -> Handover {
    Handover {
        partner_release_id: None,
        delivery: Uuid::from_u128(7),
        kind: Kind::Insert,
        revision: 1,
        transmission: 1,
        started_at: Utc.timestamp_opt(1_800_000_000, 0).unwrap(),
        batch: None,
        last_stated: None,
        resend_of: None,
        purges: false,
    }
}

fn album() -> Package {
    let tracks: Vec<PackagedTrack> = (1..=TRACKS).map(track).collect();
    let release = Release {
        id: 1,
        title: "Über den Wellen".into(),
        subtitle: Some("Deluxe Edition".into()),
        release_type: ReleaseType::Album,
        upc: Some(UPC.into()),
        display_artist: "Åsa Nørgård".into(),
        label: "Nordlicht Records".into(),
        p_line: Some(rights()),
        c_line: Some(rights()),
        genre: Some("Electronic".into()),
        sub_genre: Some("Techno".into()),
        language: "en".into(),
        is_explicit: false,
        release_date: NaiveDate::from_ymd_opt(2027, 1, 29).unwrap(),
        original_release_date: None,
        availability: ReleaseAvailability::default(),
        artwork: Some("front.jpg".into()),
        credits: credits(),
        territories: Territories::Worldwide,
        tracks: tracks.iter().map(|track| track.track.clone()).collect(),
    };
    Package {
        release,
        upc: UPC.parse::<Upc>().unwrap(),
        tracks,
        artwork: Some(PackagedArtwork {
            file: file(&format!("{UPC}.jpg"), 0, "image/jpeg"),
            format: ImageFormat::Jpeg,
            width_px: 3000,
            height_px: 3000,
        }),
        territories: Territories::WorldwideExcept(vec!["CU".into(), "KP".into()]),
    }
}

fn track(number: u32) -> PackagedTrack {
    PackagedTrack {
        track: Track {
            id: 1,
            title: format!("Wave {number}"),
            subtitle: None,
            display_artist: "Åsa Nørgård feat. Jón Þór".into(),
            disc: 1,
            number: i32::try_from(number).ok(),
            isrc: None,
            iswc: Some("T-034.524.680-1".into()),
            duration_s: Some(200),
            audio_file: None,
            lyrics: None,
            is_explicit: false,
            genre: Some("Electronic".into()),
            sub_genre: None,
            language: "en".into(),
            p_line: Some(rights()),
            availability: TrackAvailability::default(),
            credits: credits(),
        },
        number,
        isrc: format!("DEA1B25{number:05}").parse().unwrap(),
        audio: Some(PackagedAudio {
            file: file(&format!("{UPC}_01_{number:03}.flac"), number, "audio/flac"),
            properties: AudioProperties {
                codec: AudioCodec::Flac,
                sample_rate_hz: 44_100,
                bits_per_sample: 16,
                channels: 2,
                duration: Duration::from_secs(200 + u64::from(number)),
            },
        }),
        lyrics: None,
    }
}

fn credits() -> Credits {
    Credits {
        primary_artist: vec!["Åsa Nørgård".into()],
        featured_artists: vec!["Jón Þór".into()],
        composers: vec!["Åsa Nørgård".into(), "Mari Holm".into()],
        lyricists: vec!["Mari Holm".into()],
        producers: vec!["Jens Lund".into()],
        mixing_engineers: vec!["Dana Mix".into()],
        mastering_engineers: vec!["Max Master".into()],
        musicians: vec![Musician {
            name: "Per Bass".into(),
            role: "Session musician".into(),
            instrument: Some("Electric Bass".into()),
        }],
        vocalists: Vec::new(),
    }
}

fn rights() -> RightsLine {
    RightsLine {
        year: 2027,
        text: "Nordlicht Records".into(),
    }
}

fn file(name: &str, number: u32, media_type: &'static str) -> PackagedFile {
    PackagedFile {
        name: name.into(),
        path: name.into(),
        text: None,
        size: 31_000_000 + u64::from(number),
        sha256: format!("{number:064x}"),
        md5: format!("{number:032x}"),
        media_type,
    }
}
