//! Deliveries that a partner takes in batches: a real SSH server, and a strict partner behind it that
//! looks at a batch when it is said to be complete.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, time::Duration};

use chrono::{TimeDelta, Utc};
use jobs::{
    audit::By,
    delivery::{self, InboxSettings, Operated, Operation, Outcome, look_everywhere},
};
use platform_adapters::{
    ddex::{Acknowledgement, FileStatus, ProposedAction, read_manifest},
    sandbox::{
        Misbehaviours, ReceivedHandover, SftpKind, SftpPartner, SftpPartnerOptions, Verdict,
    },
};
use serde_json::{Value, json};
use sqlx::types::Uuid;
use tempfile::TempDir;
use test_support::catalogue;

use super::harness::{Cut, REAL, World, until};

/// A world with a partner that takes batches.
struct Scene {
    world: World,
    partner: SftpPartner,
    platform: i32,
    // After the server that uses it.
    _directory: TempDir,
}

impl Scene {
    /// `batch` is `format_specs.ddex.batch`.
    async fn new(batch: Value) -> Self {
        let mut world = World::new().await;
        world.queue.retry.first = Duration::from_millis(50);
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let partner = SftpPartner::start(SftpPartnerOptions {
            name: REAL.into(),
            root: directory.path().join("partner"),
            port: None,
            kind: SftpKind::Ddex,
            ddex_dir: test_support::ddex_schemas(),
            misbehaviours: Misbehaviours::none(),
        })
        .await
        .unwrap();
        let specs = json!({"confirmation": "folder", "ddex": {
            "choreography": "batch", "batch": batch,
            "sender_dpid": "PADPIDA2026112301T", "recipient_dpid": "PADPIDA2026112302L",
        }});
        let credentials = json!({
            "username": partner.username(),
            "private_key": {"file": partner.private_key_path()},
            "host_key": partner.host_key(),
        });
        let platform = sqlx::query_scalar(
            r#"insert into distribution_platforms
                   (name, delivery_method, api_endpoint, api_credentials, format_specs, requirements)
               values ($1, 'ddex', $2, $3, $4, '{"artwork": {"min_px": 16}}') returning id"#,
        )
        .bind(REAL)
        .bind(partner.endpoint())
        .bind(credentials)
        .bind(specs)
        .fetch_one(world.pool())
        .await
        .unwrap();
        Self {
            world,
            partner,
            platform,
            _directory: directory,
        }
    }

    /// Schedules a new release.
    async fn schedule(&self, number: u32) -> i32 {
        let release = self.world.release(number).await;
        catalogue::schedule(self.world.pool(), release, &[self.platform]).await;
        release
    }

    async fn until_state(&self, release: i32, state: &str) {
        until(|| async {
            (self.text(release, "state").await.as_deref() == Some(state)).then_some(())
        })
        .await;
    }

    /// A text of the release's newest delivery.
    async fn text(&self, release: i32, column: &str) -> Option<String> {
        sqlx::query_scalar::<_, Option<String>>(sqlx::AssertSqlSafe(format!(
            "select ({column})::text from worker.deliveries where release_id = $1
             order by revision desc limit 1"
        )))
        .bind(release)
        .fetch_optional(self.world.pool())
        .await
        .unwrap()
        .flatten()
    }

    async fn delivery(&self, release: i32) -> Uuid {
        self.text(release, "id").await.unwrap().parse().unwrap()
    }

    async fn operate(&self, release: i32, operation: Operation) -> Operated {
        let id = self.delivery(release).await;
        let by = By::new("test", "because").unwrap();
        delivery::operate(self.world.pool(), id, operation, &by, Utc::now())
            .await
            .unwrap()
            .unwrap()
    }

    /// The batch of the release's newest delivery, by its id at the partner.
    async fn batch(&self, release: i32) -> Option<String> {
        let id = self.delivery(release).await;
        let story = delivery::story(self.world.pool(), id)
            .await
            .unwrap()
            .unwrap();
        story.in_batch.map(|batch| batch.id)
    }

    /// How the batches stand, in the order in which they were opened.
    async fn batches(&self) -> Vec<(String, String)> {
        sqlx::query_as("select name, state from worker.batches order by opened_at")
            .fetch_all(self.world.pool())
            .await
            .unwrap()
    }

