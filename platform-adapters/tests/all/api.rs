//! The adapter `api` against the sandbox's HTTP partner: every outcome, and every misbehaviour that
//! the partner knows.

use std::time::Duration;

use chrono::{TimeZone, Utc};
use platform_adapters::{
    Adapter, Code, Fault, Handover, Kind, Located, Status,
    api::{ApiAdapter, Timeouts},
    package::{AssetStore, Package},
    release::ReleaseType,
    sandbox::{HttpPartner, HttpPartnerOptions, Misbehaviour, Misbehaviours, Verdict},
    settings::{Platform, PlatformRow, Secretive},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::fixtures::Fixture;

pub(crate) const TOKEN: &str = "tok_sandbox-4711";

/// A partner, its files, and releases to hand over to it.
pub(crate) struct Scene {
    pub(crate) root: TempDir,
    pub(crate) fixture: Fixture,
    pub(crate) partner: HttpPartner,
}

pub(crate) fn options(root: &TempDir, misbehaviours: Misbehaviours) -> HttpPartnerOptions {
    HttpPartnerOptions {
        name: "Nordlys".into(),
        root: root.path().into(),
        port: None,
        token: TOKEN.to_owned().into(),
        undecided_asks: 2,
        misbehaviours,
    }
}

impl Scene {
    pub(crate) async fn new(misbehaviours: Misbehaviours) -> Self {
        let root = tempfile::tempdir().unwrap();
        let partner = HttpPartner::start(options(&root, misbehaviours))
            .await
            .unwrap();
        Self {
            root,
            fixture: Fixture::new(),
            partner,
        }
    }

    pub(crate) fn adapter(&self) -> ApiAdapter {
        adapter(self.partner.url(), TOKEN, &self.fixture.assets)
    }

    pub(crate) async fn package(&self, tracks: usize) -> Package {
        let release = self.fixture.release(ReleaseType::Ep, tracks);
        self.fixture.package(&release).await
    }

    /// How many hand-overs the partner has.
    pub(crate) fn taken(&self) -> usize {
        self.partner.ledger().handovers().unwrap().len()
    }
}

pub(crate) fn platform(endpoint: &str, token: &str, format_specs: Value) -> Platform {
    let mut specs = json!({
        "confirmation": "status",
        "allow_private_addresses": true,
        "api": {"lookup": "/releases?idempotency_key={key}", "takedown": "/releases?upc={upc}"},
    });
    for (key, value) in format_specs.as_object().unwrap() {
        specs[key] = value.clone();
    }
    Platform::from_row(&PlatformRow {
        id: 3,
        name: "Nordlys".into(),
        api_endpoint: Some(endpoint.into()),
        api_credentials: Some(Secretive(json!({"bearer_token": token}))),
        delivery_method: "api".into(),
        format_specs: Some(specs),
        ..PlatformRow::default()
    })
    .unwrap()
}

pub(crate) fn adapter(endpoint: &str, token: &str, assets: &AssetStore) -> ApiAdapter {
    ApiAdapter::new(&platform(endpoint, token, json!({})), assets.clone()).unwrap()
}

pub(crate) fn handover(kind: Kind) -> Handover {
    Handover {
        delivery: Uuid::now_v7(),
        kind,
        revision: 1,
        transmission: 1,
        partner_release_id: None,
        started_at: Utc.timestamp_opt(1_764_000_000, 0).unwrap(),
        batch: None,
        last_stated: None,
        resend_of: None,
        purges: false,
    }
}

async fn failing(scene: &Scene) -> Fault {
    let package = scene.package(1).await;
    let fault = scene
        .adapter()
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap_err();
    assert!(fault.message.contains("Nordlys"), "{fault}");
    fault
}

fn once(what: Misbehaviour) -> Misbehaviours {
    Misbehaviours::none().then(1, what)
}

#[tokio::test]
async fn a_release_is_handed_over_and_accepted() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(3).await;
    let (adapter, handover) = (scene.adapter(), handover(Kind::Insert));
    assert_eq!(
        adapter.locate(&handover, &package).await.unwrap(),
        Located::Absent
    );
    let receipt = adapter.deliver(&handover, &package).await.unwrap();
    assert_eq!(receipt.confirmed, "201 Created, 4 files in one request");
    assert!(!receipt.is_final);
    let names: Vec<_> = receipt.evidence.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["metadata.json", "answer-201"]);

    let received = scene.partner.ledger().received(&handover.key()).unwrap();
    let [received] = received.as_slice() else {
        panic!("{received:?}")
    };
    assert_eq!(received.upc, package.upc.as_str());
    assert_eq!(received.verdict, Verdict::Accepted);
    for file in package.files() {
        let arrived = received.files.iter().find(|f| f.name == file.name).unwrap();
        assert_eq!((arrived.size, &arrived.sha256), (file.size, &file.sha256));
        let path = scene.partner.ledger().media(received, &file.name);
        assert_eq!(path.metadata().unwrap().len(), file.size);
    }
    let document = scene.partner.ledger().document(received, "metadata.json");
    assert_eq!(std::fs::read(document).unwrap(), receipt.evidence[0].body);

    for said in ["received", "processing"] {
        assert_eq!(
            adapter.status(&handover, &receipt).await.unwrap(),
            Status::Pending(said.into())
        );
    }
    let Status::Accepted(accepted) = adapter.status(&handover, &receipt).await.unwrap() else {
        panic!("not accepted")
    };
    assert!(accepted.url.unwrap().starts_with(scene.partner.url()));
    assert!(accepted.is_final);
}

