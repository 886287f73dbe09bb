//! The sandbox's SFTP partner with both layouts: what the adapters hand over it takes, and what is
//! not right it finds.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use platform_adapters::{
    Adapter, Code, Fault, Handover, Kind, Receipt, Status,
    ddex::DdexAdapter,
    package::{Package, assemble},
    release::ReleaseType,
    sandbox::{
        Misbehaviour, Misbehaviours, ReceivedHandover, SftpKind, SftpPartner, SftpPartnerError,
        SftpPartnerOptions, Verdict,
    },
    settings::{Platform, PlatformRow, Secretive},
    sftp::SftpAdapter,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{api::handover, fixtures::Fixture};

/// A partner, its files, and releases to hand over to it.
struct Scene {
    partner: SftpPartner,
    fixture: Fixture,
    kind: SftpKind,
    root: TempDir,
}

impl Scene {
    async fn new(kind: SftpKind, misbehaviours: Misbehaviours) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let partner = SftpPartner::start(options(root.path(), kind, misbehaviours))
            .await
            .unwrap();
        Self {
            partner,
            fixture: Fixture::new(),
            kind,
            root,
        }
    }

    fn platform(&self) -> Platform {
        let method = match self.kind {
            SftpKind::Sftp => "sftp",
            SftpKind::Ddex => "ddex",
        };
        Platform::from_row(&PlatformRow {
            id: 5,
            name: "Sirius".into(),
            api_endpoint: Some(self.partner.endpoint()),
            api_credentials: Some(Secretive(json!({
                "username": self.partner.username(),
                "private_key": {"file": self.partner.private_key_path()},
                "host_key": self.partner.host_key(),
            }))),
            delivery_method: method.into(),
            format_specs: Some(json!({
                "confirmation": "folder",
                "allow_private_addresses": true,
                "ddex": {
                    "sender_dpid": "PADPIDA2014120301C",
                    "recipient_dpid": "PADPIDA2014120302D",
                },
            })),
            ..PlatformRow::default()
        })
        .unwrap()
    }

    fn adapter(&self) -> Box<dyn Adapter> {
        let (platform, assets) = (self.platform(), self.fixture.assets.clone());
        match self.kind {
            SftpKind::Sftp => Box::new(SftpAdapter::new(&platform, assets).unwrap()),
            SftpKind::Ddex => Box::new(DdexAdapter::new(platform.clone(), assets, None).unwrap()),
        }
    }

    async fn package(&self) -> Package {
        let release = self.fixture.release(ReleaseType::Ep, 3);
        self.fixture.package(&release).await
    }

    async fn deliver(&self, handover: &Handover, package: &Package) -> Receipt {
        self.adapter().deliver(handover, package).await.unwrap()
    }

    /// Waits until the partner has said what it thinks.
    async fn status(&self, handover: &Handover, receipt: &Receipt) -> Status {
        let adapter = self.adapter();
        eventually(
            async || match adapter.status(handover, receipt).await.unwrap() {
                Status::Pending(_) => None,
                decided => Some(decided),
            },
        )
        .await
    }

    /// Waits until the partner has a hand-over of which this is true.
    async fn received(
        &self,
        key: &str,
        is_so: impl Fn(&ReceivedHandover) -> bool,
    ) -> ReceivedHandover {
        eventually(async || {
            let found = self.partner.ledger().received(key).unwrap();
            found.into_iter().find(&is_so)
        })
        .await
    }

    /// The folder of a hand-over at the partner.
    fn folder(&self, receipt: &Receipt) -> PathBuf {
        receipt.remote_path.as_ref().unwrap().into()
    }
}

fn options(root: &Path, kind: SftpKind, misbehaviours: Misbehaviours) -> SftpPartnerOptions {
    SftpPartnerOptions {
        name: "Sirius".into(),
        root: root.into(),
        port: None,
        kind,
        ddex_dir: (kind == SftpKind::Ddex).then(ddex_directory).flatten(),
        misbehaviours,
    }
}

