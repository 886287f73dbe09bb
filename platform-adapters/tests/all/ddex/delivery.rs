//! Hand-overs to a real SSH server, and what the partner answers.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use chrono::{TimeZone, Utc};
use md5::{Digest, Md5};
use platform_adapters::{
    Adapter, Code, Kind, Located, Status, Wanted,
    ddex::{
        Acknowledgement, DdexAdapter, FileStatus, ProposedAction, ReceivedMessage, build,
        read_message,
    },
    package::{Package, assemble},
    release::ReleaseType,
    sandbox::{Sshd, SshdOptions},
    settings::{Platform, PlatformRow, Secretive},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    releases::{handover, without_files},
    schemas::schemas,
};
use crate::fixtures::Fixture;

const FOLDER: &str = "N_{}_20251124160000042";

/// A DDEX partner with a directory `incoming`, and releases to deliver to it.
pub(super) struct Partner {
    sshd: Sshd,
    pub(super) fixture: Fixture,
    // After the server that uses it.
    _directory: TempDir,
}

impl Partner {
    pub(super) async fn start() -> Self {
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
        Self {
            sshd,
            fixture: Fixture::new(),
            _directory: directory,
        }
    }

    pub(super) fn platform(&self, confirmation: &str) -> Platform {
        self.platform_with(confirmation, &json!({}), "no-deals")
    }

    fn platform_with(&self, confirmation: &str, names: &Value, takedown: &str) -> Platform {
        Platform::from_row(&PlatformRow {
            id: 7,
            name: "Nordlys".into(),
            api_endpoint: Some(self.sshd.endpoint("incoming")),
            api_credentials: Some(Secretive(json!({
                "username": self.sshd.username(),
                "private_key": {"file": self.sshd.private_key()},
                "host_key": self.sshd.fingerprint(),
            }))),
            delivery_method: "ddex".into(),
            format_specs: Some(json!({
                "confirmation": confirmation,
                "file_names": names,
                "ddex": {
                    "takedown": takedown,
                    "sender_dpid": "PADPIDA2014120301C",
                    "recipient_dpid": "PADPIDA2009101501Y",
                },
            })),
            ..PlatformRow::default()
        })
        .unwrap()
    }

    fn adapter(&self, confirmation: &str) -> DdexAdapter {
        let assets = self.fixture.assets.clone();
        let schemas = schemas("validation before sending");
        DdexAdapter::new(self.platform(confirmation), assets, schemas).unwrap()
    }

    pub(super) async fn package(&self, release_type: ReleaseType, tracks: usize) -> Package {
        let release = self.fixture.release(release_type, tracks);
        self.fixture.package(&release).await
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.sshd.root().join("incoming")
    }

    /// The files that came in, by path, with the time of the last change.
    fn files(&self) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
        let mut found = BTreeMap::new();
        collect(&self.incoming(), &self.incoming(), &mut found);
        found
    }

    /// Writes an acknowledgement as the partner, under a name of the choreography.
    fn answer(&self, place: &str, second: i64, xml: &[u8]) {
        let directory = format!("incoming/{place}");
        let directory = self.sshd.make_directory(&directory).unwrap();
        let written = word(FileStatus::FileOk, second);
        let name = written.file_name(&handover(Kind::Insert).key());
        fs::write(directory.join(name), xml).unwrap();
    }
}

fn collect(
    root: &Path,
    directory: &Path,
    found: &mut BTreeMap<String, (Vec<u8>, std::time::SystemTime)>,
) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            found.insert(name, (fs::read(&path).unwrap(), changed));
        }
    }
}

pub(super) fn word(status: FileStatus, second: i64) -> Acknowledgement {
    Acknowledgement {
        sender: "PADPIDA2009101501Y".into(),
        recipient: "PADPIDA2014120301C".into(),
        created_at: Utc.timestamp_opt(1_764_003_600 + second, 0).unwrap(),
        release_id: None,
        date: None,
        message_id: None,
        status: Some(status),
        supply_chain: None,
        error_text: None,
        proposed_action: None,
        manual_check_required: false,
        affected_isrcs: Vec::new(),
    }
}

fn folder(package: &Package) -> String {
    FOLDER.replace("{}", &package.upc.to_gtin13())
}

