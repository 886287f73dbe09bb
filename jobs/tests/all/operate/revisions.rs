//! Takedowns and updates: what they call off, what they wait for, what they send.

use std::sync::atomic::Ordering;

use chrono::Utc;
use jobs::delivery::{self, Operation, Outcome};
use platform_adapters::{Kind, Receipt, Status};
use test_support::catalogue;

use super::{audited, by, fan_out, job, newest, operate};
use crate::deliveries::harness::{Asked, World, taken, until};

/// A world where release 1 is live on a platform, with its daemon running.
async fn live() -> (World, i32, i32) {
    let mut world = World::new().await;
    let receipt = Receipt {
        partner_release_id: Some("r-4711".into()),
        ..taken()
    };
    world.partner.deliver.lock().unwrap().push_back(Ok(receipt));
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    (world, release, platform)
}

async fn take_down(world: &World, release: i32) -> Vec<delivery::OnPlatform> {
    delivery::take_down(world.pool(), release, None, &by(), Utc::now())
        .await
        .unwrap()
}

async fn update(world: &World, release: i32) -> Outcome {
    let done = delivery::update(world.pool(), release, None, &by(), Utc::now())
        .await
        .unwrap();
    done[0].outcome
}

async fn run(world: &World, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(world.pool())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takedown_needs_no_row_of_the_release() {
    let (mut world, release, _) = live().await;
    run(&world, "delete from distribution_records; delete from scheduled_distributions; delete from tracks; delete from releases").await;
    let done = take_down(&world, release).await;
    assert!(
        matches!(
            done.as_slice(),
            [delivery::OnPlatform {
                outcome: Outcome::Started(_),
                ..
            }]
        ),
        "{done:?}"
    );
    until(|| async {
        let now = world.delivery("kind || ' ' || state").await;
        (now.as_deref() == Some("takedown accepted")).then_some(())
    })
    .await;
    world.stop().await;
    let asked = world.partner.asked.lock().unwrap().clone();
    let upcs: Vec<&String> = asked
        .iter()
        .filter_map(|asked| match asked {
            Asked::Deliver { upc, .. } => Some(upc),
            _ => None,
        })
        .collect();
    assert_eq!(world.partner.kinds(), [Kind::Insert, Kind::Takedown]);
    assert_eq!(upcs[0], upcs[1]);
    // It is taken down under the id that the partner gave it.
    let told = world.partner.told_id.lock().unwrap().clone();
    assert_eq!(told.as_deref(), Some("r-4711"));
    assert_eq!(
        job(&world, newest(&world).await, "priority")
            .await
            .as_deref(),
        Some("10")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withheld_can_be_taken_down_and_come_back_as_new() {
    let (mut world, release, platform) = live().await;
    run(
        &world,
        "update releases set status = 'taken_down', title = ''",
    )
    .await;
    take_down(&world, release).await;
    until(|| async { (world.record("status").await.as_deref() == Some("canceled")).then_some(()) })
        .await;
    // Taken down already: there is nothing to do.
    let again = take_down(&world, release).await;
    assert_eq!(again[0].outcome, Outcome::NotThere);

    run(
        &world,
        "update releases set status = 'approved', title = 'Back'",
    )
    .await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(
        world.partner.kinds(),
        [Kind::Insert, Kind::Takedown, Kind::Insert]
    );
    assert_eq!(world.record("status").await.as_deref(), Some("distributed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_queued_is_called_off_and_nothing_is_sent() {
    let world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    fan_out(&world).await;
    let done = take_down(&world, release).await;
    assert_eq!(
        (done[0].outcome, done[0].called_off),
        (Outcome::NotThere, 1)
    );
    assert_eq!(world.decided(schedule).await, "failed");
    assert_eq!(world.delivery("state").await.as_deref(), Some("canceled"));
    assert_eq!(
        audited(&world, newest(&world).await).await[0].action,
        "delivery.cancel"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takedown_stops_what_is_being_sent_and_follows_it() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    catalogue::schedule(world.pool(), release, &[platform]).await;
    world.partner.stalls.store(true, Ordering::Relaxed);
    world.start();
    until(|| async { (world.partner.deliveries() == 1).then_some(()) }).await;
    let done = take_down(&world, release).await;
    assert!(matches!(done[0].outcome, Outcome::Started(_)));
    assert_eq!(done[0].called_off, 1);
    // A schedule that comes meanwhile is new there, after the takedown.
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    until(|| async { (world.partner.kinds() == [Kind::Insert, Kind::Takedown]).then_some(()) })
        .await;
    world.partner.stalls.store(false, Ordering::Relaxed);
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(
        world.partner.kinds(),
        [Kind::Insert, Kind::Takedown, Kind::Insert]
    );
    let states: Vec<String> =
        sqlx::query_scalar("select kind || ' ' || state from worker.deliveries order by revision")
            .fetch_all(world.pool())
            .await
            .unwrap();
    assert_eq!(
        states,
        ["insert canceled", "takedown accepted", "insert accepted"]
    );
}

async fn purge(world: &World, release: i32, platform: i32) -> Result<Outcome, String> {
    let done = delivery::purge(world.pool(), release, platform, &by(), Utc::now())
        .await
        .unwrap();
    done.map(|one| one.outcome).map_err(|refused| refused.0)
}

async fn until_newest(world: &World, expected: &str) {
    until(|| async {
        let now = world
            .delivery("kind || ' ' || state || ' ' || purges::text")
            .await;
        (now.as_deref() == Some(expected)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_purged_only_where_the_platform_agreed_and_only_once() {
    let (mut world, release, platform) = live().await;
    let refused = purge(&world, release, platform).await.unwrap_err();
    assert!(
        refused.contains("\"Nordlys\") takes no purges"),
        "{refused}"
    );
    let agrees = |ddex: &str| {
        format!(
            "update distribution_platforms set delivery_method = 'ddex', format_specs =
             '{{\"ddex\": {{\"sender_dpid\": \"PADPIDA2026112301T\",
                           \"recipient_dpid\": \"PADPIDA2026112302L\" {ddex}}}}}'"
        )
    };
    run(&world, &agrees("")).await;
    assert!(purge(&world, release, platform).await.is_err());
    run(
        &world,
        &agrees(", \"purge\": true, \"choreography\": \"batch\""),
    )
    .await;
    let refused = purge(&world, release, platform).await.unwrap_err();
    assert!(refused.contains("no batch can hold"), "{refused}");
    assert!(purge(&world, release, platform + 1).await.is_err());
    assert_eq!(world.partner.kinds(), [Kind::Insert]);

    run(&world, &agrees(", \"purge\": true")).await;
    let never_there = world.release(2).await;
    let nothing = purge(&world, never_there, platform).await;
    assert_eq!(nothing, Ok(Outcome::NotThere));
    // It may follow a takedown, which leaves the release with the partner.
    take_down(&world, release).await;
    until_newest(&world, "takedown accepted false").await;
    let begun = purge(&world, release, platform).await.unwrap();
    assert!(matches!(begun, Outcome::Started(_)), "{begun:?}");
    until_newest(&world, "takedown accepted true").await;
    assert_eq!(
        purge(&world, release, platform).await,
        Ok(Outcome::NotThere)
    );
    let again = take_down(&world, release).await;
    assert_eq!(again[0].outcome, Outcome::NotThere);
    world.stop().await;
    assert_eq!(
        world.partner.kinds(),
        [Kind::Insert, Kind::Takedown, Kind::Takedown]
    );
    assert_eq!(world.partner.told_purges(), [false, false, true]);
    let audited: Vec<(String, String)> =
        sqlx::query_as("select action, reason from worker.audit order by id")
            .fetch_all(world.pool())
            .await
            .unwrap();
    let (action, reason) = audited.last().unwrap();
    assert_eq!(action, "release.purge");
    assert!(!reason.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_word_on_what_was_taken_down_does_not_show_it_again() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    world.partner.deliver.lock().unwrap().push_back(Ok(Receipt {
        is_final: false,
        ..taken()
    }));
    world
        .partner
        .status
        .lock()
        .unwrap()
        .extend((0..1000).map(|_| Ok(Status::Pending("not yet".into()))));
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    world.until_delivery("sent").await;
    take_down(&world, release).await;
    // It does not wait for the word on the insert, which was sent.
    until(|| async {
        let now = world.delivery("kind || ' ' || state").await;
        (now.as_deref() == Some("takedown accepted")).then_some(())
    })
    .await;
    world.partner.status.lock().unwrap().clear();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(world.record("status").await.as_deref(), Some("canceled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_territory_is_taken_out_and_put_back() {
    let (mut world, release, _) = live().await;
    let take = |territory: &'static str| {
        let pool = world.pool().clone();
        async move {
            delivery::take_down_territory(&pool, release, None, territory, &by(), Utc::now())
                .await
                .unwrap()
        }
    };
    assert_eq!(take("XX").await, None, "no country has this code");
    let done = take("de").await.unwrap();
    assert!(matches!(done[0].outcome, Outcome::Started(_)));
    let territories = |expected: &'static str| {
        let world = &world;
        until(move || async move {
            let sent = world
                .delivery("state || ' ' || (snapshot->>'territories')")
                .await;
            (sent.as_deref() == Some(expected)).then_some(())
        })
    };
    territories(r#"accepted {"worldwide_except": ["DE"]}"#).await;
    let restored =
        delivery::restore_territory(world.pool(), release, None, "DE", &by(), Utc::now())
            .await
            .unwrap();
    assert!(restored.is_some());
    territories("accepted worldwide").await;
    world.stop().await;
    assert_eq!(
        world.partner.kinds(),
        [Kind::Insert, Kind::Update, Kind::Update]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_revision_waits_for_the_earlier_one() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    catalogue::schedule(world.pool(), release, &[platform]).await;
    world.partner.stalls.store(true, Ordering::Relaxed);
    world.start();
    until(|| async { (world.partner.deliveries() == 1).then_some(()) }).await;
    run(&world, "update releases set title = 'Another'").await;
    assert!(matches!(update(&world, release).await, Outcome::Started(_)));
    let later = newest(&world).await;
    until(|| async {
        (job(&world, later, "state").await.as_deref() == Some("held")).then_some(())
    })
    .await;
    assert_eq!(world.delivery("state").await.as_deref(), Some("queued"));
    // Asked for once more, it is the same.
    assert_eq!(update(&world, release).await, Outcome::UnderWay(later));
    // An operator's word does not change the order.
    operate(&world, later, Operation::Retry).await;
    until(|| async {
        (job(&world, later, "state").await.as_deref() == Some("held")).then_some(())
    })
    .await;
    assert_eq!(world.partner.deliveries(), 1);
    world.partner.stalls.store(false, Ordering::Relaxed);
    world.until_delivery("accepted").await;
    world.stop().await;
    assert_eq!(world.partner.kinds(), [Kind::Insert, Kind::Update]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_releases_are_found_and_only_what_changed_is_sent() {
    let (mut world, release, _) = live().await;
    let scan = || async {
        delivery::start_changed(world.pool(), None, 100, Utc::now())
            .await
            .unwrap()
    };
    assert_eq!(scan().await, (0, false));
    let until_revision = |expected: &'static str| {
        let world = &world;
        until(move || async move {
            let now = world.delivery("revision || ' ' || state").await;
            (now.as_deref() == Some(expected)).then_some(())
        })
    };
    // A row that was written and says the same.
    run(
        &world,
        "update tracks set updated_at = now() at time zone 'UTC'",
    )
    .await;
    assert_eq!(scan().await, (1, false));
    until_revision("2 accepted").await;
    assert_eq!(world.partner.deliveries(), 1);
    assert_eq!(
        scan().await,
        (0, false),
        "looked at once, not again and again"
    );
    run(
        &world,
        "update releases set title = 'Another', updated_at = now() at time zone 'UTC'",
    )
    .await;
    assert_eq!(scan().await, (1, false));
    until_revision("3 accepted").await;
    run(
        &world,
        "update releases set updated_at = now() at time zone 'UTC'",
    )
    .await;
    take_down(&world, release).await;
    assert_eq!(scan().await, (0, false), "what goes is not updated");
    world.stop().await;
    assert_eq!(world.partner.kinds()[..2], [Kind::Insert, Kind::Update]);
}