/// DDEX's schemas. Where they are absent messages are not validated, and that is said, except in CI.
#[allow(clippy::print_stderr, reason = "what is skipped is said")]
fn ddex_directory() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/ddex");
    let directory = std::env::var_os("DDEX_DIR").map_or(beside, PathBuf::from);
    if directory.is_dir() {
        return Some(directory);
    }
    let place = directory.display();
    assert!(
        std::env::var_os("CI").is_none(),
        "DDEX's schemas are not in {place}; set DDEX_DIR"
    );
    eprintln!("SKIPPED validation: DDEX's schemas are not in {place}; set DDEX_DIR");
    None
}

async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the partner never said so")
}

#[tokio::test]
async fn both_layouts_are_taken_and_acknowledged() {
    for kind in [SftpKind::Sftp, SftpKind::Ddex] {
        let scene = Scene::new(kind, Misbehaviours::none()).await;
        let package = scene.package().await;
        let handover = handover(Kind::Insert);
        let receipt = scene.deliver(&handover, &package).await;
        let status = scene.status(&handover, &receipt).await;
        assert!(
            matches!(status, Status::Accepted(_)),
            "{kind:?}: {status:?}"
        );
        let received = scene.received(&handover.key(), |_| true).await;
        assert_eq!(received.violations, [""; 0], "{kind:?}");
        assert_eq!(received.verdict, Verdict::Accepted);
        assert_eq!((received.completed, received.kind.as_str()), (1, "insert"));
        assert_eq!(received.upc, package.upc.as_str());
        assert_eq!(received.files.len(), 4);
        for file in package.files() {
            let arrived = received.files.iter().find(|f| f.name == file.name).unwrap();
            assert_eq!((arrived.size, &arrived.sha256), (file.size, &file.sha256));
            let path = scene.partner.ledger().media(&received, &file.name);
            assert_eq!(path.metadata().unwrap().len(), file.size);
        }
        for sent in &receipt.evidence {
            let path = scene.partner.ledger().document(&received, &sent.name);
            assert_eq!(fs::read(path).unwrap(), sent.body, "{}", sent.name);
        }
    }
}

#[tokio::test]
async fn updates_and_takedowns_are_taken_where_there_is_something_to_change() {
    for kind in [SftpKind::Sftp, SftpKind::Ddex] {
        let scene = Scene::new(kind, Misbehaviours::none()).await;
        let release = scene.fixture.release(ReleaseType::Single, 1);
        let steps = [Kind::Insert, Kind::Update, Kind::Takedown, Kind::Takedown];
        let mut accepted = Vec::new();
        for (step, what) in steps.into_iter().enumerate() {
            let mut handover = handover(what);
            handover.started_at += chrono::TimeDelta::seconds(step as i64);
            let package = assemble(&release, &scene.platform(), what, &scene.fixture.assets)
                .await
                .unwrap();
            let receipt = scene.deliver(&handover, &package).await;
            let status = scene.status(&handover, &receipt).await;
            accepted.push(matches!(status, Status::Accepted(_)));
            let received = scene.received(&handover.key(), |_| true).await;
            assert_eq!(received.kind, what.as_str(), "{kind:?}");
        }
        assert_eq!(accepted, [true, true, true, false], "{kind:?}");
    }
}

#[tokio::test]
async fn a_rejection_on_request_carries_its_reason() {
    for kind in [SftpKind::Sftp, SftpKind::Ddex] {
        let reason = "the cover shows a web address";
        let plan = Misbehaviours::none().then(
            1,
            Misbehaviour::RejectLater {
                reason: reason.into(),
            },
        );
        let scene = Scene::new(kind, plan).await;
        let package = scene.package().await;
        let first = handover(Kind::Insert);
        let receipt = scene.deliver(&first, &package).await;
        match scene.status(&first, &receipt).await {
            Status::Rejected { reason: said, .. } => assert!(said.contains(reason), "{said}"),
            other => panic!("{kind:?}: {other:?}"),
        }
        let mut resend = Handover {
            transmission: 2,
            ..first
        };
        resend.started_at += chrono::TimeDelta::seconds(1);
        let receipt = scene.deliver(&resend, &package).await;
        let status = scene.status(&resend, &receipt).await;
        assert!(
            matches!(status, Status::Accepted(_)),
            "{kind:?}: {status:?}"
        );
    }
}

/// What is done to a complete hand-over, and what the partner must say of it.
type Damage = (&'static str, fn(&Path), &'static str);