#[tokio::test]
async fn files_and_message_arrive_whole_and_once() {
    let partner = Partner::start().await;
    let package = partner.package(ReleaseType::Ep, 4).await;
    let (adapter, insert) = (partner.adapter("none"), handover(Kind::Insert));
    assert_eq!(
        adapter.locate(&insert, &package).await.unwrap(),
        Located::Absent
    );
    let receipt = adapter.deliver(&insert, &package).await.unwrap();

    let files = partner.files();
    let folder = folder(&package);
    let message_path = format!("{folder}/{}.xml", package.upc.to_gtin13());
    let (xml, sent_at) = &files[&message_path];
    let ReceivedMessage {
        message_id,
        resources,
        ..
    } = read_message(xml).unwrap();
    assert_eq!(message_id, insert.key());
    assert_eq!(files.len(), 6);
    assert_eq!(resources.len(), 5);
    for resource in resources {
        let (bytes, arrived_at) = &files[&format!("{folder}/{}", resource.uri)];
        assert_eq!(hex::encode(Md5::digest(bytes)), resource.hash);
        assert_eq!(u64::try_from(bytes.len()).ok(), resource.size_bytes);
        assert!(arrived_at <= sent_at);
    }
    assert_eq!(receipt.message_id, Some(insert.key()));
    assert!(receipt.is_final);
    assert!(receipt.confirmed.ends_with("and 5 files verified"));
    let path = partner.incoming().join(&folder);
    assert_eq!(receipt.remote_path.as_deref(), path.to_str());
    assert_eq!(receipt.evidence[0].body, *xml);

    // Again, after a fault that hid the outcome: nothing is written.
    let again = adapter.deliver(&insert, &package).await.unwrap();
    assert_eq!(again, receipt);
    assert_eq!(partner.files(), files);
    let located = adapter.locate(&insert, &package).await.unwrap();
    assert_eq!(located, Located::Complete(Box::new(receipt.clone())));
    let status = adapter.status(&insert, &receipt).await.unwrap();
    assert!(matches!(status, Status::Accepted(_)));
}

#[tokio::test]
async fn an_interrupted_handover_is_completed() {
    let partner = Partner::start().await;
    let package = partner.package(ReleaseType::Single, 1).await;
    let (adapter, insert) = (partner.adapter("none"), handover(Kind::Insert));
    let resources = format!("incoming/{}/resources", folder(&package));
    let resources = partner.sshd.make_directory(&resources).unwrap();
    let name = &package.artwork.as_ref().unwrap().file.name;
    fs::write(resources.join(name), b"half of a picture").unwrap();
    assert_eq!(
        adapter.locate(&insert, &package).await.unwrap(),
        Located::Absent
    );
    adapter.deliver(&insert, &package).await.unwrap();
    let (bytes, _) = &partner.files()[&format!("{}/resources/{name}", folder(&package))];
    assert_eq!(bytes.as_slice(), crate::fixtures::jpeg_3000());
}

#[tokio::test]
async fn another_document_under_the_messages_name_is_left_alone_and_raised() {
    let partner = Partner::start().await;
    let package = partner.package(ReleaseType::Single, 1).await;
    let directory = format!("incoming/{}", folder(&package));
    let directory = partner.sshd.make_directory(&directory).unwrap();
    let path = directory.join(format!("{}.xml", package.upc.to_gtin13()));
    fs::write(&path, b"<theirs/>").unwrap();
    let fault = partner
        .adapter("none")
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::OutcomeUnknown, "{fault}");
    assert_eq!(fault.evidence[0].body, b"<theirs/>");
    assert_eq!(partner.files().len(), 1);
}

#[tokio::test]
async fn a_takedown_is_a_message_alone() {
    let partner = Partner::start().await;
    let package = without_files(partner.package(ReleaseType::Album, 3).await);
    let takedown = handover(Kind::Takedown);
    let receipt = partner
        .adapter("none")
        .deliver(&takedown, &package)
        .await
        .unwrap();
    assert!(receipt.confirmed.ends_with(".xml verified"), "{receipt:?}");
    let files = partner.files();
    assert_eq!(files.len(), 1);
    let (xml, _) = files.values().next().unwrap();
    assert!(!read_message(xml).unwrap().has_deals);
}

