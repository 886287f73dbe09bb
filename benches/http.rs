//! How fast the adapter `api` hands over a file of 1 GB, against `curl -T` to the same server in the
//! same run, and how much memory it takes for it. The server takes what comes and answers; it is a
//! process of its own, as the sender is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

mod report;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant, SystemTime},
};

use chrono::{NaiveDate, Utc};
use platform_adapters::{
    Adapter, Handover, Kind,
    api::ApiAdapter,
    package::{AssetStore, assemble},
    release::{Credits, Release, ReleaseType, Territories, Track},
    settings::{Platform, PlatformRow},
};
use report::{Measure, median};
use serde_json::{Value, json};
use uuid::Uuid;

const BYTES: u64 = 1 << 30;
const ROUNDS: usize = 5;

/// What a sender may have resident at the most.
const MEMORY_LIMIT_KB: u64 = 100 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--sink") => sink(),
        Some("--send") => send(&arguments[2], &arguments[3], &arguments[4]),
        _ => measure(),
    }
}

/// Takes requests for ever, of any size.
fn sink() -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        std::thread::spawn(move || serve(stream.unwrap()));
    }
    ExitCode::SUCCESS
}

fn serve(stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut answers = stream.try_clone().unwrap();
    let mut requests = BufReader::with_capacity(64 << 10, stream);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let mut left = 0_u64;
        let mut is_asking = false;
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            is_asking |= line == "expect: 100-continue";
            if let Some(length) = line.strip_prefix("content-length: ") {
                left = length.parse().unwrap();
            }
        }
        if is_asking {
            answers.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap());
            match requests.read(&mut buffer[..most]) {
                Ok(0) | Err(_) => return,
                Ok(count) => left -= count as u64,
            }
        }
        let body = r#"{"id": "r1"}"#;
        let answer = format!(
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        answers.write_all(answer.as_bytes()).unwrap();
    }
}

/// Hands the release over once and prints seconds and kilobytes.
fn send(address: &str, root: &str, api: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let took = runtime.block_on(async {
        let platform = platform(address, serde_json::from_str(api).unwrap());
        let assets = AssetStore::local(Path::new(root)).unwrap();
        let package = assemble(&release(), &platform, Kind::Insert, &assets)
            .await
            .unwrap();
        let adapter = ApiAdapter::new(&platform, assets).unwrap();
        let handover = Handover {
            delivery: Uuid::now_v7(),
            kind: Kind::Insert,
            revision: 1,
            transmission: 1,
            partner_release_id: None,
            started_at: Utc::now(),
            batch: None,
            last_stated: None,
            resend_of: None,
            purges: false,
        };
        let began = Instant::now();
        adapter.deliver(&handover, &package).await.unwrap();
        began.elapsed()
    });
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let resident_kb = line.unwrap().split_whitespace().nth(1).unwrap();
    println!("{} {resident_kb}", took.as_secs_f64());
    ExitCode::SUCCESS
}

fn platform(address: &str, api: Value) -> Platform {
    Platform::from_row(&PlatformRow {
        id: 1,
        name: "Sink".into(),
        api_endpoint: Some(format!("http://{address}/v1")),
        delivery_method: "api".into(),
        requirements: Some(json!({"artwork": {"min_px": 1}})),
        format_specs: Some(json!({"allow_private_addresses": true, "api": api})),
        ..PlatformRow::default()
    })
    .unwrap()
}

fn release() -> Release {
    Release {
        id: 1,
        title: "One gigabyte".into(),
        subtitle: None,
        release_type: ReleaseType::Single,
        upc: Some("036000291452".into()),
        display_artist: "Ada Quell".into(),
        label: "Nordlicht Records".into(),
        p_line: None,
        c_line: None,
        genre: None,
        sub_genre: None,
        availability: Default::default(),
        language: "en".into(),
        is_explicit: false,
        release_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
        original_release_date: None,
        artwork: Some("cover.jpg".into()),
        credits: Credits::default(),
        territories: Territories::Worldwide,
        tracks: vec![Track {
            id: 1,
            title: "Long".into(),
            subtitle: None,
            display_artist: "Ada Quell".into(),
            disc: 1,
            number: Some(1),
            isrc: Some("USRC17607839".into()),
            iswc: None,
            duration_s: None,
            audio_file: Some("long.wav".into()),
            lyrics: None,
            is_explicit: false,
            genre: None,
            sub_genre: None,
            availability: Default::default(),
            language: "en".into(),
            p_line: None,
            credits: Credits::default(),
        }],
    }
}

