//! Uploads by SFTP, held against OpenSSH's own `sftp` and against `lftp`, to the same `sshd` in the
//! same run, with the settings that the product ships: one file of 1 GB, and 200 files of 5 MB; the same
//! over a wire with a round trip of 40 ms, with large files split over four connections, against one
//! `sftp`. Then 50 uploads of 200 MB, each cut once at a random byte.
//!
//! All take turns. What arrived is looked at after each run, and removed. Our memory is that of this
//! process, in which nothing else is kept.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic
)]

mod report;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use platform_adapters::{
    package::{AssetStore, PackagedFile},
    sandbox::{Sshd, SshdOptions},
    settings::{Platform, PlatformRow, Secretive},
    sftp::Remote,
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use report::{Measure, median};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use test_support::wire::Wire;

const ROUNDS: usize = 3;
const MB: u64 = 1_000_000;
const ROUND_TRIP: Duration = Duration::from_millis(40);
const CONNECTIONS: u16 = 4;
const CUTS: u64 = 50;
const CUT_BYTES: u64 = 200 * MB;
const MEMORY_MAX_MB: u64 = 100;
const SEED: u64 = 20_260_501;

/// What is sent: so many files of so many bytes.
struct Load {
    name: &'static str,
    files: Vec<PackagedFile>,
}

impl Load {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    fn mb_per_second(&self, took: Duration) -> f64 {
        self.bytes() as f64 / MB as f64 / took.as_secs_f64()
    }
}

struct Bench {
    sshd: Sshd,
    sources: PathBuf,
    assets: AssetStore,
    known_hosts: PathBuf,
    // After the server that uses it.
    directory: TempDir,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, word, port] if word == WIRE => {
            FarWire::carry(port.parse().unwrap());
            ExitCode::SUCCESS
        }
        _ => tokio::runtime::Runtime::new().unwrap().block_on(compare()),
    }
}

async fn compare() -> ExitCode {
    let bench = Bench::start().await;
    let one = bench.load("one file of 1 GB", 1, 1000 * MB);
    let many = bench.load("200 files of 5 MB", 200, 5 * MB);
    let near = bench.sshd.port();
    let far = FarWire::start(near);
    let mut measures = Vec::new();
    for load in [&one, &many] {
        measures.push(bench.beside_peers(load, near).await);
    }
    let near_most = resident_most_mb();
    for load in [&one, &many] {
        measures.push(bench.far_away(load, far.port).await);
    }
    drop(far);
    let far_most = resident_most_mb();
    measures.push(bench.cut().await);
    let most = resident_most_mb();
    eprintln!(
        "sftp: resident memory {near_most} MB at most, {far_most} MB with all that was far away, \
         {most} MB with all that was cut; {MEMORY_MAX_MB} MB allowed"
    );
    assert!(most < MEMORY_MAX_MB, "{most} MB resident");
    report::print(&measures)
}

/// The argument that makes a process of this program carry bytes and do nothing else.
const WIRE: &str = "wire";

/// A long wire to a port, in a process of its own: what is under way on it is not our memory.
struct FarWire {
    port: u16,
    process: Child,
}