#[tokio::test]
async fn the_newest_acknowledgement_counts_wherever_it_lies() {
    let partner = Partner::start().await;
    let package = partner.package(ReleaseType::Single, 1).await;
    let (adapter, insert) = (partner.adapter("folder"), handover(Kind::Insert));
    let receipt = adapter.deliver(&insert, &package).await.unwrap();
    assert!(!receipt.is_final);
    let status = || adapter.status(&insert, &receipt);
    assert!(matches!(status().await.unwrap(), Status::Pending(_)));

    let folder = folder(&package);
    let accepted = word(FileStatus::FileOk, 0).to_xml().unwrap();
    partner.answer(&folder, 0, &accepted);
    let Status::Accepted(taken) = status().await.unwrap() else {
        panic!("not accepted")
    };
    assert!(taken.confirmed.starts_with("FileOK in ACK_"), "{taken:?}");
    assert_eq!(taken.evidence[0].body, accepted);
    assert_eq!(taken.remote_path, receipt.remote_path);

    let rejected = Acknowledgement {
        error_text: Some("no sound".into()),
        affected_isrcs: vec!["DEA1B2500101".into()],
        ..word(FileStatus::ResourceCorrupt, 1)
    };
    partner.answer("acknowledgements", 1, &rejected.to_xml().unwrap());
    let Status::Rejected { reason, evidence } = status().await.unwrap() else {
        panic!("not rejected")
    };
    assert_eq!(reason, "ResourceCorrupt: no sound; concerns DEA1B2500101");
    assert_eq!(evidence.len(), 1);

    let mut other = word(FileStatus::FileOk, 2);
    other.release_id = Some("4006381333931".into());
    let place = format!("{folder}/acknowledgements");
    partner.answer(&place, 2, &other.to_xml().unwrap());
    let fault = status().await.unwrap_err();
    assert!(fault.message.contains("4006381333931"), "{fault}");

    for (second, xml) in [
        (3, &b"<c:FtpAcknowledgementMessage"[..]),
        (4, b"<!DOCTYPE x><x/>"),
    ] {
        partner.answer(&folder, second, xml);
        let fault = status().await.unwrap_err();
        assert_eq!(fault.code, Code::PartnerError, "{fault}");
        assert_eq!(fault.evidence[0].body, xml);
    }
    let mut astray = word(FileStatus::FileOk, 5);
    astray.recipient = "PADPIDA2014999999Z".into();
    partner.answer(&folder, 5, &astray.to_xml().unwrap());
    let fault = status().await.unwrap_err();
    assert!(fault.message.contains("PADPIDA2014999999Z"), "{fault}");
}

#[tokio::test]
async fn a_handover_that_the_partner_took_away_is_known_by_its_answer() {
    let partner = Partner::start().await;
    let package = partner.package(ReleaseType::Single, 1).await;
    let (adapter, insert) = (partner.adapter("folder"), handover(Kind::Insert));
    adapter.deliver(&insert, &package).await.unwrap();
    fs::remove_dir_all(partner.incoming().join(folder(&package))).unwrap();
    let accepted = word(FileStatus::FileOk, 0).to_xml().unwrap();
    partner.answer("acknowledgements", 0, &accepted);
    let located = adapter.locate(&insert, &package).await.unwrap();
    assert!(matches!(located, Located::Complete(_)));
    adapter.deliver(&insert, &package).await.unwrap();
    assert_eq!(partner.files().len(), 1);
}

#[tokio::test]
async fn the_check_says_what_was_found_in_order() {
    let partner = Partner::start().await;
    let sentences = partner.adapter("folder").check().await.unwrap();
    assert!(sentences.len() > 1, "{sentences:?}");
    assert!(partner.files().is_empty());
    let fault = DdexAdapter::new(
        partner.platform("status"),
        partner.fixture.assets.clone(),
        None,
    )
    .err()
    .unwrap();
    assert_eq!(fault.code, Code::SettingsInvalid);
}