#[tokio::test]
async fn the_same_hand_over_again_is_taken_once() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(1).await;
    let (adapter, handover) = (scene.adapter(), handover(Kind::Insert));
    let first = adapter.deliver(&handover, &package).await.unwrap();
    let again = adapter.deliver(&handover, &package).await.unwrap();
    assert_eq!(first.partner_release_id, again.partner_release_id);
    let received = scene.partner.ledger().handovers().unwrap();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].completed, 2);
    let Located::Complete(found) = adapter.locate(&handover, &package).await.unwrap() else {
        panic!("not found")
    };
    assert_eq!(found.partner_release_id, first.partner_release_id);
    assert_eq!(found.evidence[0].name, "metadata.json");
}

#[tokio::test]
async fn what_the_partner_has_already_it_refuses() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(1).await;
    let adapter = scene.adapter();
    let first = handover(Kind::Insert);
    adapter.deliver(&first, &package).await.unwrap();
    let second = adapter
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap_err();
    assert_eq!(second.code, Code::PartnerRefused);
    assert!(second.message.contains("is on sale already"), "{second}");
    assert!(second.message.contains(package.upc.as_str()), "{second}");
    let other = scene.package(2).await;
    let reused = adapter.deliver(&first, &other).await.unwrap_err();
    assert_eq!(reused.code, Code::PartnerRefused);
    assert!(
        reused.message.contains("used for something else"),
        "{reused}"
    );
    assert_eq!(scene.taken(), 1);
}

#[tokio::test]
async fn a_release_is_updated_and_taken_down() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(1).await;
    let adapter = scene.adapter();
    let too_early = adapter
        .deliver(&handover(Kind::Update), &package)
        .await
        .unwrap_err();
    assert_eq!(too_early.code, Code::PartnerRefused);
    let inserted = adapter
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap();
    let updated = adapter
        .deliver(&handover(Kind::Update), &package)
        .await
        .unwrap();
    assert_eq!(inserted.partner_release_id, updated.partner_release_id);
    let takedown = handover(Kind::Takedown);
    for _ in 0..2 {
        let receipt = adapter.deliver(&takedown, &package).await.unwrap();
        assert!(receipt.is_final);
        assert_eq!(receipt.confirmed, "204 No Content, taken down");
    }
    let gone = adapter
        .deliver(&handover(Kind::Takedown), &package)
        .await
        .unwrap_err();
    assert_eq!(gone.code, Code::PartnerRefused);
    let again = handover(Kind::Insert);
    adapter.deliver(&again, &package).await.unwrap();
    let kinds: Vec<_> = scene
        .partner
        .ledger()
        .received(package.upc.as_str())
        .unwrap();
    let kinds: Vec<_> = kinds
        .iter()
        .map(|handover| handover.kind.as_str())
        .collect();
    assert_eq!(kinds, ["insert", "update", "takedown", "insert"]);
}

