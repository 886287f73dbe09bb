//! The demo: all of it at once, undisturbed and disturbed. One test, because the files of the
//! catalogue are made only once in a state directory, which takes most of the time.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use platform_adapters::{
    ddex::{self, ERN_43, Schemas},
    sandbox::{ReceivedHandover, Verdict},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::processes::{Running, answer, family, program, send, until, until_gone};

/// Folders of the partners.
const PARTNERS: [&str; 4] = ["fjordwave", "lumiere-stream", "sandstorm", "tidepool"];
const RELEASES: usize = 15;
const DELIVERIES: usize = RELEASES * PARTNERS.len();

struct Demo {
    home: TempDir,
    schemas: Option<PathBuf>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_delivers_everything_once_whatever_is_killed() {
    let demo = Demo::new();
    kill_the_daemon_twice_then_interrupt(&demo).await;
    kill_everything(&demo).await;

    let out = demo.home.path().join("disturbed");
    let resumed = answer(demo.command(&out).arg("--json")).await;
    resumed.expect(0, &["this one goes on where it stopped"]);
    assert_all_is_well(&resumed.json(), &out);

    let out = demo.home.path().join("undisturbed");
    let again = answer(demo.command(&out).arg("--json")).await;
    again.expect(0, &["The last demo had finished; this one starts over"]);
    assert_all_is_well(&again.json(), &out);
    assert_messages_are_valid(&demo, &out).await;
}

async fn kill_the_daemon_twice_then_interrupt(demo: &Demo) {
    let out = demo.home.path().join("out");
    let mut running = Running::start(&mut demo.command(&out), demo.home.path().join("1.log"));
    let mut daemon = 0;
    for received in [3, 6] {
        daemon = demo.until_daemon_other_than(daemon).await;
        demo.until_received(received).await;
        send(daemon, Signal::SIGKILL);
    }
    daemon = demo.until_daemon_other_than(daemon).await;
    demo.until_received(10).await;
    let processes = family(running.pid());
    assert!(
        processes.iter().any(|(pid, _)| *pid == daemon),
        "{processes:?}"
    );
    running.signal(Signal::SIGINT);
    assert_eq!(running.end().await.code(), Some(130), "{}", running.log());
    until_gone(&processes).await;
    let log = running.log();
    assert!(
        log.contains("Run the demo again and it goes on where it stopped"),
        "{log}"
    );
    assert_eq!(log.matches(" died (").count(), 2, "{log}");
    assert!(
        demo.received() < DELIVERIES,
        "there was nothing to interrupt"
    );
}

async fn kill_everything(demo: &Demo) {
    let before = demo.received();
    let out = demo.home.path().join("out");
    let mut running = Running::start(&mut demo.command(&out), demo.home.path().join("2.log"));
    demo.until_received(before + 5).await;
    let processes = family(running.pid());
    assert!(
        processes.len() > 4,
        "daemon, PostgreSQL, two sshd: {processes:?}"
    );
    for (pid, _) in &processes {
        // A session of PostgreSQL may end by itself meanwhile.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), Signal::SIGKILL);
    }
    running.end().await;
    until_gone(&processes).await;
    assert!(demo.received() < DELIVERIES, "there was nothing to kill");
}

/// The document has every delivery, accepted, the same bytes on both sides, and each hand-over was
/// completed once.
fn assert_all_is_well(document: &Value, out: &Path) {
    let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["deliveries", "ok", "royalties", "statistics"]);
    assert_eq!(document["ok"], true);
    let royalties = &document["royalties"];
    assert_eq!(royalties["state"], "final", "{royalties:#}");
    assert_eq!(royalties["usage"], royalties["ledger"], "{royalties:#}");
    assert!(out.join("statements").read_dir().unwrap().next().is_some());
    let deliveries = document["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), DELIVERIES);
    let mut pairs = BTreeSet::new();
    let mut retried = 0;
    for delivery in deliveries {
        let text = |key: &str| {
            delivery[key]
                .as_str()
                .unwrap_or_else(|| panic!("{delivery:#}"))
        };
        assert_eq!(
            (text("state"), text("kind")),
            ("accepted", "insert"),
            "{delivery:#}"
        );
        assert!(
            ["api", "sftp", "ddex"].contains(&text("method")),
            "{delivery:#}"
        );
        assert!(!text("release").is_empty());
        assert!(delivery["receipt"].is_object(), "{delivery:#}");
        pairs.insert((text("upc"), text("platform")));
        retried += usize::from(delivery["attempts"].as_i64().unwrap() > 1);
        let files = delivery["files"].as_array().unwrap();
        assert!(files.len() >= 2, "audio and artwork: {delivery:#}");
        for file in files {
            assert_eq!(file["sha256_sent"], file["sha256_received"], "{delivery:#}");
            assert_eq!(file["sha256_sent"].as_str().unwrap().len(), 64);
            assert!(file["size"].as_u64().unwrap() > 0 && file["name"].is_string());
        }
    }
    assert_eq!(pairs.len(), DELIVERIES);
    assert!(retried > 0, "one partner fails at first");
    for partner in PARTNERS {
        let handovers = kept(out, partner);
        assert_eq!(handovers.len(), RELEASES, "{partner}");
        let upcs: BTreeSet<&str> = handovers.iter().map(|one| one.upc.as_str()).collect();
        assert_eq!(upcs.len(), RELEASES, "{partner}");
        for one in &handovers {
            assert_eq!(
                (&one.verdict, one.violations.len()),
                (&Verdict::Accepted, 0),
                "{one:#?}"
            );
            if !one.markers.is_empty() {
                assert_eq!((one.completed, one.markers.len()), (1, 1), "{one:#?}");
            }
            for file in &one.files {
                let copy = out.join(partner).join(&one.media_folder).join(&file.name);
                assert_eq!(
                    fs::metadata(&copy).unwrap().len(),
                    file.size,
                    "{}",
                    copy.display()
                );
            }
        }
    }
}

/// The messages are valid, and there are singles, EPs, albums and compilations.
async fn assert_messages_are_valid(demo: &Demo, out: &Path) {
    let partner = "lumiere-stream";
    let mut kinds = BTreeSet::new();
    let schemas: Option<Schemas> = demo
        .schemas
        .as_deref()
        .map(|at| ddex::find_schemas(at).unwrap());
    for handover in kept(out, partner) {
        let messages: Vec<&String> = handover
            .documents
            .iter()
            .filter(|name| name.ends_with(".xml"))
            .collect();
        let mut releases = 0;
        for name in messages {
            let path = out.join(partner).join(&handover.folder).join(name);
            let message = fs::read_to_string(&path).unwrap();
            if !message.contains("NewReleaseMessage") {
                continue;
            }
            releases += 1;
            for (word, kind) in [
                ("<ReleaseType>Single<", "single"),
                ("<ReleaseType>EP<", "EP"),
                ("<ReleaseType>Album<", "album"),
                ("<IsMultiArtistCompilation>true<", "compilation"),
            ] {
                if message.contains(word) {
                    kinds.insert(kind);
                }
            }
            if let Some(schemas) = &schemas {
                let valid = schemas.validate(ERN_43, name, message.as_bytes()).await;
                valid.unwrap_or_else(|fault| panic!("{fault}"));
            }
        }
        assert_eq!(releases, 1, "{:?}", handover.documents);
    }
    assert_eq!(
        kinds,
        BTreeSet::from(["EP", "album", "compilation", "single"])
    );
}

/// What `--out` kept of a partner's hand-overs.
fn kept(out: &Path, partner: &str) -> Vec<ReceivedHandover> {
    let list = fs::read(out.join(partner).join("received.json")).unwrap();
    serde_json::from_slice(&list).unwrap()
}

impl Demo {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // PostgreSQL and sshd run as somebody else.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            schemas: schemas(),
            home,
        }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn command(&self, out: &Path) -> Command {
        let mut command = program();
        command.env_remove("DDEX_DIR");
        if let Some(schemas) = &self.schemas {
            command.env("DDEX_DIR", schemas);
        }
        command.arg("demo").arg("--state-dir").arg(self.state());
        command.arg("--out").arg(out);
        command
    }