const DAMAGES: [Damage; 7] = [
    ("a changed file", change_a_file, "announced was"),
    ("a cut file", cut_a_file, "bytes, announced were"),
    ("a missing file", remove_a_file, "is missing"),
    ("a temporary file", leave_a_part, "does not belong"),
    ("a surplus file", add_a_file, "does not belong"),
    ("a late file", touch_a_file, "was written after"),
    (
        "a document that is not as it should be",
        spoil_a_document,
        SPOILT,
    ),
];

/// Stands in what is said of a document that [`spoil_a_document`] spoilt, in both layouts.
const SPOILT: &str = "Nonsense";

fn a_file(folder: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder.join("resources"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.remove(0)
}

fn change_a_file(folder: &Path) {
    let mut bytes = fs::read(a_file(folder)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(a_file(folder), bytes).unwrap();
}

fn cut_a_file(folder: &Path) {
    let bytes = fs::read(a_file(folder)).unwrap();
    fs::write(a_file(folder), &bytes[1..]).unwrap();
}

fn remove_a_file(folder: &Path) {
    fs::remove_file(a_file(folder)).unwrap();
}

fn leave_a_part(folder: &Path) {
    fs::write(folder.join("resources/.left.wav.0123.part"), "x").unwrap();
}

fn add_a_file(folder: &Path) {
    fs::write(folder.join("resources/more.wav"), "x").unwrap();
}

fn touch_a_file(folder: &Path) {
    fs::write(a_file(folder), fs::read(a_file(folder)).unwrap()).unwrap();
}

fn spoil_a_document(folder: &Path) {
    let path = marker(folder);
    let text = fs::read_to_string(&path).unwrap();
    // Well-formed and readable, but not by the schema; or a manifest of another kind.
    if path.extension().is_some_and(|extension| extension == "xml") {
        let text = text.replacen("<MessageHeader>", "<MessageHeader><Nonsense/>", 1);
        assert!(text.contains(SPOILT));
        fs::write(path, text).unwrap();
    } else {
        let manifest = folder.join("manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(manifest, text.replacen("tunemantra-manifest/1", SPOILT, 1)).unwrap();
    }
}

/// The file whose appearance completes a hand-over.
fn marker(folder: &Path) -> PathBuf {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.ends_with("delivery.complete")
                || path.extension().is_some_and(|extension| extension == "xml")
        })
        .unwrap()
}

#[tokio::test]
async fn what_is_not_right_is_found_and_rejected() {
    for kind in [SftpKind::Sftp, SftpKind::Ddex] {
        let scene = Scene::new(kind, Misbehaviours::none()).await;
        let aside = tempfile::tempdir_in(scene.root.path()).unwrap();
        for (what, damage, complaint) in DAMAGES {
            if complaint == SPOILT && kind == SftpKind::Ddex && ddex_directory().is_none() {
                continue;
            }
            let package = scene.package().await;
            let handover = handover(Kind::Insert);
            // Sent to a folder where the partner does not look, damaged, and moved in at once.
            let platform = Platform {
                endpoint: aside_of(&scene, aside.path()),
                ..scene.platform()
            };
            let adapter: Box<dyn Adapter> = match kind {
                SftpKind::Sftp => {
                    Box::new(SftpAdapter::new(&platform, scene.fixture.assets.clone()).unwrap())
                }
                SftpKind::Ddex => Box::new(
                    DdexAdapter::new(platform.clone(), scene.fixture.assets.clone(), None).unwrap(),
                ),
            };
            let receipt = adapter.deliver(&handover, &package).await.unwrap();
            let folder = scene.folder(&receipt);
            damage(&folder);
            if what != "a late file" {
                let path = marker(&folder);
                fs::write(&path, fs::read(&path).unwrap()).unwrap();
            }
            let place = scene.partner.incoming().join(folder.file_name().unwrap());
            fs::rename(&folder, place).unwrap();
            let received = scene.received(&handover.key(), |_| true).await;
            assert!(
                received
                    .violations
                    .iter()
                    .any(|said| said.contains(complaint)),
                "{kind:?}, {what}: {received:?}"
            );
            let status = scene.status(&handover, &receipt).await;
            assert!(
                matches!(status, Status::Rejected { .. }),
                "{what}: {status:?}"
            );
        }
    }
}

/// A directory beside the partner's, into which its user may write.
fn aside_of(scene: &Scene, aside: &Path) -> url::Url {
    use std::os::unix::fs::{MetadataExt, chown};
    let owner = fs::metadata(scene.partner.incoming()).unwrap();
    chown(aside, Some(owner.uid()), Some(owner.gid())).unwrap();
    let mut url = url::Url::parse(&scene.partner.endpoint()).unwrap();
    url.set_path(aside.to_str().unwrap());
    url
}

#[tokio::test]
async fn a_second_completion_and_a_second_insert_are_noticed() {
    for kind in [SftpKind::Sftp, SftpKind::Ddex] {
        let scene = Scene::new(kind, Misbehaviours::none()).await;
        let package = scene.package().await;
        let first = handover(Kind::Insert);
        let receipt = scene.deliver(&first, &package).await;
        scene.received(&first.key(), |_| true).await;
        let path = marker(&scene.folder(&receipt));
        fs::write(&path, fs::read(&path).unwrap()).unwrap();
        let twice = scene
            .received(&first.key(), |found| found.completed == 2)
            .await;
        assert!(twice.violations[0].contains("completed 2 times"));

        let mut second = handover(Kind::Insert);
        second.started_at += chrono::TimeDelta::seconds(1);
        scene.deliver(&second, &package).await;
        let received = scene.received(&second.key(), |_| true).await;
        match kind {
            SftpKind::Sftp => assert!(
                received.violations[0].contains("was inserted already"),
                "{received:?}"
            ),
            // DDEX knows no difference; a second message is an update.
            SftpKind::Ddex => assert_eq!(received.kind, "update"),
        }
    }
}

#[tokio::test]
async fn a_partner_that_was_away_catches_up_and_does_nothing_twice() {
    for kind in [SftpKind::Sftp, SftpKind::Ddex] {
        let mut scene = Scene::new(kind, Misbehaviours::none()).await;
        let package = scene.package().await;
        let first = handover(Kind::Insert);
        let receipt = scene.deliver(&first, &package).await;
        scene.status(&first, &receipt).await;
        let before = scene.received(&first.key(), |_| true).await;
        let acknowledged = || {
            let folder = scene.partner.incoming().join("acknowledgements");
            fs::read_dir(folder).unwrap().count()
        };
        assert_eq!(acknowledged(), 1);
        let port = scene.partner.port();
        let place = scene.partner.incoming();
        scene.partner.stop();

        // Completed while nobody looked: a hand-over that cannot be right.
        let late = place.join("20251124160000042_late");
        fs::create_dir(&late).unwrap();
        let marker = match kind {
            SftpKind::Sftp => "delivery.complete",
            SftpKind::Ddex => "036000291452.xml",
        };
        fs::write(late.join(marker), "<x/>").unwrap();

        let again = SftpPartnerOptions {
            port: Some(port),
            ..options(scene.root.path(), kind, Misbehaviours::none())
        };
        scene.partner = SftpPartner::start(again).await.unwrap();
        let found = eventually(async || {
            let found = scene.partner.ledger().handovers().unwrap();
            (found.len() == 2).then_some(found)
        })
        .await;
        assert_eq!(found[0], before);
        assert!(matches!(found[1].verdict, Verdict::Rejected(_)));
        let status = scene.status(&first, &receipt).await;
        assert!(matches!(status, Status::Accepted(_)), "{status:?}");
    }
}

#[tokio::test]
async fn what_it_cannot_do_wrong_it_refuses() {
    let root = tempfile::tempdir().unwrap();
    let plan = Misbehaviours::none().then(1, Misbehaviour::CutBeforeAnswer);
    let error = SftpPartner::start(options(root.path(), SftpKind::Sftp, plan))
        .await
        .unwrap_err();
    assert!(matches!(error, SftpPartnerError::CannotMisbehaveSo));
}

/// What `check` says of a partner that does this with every connection.
async fn check(what: Misbehaviour) -> Result<Vec<String>, Fault> {
    let scene = Scene::new(SftpKind::Sftp, Misbehaviours::none().then(9, what)).await;
    let mut platform = scene.platform();
    platform.format_specs.sftp.answer_timeout_s = 2.try_into().unwrap();
    let adapter = SftpAdapter::new(&platform, scene.fixture.assets.clone()).unwrap();
    adapter.check().await
}

#[tokio::test]
async fn a_check_says_of_every_misbehaviour_what_is_wrong_and_what_to_do() {
    let by = |seconds| Duration::from_secs(seconds);
    check(Misbehaviour::Slow { by: by(1) }).await.unwrap();
    let unavailable = Misbehaviour::Unavailable { retry_after: None };
    let throttling = Misbehaviour::TooManyRequests { retry_after: None };
    let too_soon = "closed the connection before the SSH handshake was done";
    for (what, code, said, to_do) in [
        (
            Misbehaviour::Slow { by: by(60) },
            Code::TimedOut,
            "did not go on with the SSH handshake within 2 seconds",
            "whether the port in api_endpoint is that of SFTP",
        ),
        (
            Misbehaviour::Stall { after: 0 },
            Code::TimedOut,
            "did not go on with the SSH handshake within 2 seconds",
            "ask the partner whether its SFTP server works",
        ),
        (
            Misbehaviour::Stall { after: 2200 },
            Code::TimedOut,
            "failed on SFTP server 127.0.0.1",
            "format_specs.sftp.answer_timeout_s",
        ),
        (
            unavailable,
            Code::ConnectionFailed,
            too_soon,
            "no SFTP server at the port in api_endpoint",
        ),
        (
            throttling,
            Code::ConnectionFailed,
            too_soon,
            "fewer connections (format_specs.sftp.connections)",
        ),
        (
            Misbehaviour::Garbage,
            Code::ConnectionFailed,
            too_soon,
            "no SFTP server at the port in api_endpoint",
        ),
        (
            Misbehaviour::CutAfter { bytes: 500 },
            Code::ConnectionFailed,
            "SSH handshake",
            "not know this machine's address",
        ),
        (
            Misbehaviour::CutAfter { bytes: 2200 },
            Code::ConnectionLost,
            "failed on SFTP server 127.0.0.1",
            "what ends connections on the way",
        ),
        (
            Misbehaviour::Full,
            Code::PartnerError,
            "writing ",
            "Most often its disk or our quota there is full",
        ),
        (
            Misbehaviour::ReadOnly,
            Code::AccessDenied,
            "permission denied",
            "Ask the partner for write access",
        ),
        (
            Misbehaviour::RefuseCredentials,
            Code::CredentialsRefused,
            "refused the private key of user",
            "Put the right credentials into api_credentials",
        ),
        (
            Misbehaviour::OtherHostKey,
            Code::HostKeyChanged,
            "nothing was sent",
            "platforms host-key 5 --pin SHA256:",
        ),
    ] {
        let checked = check(what.clone()).await;
        let Err(fault) = checked else {
            panic!("{what:?}: {checked:?}");
        };
        assert_eq!(fault.code, code, "{what:?}: {fault}");
        assert!(fault.message.contains(said), "{what:?}: {fault}");
        assert!(fault.message.contains("127.0.0.1"), "{what:?}: {fault}");
        assert!(
            fault.message.contains("platform 5 (\"Sirius\")"),
            "{what:?}: {fault}"
        );
        assert!(
            fault.remedy().contains(to_do),
            "{what:?}: {}",
            fault.remedy()
        );
    }
}

#[tokio::test]
async fn a_partner_that_ill_treats_connections_gets_the_delivery_in_the_end() {
    let plan = Misbehaviours::none()
        .then(1, Misbehaviour::CutAfter { bytes: 500_000 })
        .then(1, Misbehaviour::Unavailable { retry_after: None })
        .then(1, Misbehaviour::CutAfter { bytes: 5000 });
    let scene = Scene::new(SftpKind::Sftp, plan).await;
    let package = scene.package().await;
    let handover = handover(Kind::Insert);
    let receipt = scene.deliver(&handover, &package).await;
    let status = scene.status(&handover, &receipt).await;
    assert!(matches!(status, Status::Accepted(_)), "{status:?}");
}