impl FarWire {
    fn start(server_port: u16) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([WIRE, &server_port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        Self {
            port: line.trim().parse().unwrap(),
            process,
        }
    }

    /// What the process does: until nobody speaks to it any more.
    fn carry(server_port: u16) {
        let wire = Wire::start(server_port, ROUND_TRIP / 2);
        println!("{}", wire.port());
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
}

impl Drop for FarWire {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

impl Bench {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let sshd = Sshd::start(SshdOptions {
            state: directory.path().join("state"),
            root: directory.path().join("root"),
            port: None,
        })
        .await
        .unwrap();
        sshd.make_directory("incoming").unwrap();
        let sources = directory.path().join("sources");
        fs::create_dir(&sources).unwrap();
        // The peers read the key as its owner, whoever runs this.
        let key = directory.path().join("key");
        fs::copy(sshd.private_key(), &key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            assets: AssetStore::local(&sources).unwrap(),
            known_hosts: directory.path().join("known_hosts"),
            sshd,
            sources,
            directory,
        }
    }

    /// Files of random bytes.
    fn load(&self, name: &'static str, count: u64, size: u64) -> Load {
        let mut random = StdRng::seed_from_u64(SEED);
        let files = (0..count).map(|number| {
            let name = format!("{size}_{number:03}.wav");
            let mut sink = BufWriter::new(File::create(self.sources.join(&name)).unwrap());
            let mut hasher = Sha256::new();
            let mut block = vec![0; 500_000];
            for _ in 0..size / block.len() as u64 {
                random.fill_bytes(&mut block);
                hasher.update(&block);
                sink.write_all(&block).unwrap();
            }
            PackagedFile {
                path: name.as_str().into(),
                text: None,
                name,
                size,
                sha256: hex::encode(hasher.finalize()),
                md5: String::new(),
                media_type: "audio/wav",
            }
        });
        Load {
            name,
            files: files.collect(),
        }
    }

    async fn beside_peers(&self, load: &Load, port: u16) -> Measure {
        let (mut ours, mut openssh, mut lftp) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            // With the settings that the product ships.
            ours.push(self.ours(load, port, json!({})).await);
            openssh.push(self.sftp(load, port));
            lftp.push(self.lftp(load, port));
            eprintln!(
                "sftp: {}, round {round} of {ROUNDS}: {:.0} MB/s, sftp {:.0}, lftp {:.0}",
                load.name,
                ours.last().unwrap(),
                openssh.last().unwrap(),
                lftp.last().unwrap()
            );
        }
        Measure {
            benchmark: "sftp",
            unit: match load.files.len() {
                1 => "MB a second, one file of 1 GB",
                _ => "MB a second, 200 files of 5 MB",
            },
            ours: median(ours),
            peers: vec![
                (version("ssh", "-V"), median(openssh)),
                (version("lftp", "--version"), median(lftp)),
            ],
            limit: None,
            bar: 0.95,
        }
    }

    async fn far_away(&self, load: &Load, port: u16) -> Measure {
        let (mut ours, mut openssh) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            let specs = json!({"connections": CONNECTIONS, "split_files": true});
            ours.push(self.ours(load, port, specs).await);
            openssh.push(self.sftp(load, port));
            eprintln!(
                "sftp: {}, 40 ms away, round {round} of {ROUNDS}: {:.0} MB/s, sftp {:.0}",
                load.name,
                ours.last().unwrap(),
                openssh.last().unwrap(),
            );
        }
        Measure {
            benchmark: "sftp",
            unit: match load.files.len() {
                1 => "MB a second, one file of 1 GB, 40 ms away",
                _ => "MB a second, 200 files of 5 MB, 40 ms away",
            },
            ours: median(ours),
            peers: vec![(version("ssh", "-V"), median(openssh))],
            limit: None,
            bar: 2.0,
        }
    }

    /// Uploads that are cut once each: what had to be sent, in percent of what was.
    async fn cut(&self) -> Measure {
        let load = self.load("200 MB", 1, CUT_BYTES);
        let file = load.files.first().unwrap();
        let wire = Wire::start(self.sshd.port(), Duration::ZERO);
        let remote = self.remote(wire.port(), json!({}));
        let mut random = StdRng::seed_from_u64(SEED);
        let started = Instant::now();
        let before = wire.sent();
        for _ in 0..CUTS {
            wire.cut_after(random.random_range(1..CUT_BYTES));
            remote
                .put_files(&self.assets, "run", &[file], &[])
                .await
                .unwrap();
            assert!(!wire.is_cut_to_come(), "it was not cut");
            self.verify(&load);
        }
        let sent = wire.sent() - before;
        let needed = CUTS * CUT_BYTES;
        eprintln!(
            "sftp: {CUTS} uploads of 200 MB, each cut once, in {:.0} s: {:.1} % sent twice",
            started.elapsed().as_secs_f64(),
            (sent - needed) as f64 * 100.0 / needed as f64
        );
        Measure {
            benchmark: "sftp",
            unit: "MB sent for 50 uploads of 200 MB, each cut once (limit: nothing twice)",
            ours: needed as f64 / sent as f64 * (needed / MB) as f64,
            peers: Vec::new(),
            limit: Some(("nothing sent twice".to_owned(), (needed / MB) as f64)),
            bar: 0.8,
        }
    }