#[tokio::test]
async fn a_takedown_needs_a_way_to_do_it() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(1).await;
    let specs = json!({"api": {}});
    let adapter = ApiAdapter::new(
        &platform(scene.partner.url(), TOKEN, specs),
        scene.fixture.assets.clone(),
    )
    .unwrap();
    let fault = adapter
        .deliver(&handover(Kind::Takedown), &package)
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::Unsupported);
    assert!(fault.remedy().contains("format_specs.api.takedown"));
}

#[tokio::test]
async fn without_confirmation_the_answer_is_final() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(1).await;
    let specs = json!({"confirmation": "none"});
    let adapter = ApiAdapter::new(
        &platform(scene.partner.url(), TOKEN, specs),
        scene.fixture.assets.clone(),
    )
    .unwrap();
    let receipt = adapter
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap();
    assert!(receipt.is_final);
}

#[tokio::test]
async fn a_partner_that_asks_for_patience_gets_it() {
    let plan = Misbehaviours::none()
        .then(1, Misbehaviour::Unavailable { retry_after: None })
        .then(
            1,
            Misbehaviour::Unavailable {
                retry_after: Some("7".into()),
            },
        )
        .then(
            1,
            Misbehaviour::TooManyRequests {
                retry_after: Some("Fri, 31 Dec 9999 23:59:59 GMT".into()),
            },
        )
        .then(
            1,
            Misbehaviour::TooManyRequests {
                retry_after: Some("later".into()),
            },
        );
    let scene = Scene::new(plan).await;
    let package = scene.package(1).await;
    let (adapter, handover) = (scene.adapter(), handover(Kind::Insert));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let fault = adapter.deliver(&handover, &package).await.unwrap_err();
        seen.push((fault.code, fault.retry_after.map(|wait| wait.as_secs())));
    }
    assert_eq!(
        seen,
        [
            (Code::PartnerError, None),
            (Code::Throttled, Some(7)),
            (Code::Throttled, Some(86_400)),
            (Code::Throttled, None),
        ]
    );
    adapter.deliver(&handover, &package).await.unwrap();
    assert_eq!(scene.taken(), 1);
}

#[tokio::test]
async fn wrong_credentials_are_named_and_not_shown() {
    let scene = Scene::new(once(Misbehaviour::RefuseCredentials)).await;
    let fault = failing(&scene).await;
    assert_eq!(fault.code, Code::CredentialsRefused);
    assert!(fault.message.contains("401"), "{fault}");

    let package = scene.package(1).await;
    let wrong = adapter(scene.partner.url(), "tok_wr0ng", &scene.fixture.assets);
    let fault = wrong
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::CredentialsRefused);
    assert!(!format!("{fault:?}").contains("tok_wr0ng"));
    let fault = wrong.check().await.unwrap_err();
    assert_eq!(fault.code, Code::CredentialsRefused);
    assert_eq!(scene.taken(), 0);
}

#[tokio::test]
async fn an_api_key_works_as_well_as_a_token() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let mut platform = platform(scene.partner.url(), TOKEN, json!({}));
    platform.credentials.api_key = platform.credentials.bearer_token.take();
    let adapter = ApiAdapter::new(&platform, scene.fixture.assets.clone()).unwrap();
    let package = scene.package(1).await;
    adapter
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap();
}

