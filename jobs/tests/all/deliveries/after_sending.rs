//! The partner's word after a delivery was sent: late, twice, out of order, for something unknown,
//! contradicting an earlier one, or missing.

use chrono::Utc;
use jobs::delivery::{Acknowledgement, Heard, State, Word, acknowledge};
use platform_adapters::{Code, Evidence, Fault, Receipt, Status};
use serde_json::json;
use test_support::catalogue;
use uuid::Uuid;

use super::harness::{Asked, World, taken, until};

async fn hear(world: &World, id: Uuid, transmission: u32, word: Word) -> Heard {
    let acknowledgement = Acknowledgement {
        transmission: Some(transmission),
        word,
        evidence: vec![Evidence {
            name: "ack.xml".into(),
            media_type: "application/xml".into(),
            body: b"<ack/>".to_vec(),
        }],
    };
    let mut tx = world.pool().begin().await.unwrap();
    let heard = acknowledge(&mut tx, id, acknowledgement, Utc::now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    heard
}

async fn delivered(world: &mut World) -> (i32, Uuid) {
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    let id = world.delivery("id").await.unwrap().parse().unwrap();
    (schedule, id)
}

async fn told(world: &World, event: &str) -> i64 {
    sqlx::query_scalar("select count(*) from worker.notifications where event = $1")
        .bind(event)
        .fetch_one(world.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_changes_delivery_and_record_and_reopens_nothing() {
    let mut world = World::new().await;
    let (schedule, id) = delivered(&mut world).await;
    let no = || Word::Rejected("territory not licensed".into());
    assert_eq!(
        hear(&world, id, 1, no()).await,
        Heard::Changed(State::Rejected)
    );
    assert_eq!(world.record("status").await.as_deref(), Some("failed"));
    let error = world.record("error_details").await.unwrap();
    assert!(error.contains("territory not licensed"), "{error}");
    assert_eq!(world.decided(schedule).await, "completed", "not reopened");
    assert_eq!(told(&world, "delivery.contradicted").await, 1);

    // Twice is nothing new.
    assert_eq!(hear(&world, id, 1, no()).await, Heard::Repeated);
    assert_eq!(told(&world, "delivery.contradicted").await, 1);

    // And back.
    let yes = Word::Accepted(Box::new(Receipt {
        url: Some("https://nordlys.example/r/1".into()),
        ..taken()
    }));
    assert_eq!(
        hear(&world, id, 1, yes).await,
        Heard::Changed(State::Accepted)
    );
    assert_eq!(world.record("status").await.as_deref(), Some("distributed"));
    assert_eq!(world.record("error_details").await, None);
    assert_eq!(told(&world, "delivery.contradicted").await, 2);
    assert_eq!(told(&world, "schedule.completed").await, 1);
    assert_eq!(told(&world, "delivery.rejected").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_out_of_order_or_for_nothing_change_nothing_and_are_kept() {
    let mut world = World::new().await;
    let (_, id) = delivered(&mut world).await;
    let no = || Word::Rejected("late".into());
    assert_eq!(hear(&world, id, 7, no()).await, Heard::Outdated);
    assert_eq!(world.delivery("state").await.as_deref(), Some("accepted"));
    let kept = jobs::delivery::evidence(world.pool(), id, "ack.xml")
        .await
        .unwrap();
    assert_eq!(kept.as_deref(), Some(&b"<ack/>"[..]));
    let nobody = Uuid::now_v7();
    assert_eq!(hear(&world, nobody, 1, no()).await, Heard::NoSuchDelivery);
    for state in [
        "queued", "sending", "batched", "retrying", "held", "canceled",
    ] {
        sqlx::query("update worker.deliveries set state = $1")
            .bind(state)
            .execute(world.pool())
            .await
            .unwrap();
        let heard = hear(&world, id, 1, no()).await;
        let state = State::from_word(state).unwrap();
        assert_eq!(heard, Heard::OutOfPlace(state));
    }
    assert_eq!(told(&world, "delivery.contradicted").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_may_turn_out_to_be_there() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    {
        let mut deliver = world.partner.deliver.lock().unwrap();
        deliver.extend((0..3).map(|_| Err(Fault::new(Code::TimedOut, "as told"))));
    }
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    world.stop().await;
    let id = world.delivery("id").await.unwrap().parse().unwrap();
    let yes = Word::Accepted(Box::new(taken()));
    assert_eq!(
        hear(&world, id, 1, yes).await,
        Heard::Changed(State::Accepted)
    );
    assert_eq!(world.decided(schedule).await, "failed", "not reopened");
    assert_eq!(world.record("status").await.as_deref(), Some("distributed"));
    assert_eq!(told(&world, "delivery.contradicted").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_stays_silent_is_told_of_once() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    sqlx::query("update distribution_platforms set processing_time = '2-5 days'")
        .execute(world.pool())
        .await
        .unwrap();
    catalogue::schedule(world.pool(), release, &[platform]).await;
    let sent = Receipt {
        is_final: false,
        ..taken()
    };
    world.partner.deliver.lock().unwrap().push_back(Ok(sent));
    {
        let mut status = world.partner.status.lock().unwrap();
        status.extend((0..60).map(|_| Ok(Status::Pending("in ingestion".into()))));
    }
    let asked = |world: &World| {
        let asked = world.partner.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| matches!(asked, Asked::Status(_)))
            .count()
    };
    world.start();
    until(|| async { (asked(&world) >= 2).then_some(()) }).await;
    assert_eq!(told(&world, "delivery.silent").await, 0, "it has time");
    sqlx::query("update worker.deliveries set sent_at = sent_at - interval '5 days'")
        .execute(world.pool())
        .await
        .unwrap();
    until(|| async { (told(&world, "delivery.silent").await > 0).then_some(()) }).await;
    let before = asked(&world);
    until(|| async { (asked(&world) >= before + 2).then_some(()) }).await;
    assert_eq!(told(&world, "delivery.silent").await, 1);
    assert_eq!(world.delivery("state").await.as_deref(), Some("sent"));
    world.partner.status.lock().unwrap().clear();
    world.until_delivery("accepted").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_release_that_comes_late_before_its_street_date_is_told_once() {
    let mut world = World::new().await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    sqlx::query("update distribution_platforms set requirements = $1")
        .bind(json!({"artwork": {"min_px": 16}, "lead_days": 5}))
        .execute(world.pool())
        .await
        .unwrap();
    world.start();
    // In time, too late, and on sale already.
    for (number, days) in [(1, 6), (2, 3), (3, -3)] {
        let release = world.release(number).await;
        sqlx::query(
            "update releases set release_date = now() at time zone 'UTC' + make_interval(days => $2)
             where id = $1",
        )
        .bind(release)
        .bind(days)
        .execute(world.pool())
        .await
        .unwrap();
        let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
        assert_eq!(world.decided(schedule).await, "completed");
    }
    world.stop().await;
    let said: Vec<String> = sqlx::query_scalar(
        "select (payload -> 'release' ->> 'title') || ': ' || (payload ->> 'message')
         from worker.notifications where event = 'delivery.short_notice'",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    let [said] = said.as_slice() else {
        panic!("{said:?}")
    };
    assert!(said.starts_with("Single 2: handed over "), "{said}");
    assert!(said.ends_with("the partner wants 5 days"), "{said}");
}