    fn remote(&self, port: u16, specs: Value) -> Remote {
        let platform = Platform::from_row(&PlatformRow {
            id: 1,
            name: "Bench".into(),
            api_endpoint: Some(format!(
                "sftp://127.0.0.1:{port}{}",
                self.incoming().display()
            )),
            api_credentials: Some(Secretive(json!({
                "username": self.sshd.username(),
                "private_key": {"file": self.directory.path().join("key")},
                "host_key": self.sshd.fingerprint(),
            }))),
            delivery_method: "sftp".into(),
            format_specs: Some(json!({ "sftp": specs })),
            ..PlatformRow::default()
        });
        Remote::new(&platform.unwrap()).unwrap()
    }

    async fn ours(&self, load: &Load, port: u16, specs: Value) -> f64 {
        self.make_room();
        let files: Vec<&PackagedFile> = load.files.iter().collect();
        let started = Instant::now();
        self.remote(port, specs)
            .put_files(&self.assets, "run", &files, &[])
            .await
            .unwrap();
        let took = started.elapsed();
        self.verify(load);
        load.mb_per_second(took)
    }

    fn sftp(&self, load: &Load, port: u16) -> f64 {
        let batch = self.directory.path().join("batch");
        let puts: String = load
            .files
            .iter()
            .map(|file| format!("put {}\n", file.name))
            .collect();
        let cd = format!(
            "lcd {}\ncd {}/run\n",
            self.sources.display(),
            self.incoming().display()
        );
        fs::write(&batch, cd + &puts).unwrap();
        let mut command = Command::new("sftp");
        command.arg("-q").arg("-b").arg(&batch);
        command
            .args(self.ssh_options())
            .arg(format!("-oPort={port}"));
        command.arg(format!("{}@127.0.0.1", self.sshd.username()));
        self.peer(load, &mut command)
    }

    fn lftp(&self, load: &Load, port: u16) -> f64 {
        let options = self.ssh_options().join(" ");
        let puts: String = load
            .files
            .iter()
            .map(|file| format!("put {}/{};", self.sources.display(), file.name))
            .collect();
        let script = format!(
            "set sftp:connect-program \"ssh -a -x {options}\"; open -u {},none \
             sftp://127.0.0.1:{port}; cd {}/run; {puts} bye",
            self.sshd.username(),
            self.incoming().display()
        );
        let mut command = Command::new("lftp");
        command.arg("--norc").arg("-c").arg(script);
        self.peer(load, &mut command)
    }

    fn ssh_options(&self) -> Vec<String> {
        vec![
            format!(
                "-oIdentityFile={}",
                self.directory.path().join("key").display()
            ),
            format!("-oUserKnownHostsFile={}", self.known_hosts.display()),
            "-oIdentitiesOnly=yes".into(),
            "-oStrictHostKeyChecking=accept-new".into(),
            "-oBatchMode=yes".into(),
            "-oLogLevel=ERROR".into(),
        ]
    }

    fn peer(&self, load: &Load, command: &mut Command) -> f64 {
        self.make_room();
        self.sshd.make_directory("incoming/run").unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let status = command.status().unwrap();
        let took = started.elapsed();
        assert!(status.success(), "{command:?}");
        self.verify(load);
        load.mb_per_second(took)
    }

    fn incoming(&self) -> PathBuf {
        self.sshd.root().join("incoming")
    }

    fn make_room(&self) {
        let run = self.incoming().join("run");
        if run.exists() {
            fs::remove_dir_all(run).unwrap();
        }
    }

    /// What arrived is what was sent, or the figures cannot be compared.
    fn verify(&self, load: &Load) {
        let run = self.incoming().join("run");
        for file in &load.files {
            let sent = self.sources.join(&file.name);
            let received = run.join(&file.name);
            assert!(is_same(&sent, &received), "{}", received.display());
        }
        assert_eq!(fs::read_dir(&run).unwrap().count(), load.files.len());
        fs::remove_dir_all(run).unwrap();
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let compared = Command::new("cmp").arg("-s").arg(one).arg(other).status();
    compared.unwrap().success()
}

/// The first line in which a program says its version.
fn version(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let words = said.split(['|', ',']).next().unwrap_or_default().trim();
    words.to_owned()
}

/// The most memory that this process had resident so far, in MB.
fn resident_most_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().next().unwrap();
    kilobytes.parse::<u64>().unwrap() / 1024
}