#[tokio::test]
async fn garbage_is_never_success() {
    let scene = Scene::new(once(Misbehaviour::Garbage)).await;
    let fault = failing(&scene).await;
    assert_eq!(fault.code, Code::OutcomeUnknown);
    assert!(fault.message.contains("It works!"), "{fault}");
    assert_eq!(fault.evidence.len(), 1);
    assert_eq!(scene.taken(), 0);
}

#[tokio::test]
async fn a_refusal_carries_the_partners_words() {
    let scene = Scene::new(once(Misbehaviour::Refuse {
        reason: "the cover shows a\nURL".into(),
    }))
    .await;
    let fault = failing(&scene).await;
    assert_eq!(fault.code, Code::PartnerRefused);
    assert!(fault.message.ends_with("the cover shows a URL"), "{fault}");
}

#[tokio::test]
async fn a_later_rejection_carries_its_reason() {
    let scene = Scene::new(once(Misbehaviour::RejectLater {
        reason: "the label is blocked".into(),
    }))
    .await;
    let package = scene.package(1).await;
    let (adapter, handover) = (scene.adapter(), handover(Kind::Insert));
    let receipt = adapter.deliver(&handover, &package).await.unwrap();
    for _ in 0..2 {
        let status = adapter.status(&handover, &receipt).await.unwrap();
        assert!(matches!(status, Status::Pending(_)), "{status:?}");
    }
    let Status::Rejected { reason, evidence } = adapter.status(&handover, &receipt).await.unwrap()
    else {
        panic!("not rejected")
    };
    assert_eq!(reason, "the label is blocked");
    assert_eq!(evidence.len(), 1);
}

#[tokio::test]
async fn a_cut_in_the_middle_is_a_lost_connection() {
    let scene = Scene::new(once(Misbehaviour::CutAfter { bytes: 3_000_000 })).await;
    let mut release = scene.fixture.release(ReleaseType::Single, 1);
    // So long that the sender cannot have sent it all when the partner hangs up.
    let path = release.tracks[0].audio_file.clone().unwrap();
    scene
        .fixture
        .write(&path, &crate::fixtures::wav(48_000, 24, 2, 180.0));
    release.tracks[0].duration_s = Some(180);
    let package = scene.fixture.package(&release).await;
    let (adapter, handover) = (scene.adapter(), handover(Kind::Insert));
    let fault = adapter.deliver(&handover, &package).await.unwrap_err();
    assert_eq!(fault.code, Code::ConnectionLost, "{fault}");
    assert_eq!(scene.taken(), 0);
    assert_eq!(
        adapter.locate(&handover, &package).await.unwrap(),
        Located::Absent
    );
    adapter.deliver(&handover, &package).await.unwrap();
    assert_eq!(scene.taken(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_an_unknown_outcome_that_a_look_settles() {
    let scene = Scene::new(once(Misbehaviour::CutBeforeAnswer)).await;
    let package = scene.package(1).await;
    let (adapter, handover) = (scene.adapter(), handover(Kind::Insert));
    let fault = adapter.deliver(&handover, &package).await.unwrap_err();
    assert_eq!(fault.code, Code::OutcomeUnknown, "{fault}");
    let Located::Complete(receipt) = adapter.locate(&handover, &package).await.unwrap() else {
        panic!("the partner has it")
    };
    let again = adapter.deliver(&handover, &package).await.unwrap();
    assert_eq!(again.partner_release_id, receipt.partner_release_id);
    assert_eq!(scene.taken(), 1);
}

#[tokio::test]
async fn a_partner_that_cannot_be_looked_at_may_be_sent_to_again_only_if_it_is_idempotent() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(1).await;
    for (specs, found) in [
        (json!({}), Located::Repeatable),
        (json!({"idempotent": false}), Located::CannotTell),
    ] {
        let platform = platform(scene.partner.url(), TOKEN, json!({ "api": specs }));
        let adapter = ApiAdapter::new(&platform, scene.fixture.assets.clone()).unwrap();
        let handover = handover(Kind::Insert);
        assert_eq!(adapter.locate(&handover, &package).await.unwrap(), found);
    }
}

#[tokio::test]
async fn a_partner_that_does_not_answer_is_given_up_on() {
    let scene = Scene::new(once(Misbehaviour::Slow {
        by: Duration::from_secs(3600),
    }))
    .await;
    let package = scene.package(1).await;
    let impatient = ApiAdapter::with_timeouts(
        &platform(scene.partner.url(), TOKEN, json!({})),
        scene.fixture.assets.clone(),
        Timeouts {
            stall: Duration::from_millis(300),
            answer: Duration::from_millis(300),
            ..Timeouts::default()
        },
    )
    .unwrap();
    let fault = impatient
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap_err();
    // How much fits into the buffers between decides whether it all counts as sent.
    assert!(
        matches!(fault.code, Code::TimedOut | Code::OutcomeUnknown),
        "{fault}"
    );
    assert_eq!(scene.taken(), 0);
}

#[tokio::test]
async fn a_changed_file_never_becomes_a_hand_over() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(2).await;
    let file = package.files().next().unwrap().clone();
    let path = scene.fixture.root().join(file.path.as_ref());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (adapter, handover) = (scene.adapter(), handover(Kind::Insert));
    let fault = adapter.deliver(&handover, &package).await.unwrap_err();
    assert_eq!(fault.code, Code::AssetChanged, "{fault}");
    std::fs::remove_file(&path).unwrap();
    let fault = adapter.deliver(&handover, &package).await.unwrap_err();
    assert!(
        matches!(fault.code, Code::AssetChanged | Code::AssetsUnavailable),
        "{fault}"
    );
    assert_eq!(scene.taken(), 0);
}

#[tokio::test]
async fn the_check_says_what_it_found() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let found = scene.adapter().check().await.unwrap();
    assert!(found[0].contains("404 Not Found"), "{found:?}");
    assert!(found[1].contains("not encrypted"), "{found:?}");
    assert_eq!(found[2], "it did not refuse the bearer token");
}