    /// What the partner has received; it complains of nothing, and had each once.
    fn received(&self) -> Vec<ReceivedHandover> {
        let received = self.partner.ledger().handovers().unwrap();
        for one in &received {
            assert_eq!(one.verdict, Verdict::Accepted, "{one:#?}");
            assert_eq!((one.completed, one.violations.len()), (1, 0), "{one:#?}");
        }
        received
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_fill_batches_and_every_release_is_taken_once() {
    let mut scene = Scene::new(json!({"releases": 2, "age_s": 2})).await;
    let mut releases = Vec::new();
    for number in 1..=5 {
        releases.push(scene.schedule(number).await);
    }
    scene.world.start();
    scene.world.start();
    for release in &releases {
        scene.until_state(*release, "accepted").await;
    }
    assert_eq!(scene.received().len(), 5);
    let batches = scene.batches().await;
    assert!(batches.len() >= 3, "{batches:?}");
    let mut listed = 0;
    for (name, state) in &batches {
        assert_eq!(state, "closed", "{name}");
        let folder = scene.partner.incoming().join(format!("N_{name}"));
        let manifest = fs::read(folder.join(format!("BatchComplete_{name}.xml"))).unwrap();
        let manifest = read_manifest(&manifest).unwrap();
        assert!((1..=2).contains(&manifest.messages.len()), "{manifest:?}");
        listed += manifest.messages.len();
        // What was sent is kept.
        let kept: Option<Vec<u8>> =
            sqlx::query_scalar("select manifest from worker.batches where name = $1")
                .bind(name)
                .fetch_one(scene.world.pool())
                .await
                .unwrap();
        assert_eq!(read_manifest(&kept.unwrap()).unwrap(), manifest);
    }
    assert_eq!(listed, 5);

    // An update and a takedown go in batches too.
    let by = By::new("test", "because").unwrap();
    let (pool, now) = (scene.world.pool(), Utc::now());
    sqlx::query("update releases set title = 'Renamed' where id = $1")
        .bind(releases[0])
        .execute(pool)
        .await
        .unwrap();
    delivery::update(pool, releases[0], None, &by, now)
        .await
        .unwrap();
    delivery::take_down(pool, releases[1], None, &by, now)
        .await
        .unwrap();
    for release in &releases[..2] {
        until(|| async {
            let done = scene
                .text(*release, "revision = 2 and state = 'accepted'")
                .await;
            (done.as_deref() == Some("true")).then_some(())
        })
        .await;
    }
    scene.world.stop().await;
    let kinds: BTreeSet<String> = scene.received().into_iter().map(|one| one.kind).collect();
    assert_eq!(
        kinds,
        ["insert", "takedown", "update"].map(String::from).into()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_off_or_cannot_be_sent_is_left_out_and_holds_nobody_up() {
    let mut scene = Scene::new(json!({"releases": 10, "age_s": 3600})).await;
    let stays = scene.schedule(1).await;
    let called_off = scene.schedule(2).await;
    let broken = scene.schedule(3).await;
    fs::remove_file(scene.world.assets.path().join("3/1.wav")).unwrap();
    scene.world.start();
    scene.until_state(stays, "batched").await;
    scene.until_state(called_off, "batched").await;
    scene.until_state(broken, "failed").await;
    assert!(
        scene.received().is_empty(),
        "the partner looks at no open batch"
    );

    let story = delivery::story(scene.world.pool(), scene.delivery(stays).await);
    let batch = story.await.unwrap().unwrap().in_batch.unwrap();
    assert_eq!(
        batch.waits_for("4 min"),
        "waits for its batch to close: 2 of 10 releases, 4 min old"
    );
    assert!(matches!(
        scene.operate(stays, Operation::Hold).await,
        Operated::Refused(why) if why.contains("it is batched; cancel it")
    ));
    let canceled = scene.operate(called_off, Operation::Cancel).await;
    assert_eq!(canceled, Operated::Changed("canceled"));
    let closing = scene.operate(stays, Operation::Retry).await;
    assert_eq!(closing, Operated::Changed("batched"));
    scene.until_state(stays, "accepted").await;
    scene.world.stop().await;

    let received = scene.received();
    assert_eq!(received.len(), 1, "{received:#?}");
    let folder = scene.partner.incoming().join(format!("N_{}", batch.id));
    let left = fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 2, "the message's folder and what completes the batch");
    assert_eq!(
        scene.text(called_off, "state").await.as_deref(),
        Some("canceled")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_at_any_step_a_batch_is_completed_once() {
    for cut in [
        Cut::BeforeLooking,
        Cut::AfterLooking,
        Cut::AfterTelling,
        Cut::Answer,
    ] {
        let mut scene = Scene::new(json!({"releases": 2, "age_s": 3600})).await;
        scene.world.cuts.lock().unwrap().push(cut);
        let releases = [scene.schedule(1).await, scene.schedule(2).await];
        scene.world.start();
        for release in releases {
            scene.until_state(release, "accepted").await;
        }
        scene.world.stop().await;
        assert!(scene.world.cuts.lock().unwrap().is_empty(), "{cut:?}");
        assert_eq!(scene.received().len(), 2, "{cut:?}");
        let batches = scene.batches().await;
        assert_eq!(batches.len(), 1, "{cut:?}: {batches:?}");
        assert_eq!(batches[0].1, "closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanished_from_an_open_batch_goes_into_another() {
    let mut scene = Scene::new(json!({"releases": 2, "age_s": 3600})).await;
    let lost = scene.schedule(1).await;
    scene.world.start();
    scene.until_state(lost, "batched").await;
    let first = scene.batch(lost).await.unwrap();
    let folder = scene.partner.incoming().join(format!("N_{first}"));
    fs::remove_dir_all(&folder).unwrap();
    let stays = scene.schedule(2).await;
    scene.until_state(stays, "accepted").await;
    scene.until_state(lost, "batched").await;
    let second = scene.batch(lost).await.unwrap();
    assert!(second > first, "{second} after {first}");
    scene.operate(lost, Operation::Retry).await;
    scene.until_state(lost, "accepted").await;
    scene.world.stop().await;
    assert_eq!(scene.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_taken_down_before_its_batch_is_complete_never_gets_there() {
    let mut scene = Scene::new(json!({"releases": 2, "age_s": 3600})).await;
    let release = scene.schedule(1).await;
    scene.world.start();
    scene.until_state(release, "batched").await;
    let by = By::new("test", "because").unwrap();
    let done = delivery::take_down(scene.world.pool(), release, None, &by, Utc::now());
    let done = done.await.unwrap();
    assert_eq!(
        (done[0].outcome, done[0].called_off),
        (Outcome::NotThere, 1)
    );
    let later = [scene.schedule(2).await, scene.schedule(3).await];
    for release in later {
        scene.until_state(release, "accepted").await;
    }
    scene.world.stop().await;
    assert_eq!(scene.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_on_a_batch_is_about_all_of_it_and_a_resend_goes_into_a_new_one() {
    let mut scene = Scene::new(json!({"releases": 2, "age_s": 1})).await;
    // Nobody asks: what the folder of acknowledgements says is all that is heard.
    scene.world.confirm.first_s = 36_000;
    let releases = [scene.schedule(1).await, scene.schedule(2).await];
    scene.world.start();
    let look = async || {
        let settings = InboxSettings {
            days: 36_500,
            ..InboxSettings::default()
        };
        let services = scene.world.services();
        until(|| async {
            let heard = look_everywhere(&services, &settings).await.unwrap();
            (heard > 0).then_some(())
        })
        .await;
    };
    for release in releases {
        scene.until_state(release, "sent").await;
    }
    look().await;
    let batches: BTreeSet<Option<String>> = [
        scene.batch(releases[0]).await,
        scene.batch(releases[1]).await,
    ]
    .into();
    for release in releases {
        scene.until_state(release, "accepted").await;
    }
    assert_eq!(batches.len(), 1, "{batches:?}");
    let first = batches.first().unwrap().clone().unwrap();

    let again = Acknowledgement {
        sender: "PADPIDA2026112302L".into(),
        recipient: "PADPIDA2026112301T".into(),
        created_at: Utc::now() + TimeDelta::minutes(1),
        message_id: None,
        release_id: None,
        date: None,
        status: Some(FileStatus::ResourceMissing),
        supply_chain: None,
        error_text: None,
        proposed_action: Some(ProposedAction::ResendXmlAndResources),
        manual_check_required: false,
        affected_isrcs: Vec::new(),
    };
    let place = scene.partner.incoming().join("acknowledgements");
    fs::write(place.join(again.file_name(&first)), again.to_xml().unwrap()).unwrap();
    look().await;
    for release in releases {
        until(|| async {
            let sent = scene
                .text(release, "transmission = 2 and state = 'sent'")
                .await;
            (sent.as_deref() == Some("true")).then_some(())
        })
        .await;
        let second = scene.batch(release).await.unwrap();
        assert!(second > first, "{second} after {first}");
    }
    scene.world.stop().await;
}