#[tokio::test]
async fn the_partners_folder_gives_every_word_with_what_it_is_about() {
    let partner = Partner::start().await;
    let adapter = partner.adapter("folder");
    assert!(adapter.word_files().await.unwrap().is_empty());
    let accepted = word(FileStatus::FileOk, 5).to_xml().unwrap();
    partner.answer("acknowledgements", 5, &accepted);
    let refused = word(FileStatus::ErnMissing, 1).to_xml().unwrap();
    partner.answer("acknowledgements", 1, &refused);
    partner.answer("acknowledgements", 9, b"<c:FtpAcknow");
    let folder = partner.incoming().join("acknowledgements");
    fs::write(folder.join("readme.txt"), b"ours").unwrap();

    let files = adapter.word_files().await.unwrap();
    assert_eq!(files.len(), 3, "{files:?}");
    let key = handover(Kind::Insert).key();
    let first = adapter.read_words(&files[0]).await.unwrap();
    assert_eq!(first[0].key, key);
    assert!(matches!(first[0].status, Status::Rejected { .. }));
    let second = adapter.read_words(&files[1]).await.unwrap();
    assert!(matches!(second[0].status, Status::Accepted(_)));
    let fault = adapter.read_words(&files[2]).await.unwrap_err();
    assert_eq!(fault.code, Code::PartnerError);
    let without = partner.adapter("none");
    assert!(without.word_files().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_partner_that_has_the_files_gets_the_message_alone_once_more() {
    let partner = Partner::start().await;
    let mut package = partner.package(ReleaseType::Single, 1).await;
    let (adapter, insert) = (partner.adapter("folder"), handover(Kind::Insert));
    let receipt = adapter.deliver(&insert, &package).await.unwrap();
    let asked = Acknowledgement {
        proposed_action: Some(ProposedAction::ResendXmlOnly),
        ..word(FileStatus::MetadataMissing, 0)
    };
    partner.answer("acknowledgements", 0, &asked.to_xml().unwrap());
    let Status::Resend { wanted, .. } = adapter.status(&insert, &receipt).await.unwrap() else {
        panic!("no resend")
    };
    assert_eq!(wanted, Wanted::MessageAlone);

    let before = partner.files();
    let mut again = insert.clone();
    again.transmission = 2;
    again.started_at += chrono::Duration::hours(1);
    again.resend_of = receipt.stated.clone();
    let receipt = adapter.deliver(&again, &package).await.unwrap();
    assert!(receipt.confirmed.ends_with(".xml verified"), "{receipt:?}");
    let after = partner.files();
    assert_eq!(after.len(), before.len() + 1);
    let (_, (xml, _)) = after
        .iter()
        .find(|(path, _)| !before.contains_key(*path))
        .unwrap();
    let message = read_message(xml).unwrap();
    assert_eq!(message.message_id, again.key());
    assert!(message.has_deals && message.resources.is_empty());

    // Files that it has not seen go with the message all the same.
    package.tracks[0].audio.as_mut().unwrap().file.sha256 = "0".repeat(64);
    again.transmission = 3;
    let message = build(&partner.platform("folder"), &again, &package).unwrap();
    assert_eq!(message.files.len(), 2);
}

#[tokio::test]
async fn a_partner_that_purges_is_told_to_forget_the_release() {
    let partner = Partner::start().await;
    let package = without_files(partner.package(ReleaseType::Single, 1).await);
    let platform = partner.platform_with("none", &json!({}), "purge");
    let assets = partner.fixture.assets.clone();
    let schemas = schemas("validation of a purge before sending");
    let adapter = DdexAdapter::new(platform, assets, schemas).unwrap();
    let takedown = handover(Kind::Takedown);
    let receipt = adapter.deliver(&takedown, &package).await.unwrap();
    let files = partner.files();
    let (xml, _) = files.values().next().unwrap();
    assert!(read_message(xml).unwrap().is_purge);
    // Looked for after a fault that hid the outcome, it is found.
    let located = adapter.locate(&takedown, &package).await.unwrap();
    assert_eq!(located, Located::Complete(Box::new(receipt)));
}

#[tokio::test]
async fn files_have_the_names_that_the_partner_wants() {
    let partner = Partner::start().await;
    let names = json!({"audio": "{icpn}-{isrc}", "artwork": "cover_{icpn}"});
    let platform = partner.platform_with("none", &names, "no-deals");
    let release = partner.fixture.release(ReleaseType::Single, 1);
    let assets = partner.fixture.assets.clone();
    let package = assemble(&release, &platform, Kind::Insert, &assets)
        .await
        .unwrap();
    let adapter = DdexAdapter::new(platform, assets, None).unwrap();
    adapter
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap();
    let files = partner.files();
    let folder = folder(&package);
    let icpn = package.upc.to_gtin13();
    let isrc = package.tracks[0].isrc.as_str();
    for name in [format!("{icpn}-{isrc}.wav"), format!("cover_{icpn}.jpg")] {
        assert!(
            files.contains_key(&format!("{folder}/resources/{name}")),
            "{name}"
        );
    }
    let (xml, _) = &files[&format!("{folder}/{icpn}.xml")];
    let uris: Vec<_> = read_message(xml)
        .unwrap()
        .resources
        .into_iter()
        .map(|one| one.uri)
        .collect();
    assert_eq!(
        uris,
        [
            format!("resources/{icpn}-{isrc}.wav"),
            format!("resources/cover_{icpn}.jpg")
        ]
    );
}
