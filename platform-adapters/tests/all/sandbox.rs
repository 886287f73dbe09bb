//! The sandbox's partners as such: what they remember, and that they are as strict as they say.

use platform_adapters::{
    Adapter, Kind,
    sandbox::{HttpPartner, HttpPartnerOptions, Ledger, Misbehaviour, Misbehaviours},
};
use reqwest::{
    StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{Scene, TOKEN, adapter, handover, options};

#[tokio::test]
async fn a_partner_that_was_killed_goes_on_where_it_was() {
    let mut scene = Scene::new(
        Misbehaviours::none()
            .then(1, Misbehaviour::Unavailable { retry_after: None })
            .for_each_handover(),
    )
    .await;
    let package = scene.package(1).await;
    let handover = handover(Kind::Insert);
    scene
        .adapter()
        .deliver(&handover, &package)
        .await
        .unwrap_err();
    let receipt = scene.adapter().deliver(&handover, &package).await.unwrap();

    let again = HttpPartner::start(HttpPartnerOptions {
        misbehaviours: Misbehaviours::none()
            .then(1, Misbehaviour::Unavailable { retry_after: None })
            .for_each_handover(),
        ..options(&scene.root, Misbehaviours::none())
    })
    .await
    .unwrap();
    std::mem::replace(&mut scene.partner, again).stop().await;

    let repeated = scene.adapter().deliver(&handover, &package).await.unwrap();
    assert_eq!(repeated.partner_release_id, receipt.partner_release_id);
    let other = scene.package(1).await;
    let fresh = crate::api::handover(Kind::Insert);
    scene.adapter().deliver(&fresh, &other).await.unwrap_err();
    let kept = Ledger::open(scene.root.path())
        .unwrap()
        .handovers()
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].completed, 2);
}

#[tokio::test]
async fn a_stopped_partner_is_a_failed_connection() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let package = scene.package(1).await;
    let url = scene.partner.url().to_owned();
    scene.partner.stop().await;
    let fault = adapter(&url, TOKEN, &scene.fixture.assets)
        .deliver(&handover(Kind::Insert), &package)
        .await
        .unwrap_err();
    assert_eq!(fault.code, platform_adapters::Code::ConnectionFailed);
}

/// The metadata of a hand-over made by hand, with this audio file and a cover.
fn metadata(name: &str, body: &[u8]) -> Value {
    let file = |name: &str, body: &[u8]| json!({"name": name, "size": body.len(), "sha256": hex::encode(Sha256::digest(body))});
    json!({
        "format": "tunemantra-metadata/1",
        "handover": {"key": "key-1", "kind": "insert"},
        "release": {"upc": "036000291452", "title": "By hand"},
        "tracks": [{"isrc": "USRC17607839", "audio": file(name, body)}],
        "artwork": file("cover.jpg", COVER),
    })
}

const COVER: &[u8] = b"cover";

fn form(metadata: &Value, files: &[(&str, &[u8])]) -> Form {
    let json = Part::text(metadata.to_string())
        .mime_str("application/json")
        .unwrap();
    files.iter().chain([&("cover.jpg", COVER)]).fold(
        Form::new().part("metadata", json),
        |form, (name, body)| {
            form.part(
                "file",
                Part::bytes(body.to_vec()).file_name((*name).to_owned()),
            )
        },
    )
}

async fn post(scene: &Scene, key: &str, form: Form) -> (StatusCode, String) {
    let answer = reqwest::Client::new()
        .post(format!("{}/releases", scene.partner.url()))
        .bearer_auth(TOKEN)
        .header("Idempotency-Key", key)
        .multipart(form)
        .send()
        .await
        .unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_http_partner_takes_nothing_that_is_not_right() {
    let scene = Scene::new(Misbehaviours::none()).await;
    let body = b"bytes".as_slice();
    let good = metadata("a.wav", body);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let cases: Vec<(Form, &str)> = vec![
        (form(&good, &[]), "a.wav is missing"),
        (form(&good, &[("a.wav", b"other")]), "has the SHA-256"),
        (form(&good, &[("a.wav", b"byte")]), "has 4 bytes"),
        (form(&good, &[("a.wav", b"bytes and more")]), "longer than"),
        (
            form(&good, &[("a.wav", body), ("a.wav", body)]),
            "came twice",
        ),
        (
            form(&good, &[("a.wav", body), ("b.wav", body)]),
            "b.wav is not in the metadata",
        ),
        (form(&good, &[("../a.wav", body)]), "is not a file"),
        (
            form(
                &with(&|json| json["release"]["upc"] = "036000291453".into()),
                &[("a.wav", body)],
            ),
            "is no bar code",
        ),
        (
            form(
                &with(&|json| json["handover"]["kind"] = "update".into()),
                &[("a.wav", body)],
            ),
            "not on sale here",
        ),
        (
            form(&with(&|json| json["tracks"] = json!([])), &[]),
            "lacks tracks",
        ),
        (
            form(&with(&|json| json["handover"]["key"] = "key-2".into()), &[]),
            "the metadata's key",
        ),
        (
            Form::new().part("file", Part::bytes(body.to_vec()).file_name("a.wav")),
            "the first part is not metadata",
        ),
    ];
    for (form, complaint) in cases {
        let (status, text) = post(&scene, "key-1", form).await;
        assert!(status.is_client_error(), "{complaint}: {status}");
        assert!(text.contains(complaint), "{complaint}: {text}");
    }
    for key in ["", "../key", "a/b"] {
        let (status, _) = post(&scene, key, form(&good, &[("a.wav", body)])).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{key:?}");
    }
    assert_eq!(scene.taken(), 0);
    let left = std::fs::read_dir(scene.root.path().join("incoming")).unwrap();
    assert_eq!(left.count(), 0, "refused files stay behind");
    let (status, _) = post(&scene, "key-1", form(&good, &[("a.wav", body)])).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_refused_stands_in_the_ledger_with_all_its_reasons() {
    let scene = Scene::new(Misbehaviours::none().then(1, Misbehaviour::Garbage)).await;
    let package = scene.package(1).await;
    let handover = handover(Kind::Insert);
    scene
        .adapter()
        .deliver(&handover, &package)
        .await
        .unwrap_err();
    let wrong = adapter(scene.partner.url(), "not-the-token", &scene.fixture.assets);
    wrong.deliver(&handover, &package).await.unwrap_err();
    scene.adapter().deliver(&handover, &package).await.unwrap();
    // A look-up that finds nothing is no refusal.
    let other = crate::api::handover(Kind::Insert);
    scene.adapter().locate(&other, &package).await.unwrap();

    let refused = scene.partner.ledger().refused().unwrap();
    let seen: Vec<_> = refused
        .iter()
        .map(|one| (one.request.as_str(), one.key.clone(), one.status))
        .collect();
    let key = Some(handover.key());
    assert_eq!(
        seen,
        [
            ("POST /releases", key.clone(), 200),
            ("POST /releases", key, 401)
        ]
    );
    assert_eq!(refused[1].reasons, ["the token is not the right one"]);
    assert_eq!(scene.partner.ledger().handovers().unwrap().len(), 1);
}