    /// The daemon's process, once it is another than this.
    async fn until_daemon_other_than(&self, before: i32) -> i32 {
        let file = self.state().join("daemon.pid");
        until("a daemon", || async {
            let pid = fs::read_to_string(&file).ok()?.parse().ok()?;
            (pid != before).then_some(pid)
        })
        .await
    }

    /// How many hand-overs the partners have.
    fn received(&self) -> usize {
        let ledger = |partner| self.state().join("partners").join(partner).join("ledger");
        PARTNERS
            .iter()
            .filter_map(|partner| fs::read_dir(ledger(partner)).ok())
            .flat_map(|entries| entries.flatten())
            .filter(|entry| entry.path().extension().is_some_and(|word| word == "json"))
            .count()
    }

    async fn until_received(&self, count: usize) {
        until(&format!("{count} hand-overs"), || async {
            (self.received() >= count).then_some(())
        })
        .await;
    }
}

/// DDEX's schemas, which are not part of the project: from `$DDEX_DIR` or beside the workspace.
fn schemas() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/ddex");
    let directory = env::var_os("DDEX_DIR").map_or(beside, PathBuf::from);
    if directory.is_dir() {
        return Some(directory.canonicalize().unwrap());
    }
    let missing = format!(
        "DDEX's schemas are not in {}; set DDEX_DIR",
        directory.display()
    );
    assert!(env::var_os("CI").is_none(), "{missing}");
    eprintln!("SKIPPED the validation of the demo's messages: {missing}");
    None
}