/// An operator who checks a platform learns what a delivery would meet, and what to do about it.
#[tokio::test]
async fn a_check_says_what_the_next_delivery_would_meet() {
    let wait = || Some("120".to_owned());
    let cases = [
        (
            Misbehaviour::Unavailable { retry_after: None },
            Code::PartnerError,
            "503 Service Unavailable: we are being maintained",
        ),
        (
            Misbehaviour::TooManyRequests {
                retry_after: wait(),
            },
            Code::Throttled,
            "429 Too Many Requests: you are too fast",
        ),
        (
            Misbehaviour::RefuseCredentials,
            Code::CredentialsRefused,
            "401 Unauthorized: the token has been withdrawn",
        ),
        (Misbehaviour::Garbage, Code::PartnerError, "it is not JSON"),
        (
            Misbehaviour::CutAfter { bytes: 10 },
            Code::ConnectionLost,
            "connection to platform 3",
        ),
        (
            Misbehaviour::CutBeforeAnswer,
            Code::ConnectionLost,
            "connection to platform 3",
        ),
    ];
    for (misbehaviour, code, words) in cases {
        let scene = Scene::new(once(misbehaviour.clone())).await;
        for _ in 0..2 {
            let fault = scene.adapter().check().await.unwrap_err();
            assert_eq!(fault.code, code, "{misbehaviour:?}: {fault}");
            assert!(fault.message.contains(words), "{misbehaviour:?}: {fault}");
            assert!(fault.message.contains("Nordlys"), "{fault}");
            assert!(fault.remedy().ends_with('.'), "{}", fault.remedy());
        }
        assert_eq!(scene.taken(), 0);
    }
    // What concerns a release is no fault of the connection.
    for misbehaviour in [
        Misbehaviour::Refuse {
            reason: "no".into(),
        },
        Misbehaviour::RejectLater {
            reason: "no".into(),
        },
    ] {
        let scene = Scene::new(once(misbehaviour)).await;
        scene.adapter().check().await.unwrap();
    }
}