/// The release's files, as if they had been there for a while.
fn lay_out(root: &Path) {
    let cover = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/media/cover.jpg");
    fs::copy(cover, root.join("cover.jpg")).unwrap();
    let mut wav = File::create(root.join("long.wav")).unwrap();
    let length = u32::try_from(BYTES).unwrap();
    wav.write_all(b"RIFF").unwrap();
    wav.write_all(&(length + 36).to_le_bytes()).unwrap();
    wav.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x02\0").unwrap();
    wav.write_all(&96_000_u32.to_le_bytes()).unwrap();
    wav.write_all(&(96_000_u32 * 4).to_le_bytes()).unwrap();
    wav.write_all(b"\x04\0\x10\0data").unwrap();
    wav.write_all(&length.to_le_bytes()).unwrap();
    let piece: Vec<u8> = (0..1_usize << 20).map(|at| (at % 251) as u8).collect();
    for _ in 0..BYTES >> 20 {
        wav.write_all(&piece).unwrap();
    }
    wav.sync_all().unwrap();
    for name in ["cover.jpg", "long.wav"] {
        let file = File::options().write(true).open(root.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
            .unwrap();
    }
}

/// The server, ended with this.
struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure() -> ExitCode {
    let root =
        tempfile::tempdir_in(std::env::var_os("TMPDIR").unwrap_or("/var/tmp".into())).unwrap();
    lay_out(root.path());
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new(&this)
        .arg("--sink")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let address = address.trim();
    let _sink = Sink(child);
    let kinds = [
        (
            "MB a second, a request for each file",
            json!({"body": "json", "files": {"to": "/files/{name}"}}),
        ),
        (
            "MB a second, one multipart request",
            json!({"body": "multipart"}),
        ),
    ];
    let mut ours = [Vec::new(), Vec::new()];
    let mut curl = Vec::new();
    let mut most_kb = 0;
    for round in 1..=ROUNDS {
        curl.push(megabytes_a_second(with_curl(address, root.path())));
        for ((_, api), ours) in kinds.iter().zip(&mut ours) {
            let output = Command::new(&this)
                .args([
                    "--send",
                    address,
                    root.path().to_str().unwrap(),
                    &api.to_string(),
                ])
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let text = String::from_utf8(output.stdout).unwrap();
            let (seconds, resident_kb) = text.trim().split_once(' ').unwrap();
            ours.push(megabytes_a_second(seconds.parse().unwrap()));
            most_kb = most_kb.max(resident_kb.parse().unwrap());
        }
        eprintln!(
            "http: round {round}: curl {:.0}, ours {:.0} and {:.0} MB/s",
            curl.last().unwrap(),
            ours[0].last().unwrap(),
            ours[1].last().unwrap()
        );
    }
    eprintln!("http: at most {} MB resident", most_kb / 1024);
    let version = Command::new("curl").arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let peer: String = version
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    let measures: Vec<Measure> = kinds
        .iter()
        .zip(ours)
        .map(|((unit, _), ours)| Measure {
            benchmark: "http",
            unit,
            ours: median(ours),
            peers: vec![(format!("{peer} -T"), median(curl.clone()))],
            limit: None,
            bar: 0.9,
        })
        .collect();
    let code = report::print(&measures);
    if most_kb > MEMORY_LIMIT_KB {
        eprintln!("http: more memory than {} MB", MEMORY_LIMIT_KB / 1024);
        return ExitCode::FAILURE;
    }
    code
}

fn with_curl(address: &str, root: &Path) -> f64 {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--output",
            "/dev/null",
        ])
        .args(["--write-out", "%{time_total}", "--upload-file"])
        .arg(root.join("long.wav"))
        .arg(format!("http://{address}/v1/files/long.wav"))
        .output()
        .expect("curl");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

fn megabytes_a_second(seconds: f64) -> f64 {
    (BYTES as f64) / 1e6 / seconds
}
