//! Hand-overs of which nobody knows whether they arrived: nothing is sent again before there is an
//! answer.

use chrono::Utc;
use jobs::{
    audit::{self, By},
    delivery::{
        self, Acknowledgement, Heard, Operated, Operation, State, Word, acknowledge,
        acknowledge_by_operator,
    },
};
use platform_adapters::{Code, Fault, Located};
use test_support::catalogue;
use uuid::Uuid;

use super::harness::{Asked, World, taken, until};

/// A delivery that waits for an operator: the partner cannot tell what it has.
async fn waiting(world: &mut World) -> (i32, Uuid) {
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    let lost = Fault::new(Code::OutcomeUnknown, "no answer after the last byte");
    world.partner.deliver.lock().unwrap().push_back(Err(lost));
    world
        .partner
        .locate
        .lock()
        .unwrap()
        .push_back(Located::CannotTell);
    world.start();
    until_held(world).await;
    let id = world.delivery("id").await.unwrap().parse().unwrap();
    (schedule, id)
}

async fn until_held(world: &World) {
    until(|| async {
        let held: Option<i32> = sqlx::query_scalar(
            "select 1 from worker.jobs where kind = 'deliver' and state = 'held'",
        )
        .fetch_optional(world.pool())
        .await
        .unwrap();
        held.map(drop)
    })
    .await;
}

async fn answer(world: &World, id: Uuid, word: Word) -> Heard {
    let acknowledgement = Acknowledgement {
        transmission: None,
        word,
        evidence: Vec::new(),
    };
    let mut tx = world.pool().begin().await.unwrap();
    let heard = acknowledge(&mut tx, id, acknowledgement, Utc::now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_cannot_tell_leaves_it_to_an_operator() {
    let mut world = World::new().await;
    let (_, id) = waiting(&mut world).await;
    assert_eq!(world.delivery("state").await.as_deref(), Some("unknown"));
    assert_eq!(world.partner.deliveries(), 1, "not sent again");
    let story = jobs::delivery::story(world.pool(), id)
        .await
        .unwrap()
        .unwrap();
    let message = story.delivery.fault_message.unwrap();
    for known in [
        "it cannot be known whether the insert of revision 1 arrived",
        "Sent: 2 files of ",
        "The last certain step, on ",
        "no answer after the last byte",
    ] {
        assert!(message.contains(known), "{known:?} in {message}");
    }
    let remedy = story.delivery.fault_remedy.unwrap();
    assert!(
        remedy.starts_with("Ask Nordlys whether it has UPC 842"),
        "{remedy}"
    );
    assert!(
        remedy.contains(&format!("deliveries acknowledge {id}")),
        "{remedy}"
    );
    let told: Vec<String> = sqlx::query_scalar("select event from worker.notifications")
        .fetch_all(world.pool())
        .await
        .unwrap();
    assert_eq!(told, ["delivery.unknown"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_answer_that_it_is_absent_sends_it_again() {
    let mut world = World::new().await;
    let (schedule, id) = waiting(&mut world).await;
    // The partner still cannot tell, and is not believed to have it any more.
    world
        .partner
        .locate
        .lock()
        .unwrap()
        .push_back(Located::CannotTell);
    assert_eq!(
        answer(&world, id, Word::Absent).await,
        Heard::Changed(State::Queued)
    );
    assert_eq!(world.decided(schedule).await, "completed");
    assert_eq!(world.partner.deliveries(), 2);
    assert_eq!(
        answer(&world, id, Word::Absent).await,
        Heard::OutOfPlace(State::Accepted)
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_answer_that_it_is_there_settles_it() {
    let mut world = World::new().await;
    let (schedule, id) = waiting(&mut world).await;
    let heard = answer(&world, id, Word::Accepted(Box::new(taken()))).await;
    assert_eq!(heard, Heard::Changed(State::Accepted));
    assert_eq!(world.decided(schedule).await, "completed");
    assert_eq!(world.record("status").await.as_deref(), Some("distributed"));
    assert_eq!(world.partner.deliveries(), 1);
    let open: i64 = sqlx::query_scalar(
        "select count(*) from worker.jobs where kind = 'deliver' and finished_at is null",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!(open, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_fails_answers_nothing() {
    let mut world = World::new().await;
    let down = Fault::new(Code::ConnectionFailed, "refused");
    world.partner.unreachable.lock().unwrap().push_back(down);
    let (_, _) = waiting(&mut world).await;
    // The partner was away, then could not tell: in between nothing was forgotten.
    assert_eq!(world.partner.deliveries(), 1);
    assert_eq!(world.delivery("attempts").await.as_deref(), Some("3"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_fails_to_the_end_waits_for_an_operator() {
    let mut world = World::new().await;
    {
        let mut unreachable = world.partner.unreachable.lock().unwrap();
        unreachable.extend((0..9).map(|_| Fault::new(Code::ConnectionFailed, "refused")));
    }
    let (_, _) = waiting(&mut world).await;
    assert_eq!(world.partner.deliveries(), 1);
    let message = world.delivery("fault_message").await.unwrap();
    assert!(
        message.contains("the question failed: refused"),
        "{message}"
    );
    assert!(
        message.contains("no answer after the last byte"),
        "{message}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_spoilt_since_is_not_called_unsent() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    catalogue::schedule(world.pool(), release, &[platform]).await;
    let lost = Fault::new(Code::OutcomeUnknown, "no answer after the last byte");
    world.partner.deliver.lock().unwrap().push_back(Err(lost));
    world.start();
    world.until_delivery("unknown").await;
    sqlx::query("update releases set status = 'rejected'")
        .execute(world.pool())
        .await
        .unwrap();
    until_held(&world).await;
    assert_eq!(world.delivery("state").await.as_deref(), Some("unknown"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_for_certain_is_sent_again_without_an_answer() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    let broken = Fault::new(Code::ConnectionLost, "in the middle of track 1");
    world.partner.deliver.lock().unwrap().push_back(Err(broken));
    world
        .partner
        .locate
        .lock()
        .unwrap()
        .push_back(Located::CannotTell);
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    let asked = world.partner.asked.lock().unwrap();
    assert!(matches!(
        asked.as_slice(),
        [
            Asked::Deliver { .. },
            Asked::Locate(_),
            Asked::Deliver { .. }
        ]
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_asks_for_patience_leaves_the_question_open_and_counts_nothing() {
    let mut world = World::new().await;
    {
        let mut unreachable = world.partner.unreachable.lock().unwrap();
        unreachable.extend((0..2).map(|_| Fault::new(Code::Throttled, "slow down")));
    }
    let (_, id) = waiting(&mut world).await;
    assert_eq!(world.partner.deliveries(), 1);
    // The one that was lost, and the one that found out that nobody can tell.
    assert_eq!(world.delivery("attempts").await.as_deref(), Some("2"));
    let story = jobs::delivery::story(world.pool(), id).await.unwrap();
    let unknown = story.unwrap().unknown.unwrap();
    assert_eq!(unknown.last_step, "no answer after the last byte");
    assert_eq!((unknown.files, unknown.is_called_off), (2, false));
    assert!(unknown.key.ends_with("-r1-t1"), "{}", unknown.key);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_found_out_is_audited_and_kept() {
    let mut world = World::new().await;
    let (schedule, id) = waiting(&mut world).await;
    let by = By::new("cli:ada", "mail of their support, 4 May").unwrap();
    let no = Word::Rejected("mail of their support, 4 May".into());
    let heard = acknowledge_by_operator(world.pool(), id, no, &by, Utc::now()).await;
    assert_eq!(heard.unwrap(), Heard::Changed(State::Rejected));
    assert_eq!(world.decided(schedule).await, "failed");
    world.stop().await;
    let entries = audit::list(world.pool(), Some(("delivery", &id.to_string())), 10).await;
    let entries = entries.unwrap();
    let [entry] = entries.as_slice() else {
        panic!("{entries:?}");
    };
    assert_eq!(entry.action, "delivery.acknowledge");
    assert_eq!(entry.before.as_ref().unwrap()["state"], "unknown");
    assert_eq!(entry.after.as_ref().unwrap()["state"], "rejected");
    let kept = jobs::delivery::evidence(world.pool(), id, "operator-acknowledgement.json").await;
    let kept = String::from_utf8(kept.unwrap().unwrap()).unwrap();
    assert!(
        kept.contains("mail of their support") && kept.contains("cli:ada"),
        "{kept}"
    );
    let nobody = Uuid::now_v7();
    let missing = acknowledge_by_operator(world.pool(), nobody, Word::Absent, &by, Utc::now());
    assert_eq!(missing.await.unwrap(), Heard::NoSuchDelivery);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_transmission_does_not_inherit_the_question() {
    let mut world = World::new().await;
    let (_, id) = waiting(&mut world).await;
    // As after three daemons that died of it.
    sqlx::query("update worker.deliveries set state = 'failed'")
        .execute(world.pool())
        .await
        .unwrap();
    sqlx::query("update worker.jobs set state = 'dead', finished_at = now() where state = 'held'")
        .execute(world.pool())
        .await
        .unwrap();
    assert!(world.delivery("unknown_since").await.is_some());
    let by = By::new("test", "it is not there").unwrap();
    let again = delivery::operate(world.pool(), id, Operation::Redeliver, &by, Utc::now()).await;
    assert_eq!(again.unwrap(), Some(Operated::Changed("queued")));
    world.until_delivery("accepted").await;
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 2);
    assert_eq!(world.delivery("transmission").await.as_deref(), Some("2"));
    assert_eq!(world.delivery("unknown_since").await, None);
    assert_eq!(world.delivery("unknown_reason").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_to_the_repetition_is_no_answer_to_what_was_sent_before() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    catalogue::schedule(world.pool(), release, &[platform]).await;
    let lost = Fault::new(Code::OutcomeUnknown, "no answer after the last byte");
    let no = Fault::new(Code::PartnerRefused, "we take nothing today");
    world
        .partner
        .deliver
        .lock()
        .unwrap()
        .extend([Err(lost), Err(no)]);
    let may_be_repeated = Located::Repeatable;
    world
        .partner
        .locate
        .lock()
        .unwrap()
        .push_back(may_be_repeated);
    world.start();
    until_held(&world).await;
    assert_eq!(world.delivery("state").await.as_deref(), Some("unknown"));
    assert_eq!(world.partner.deliveries(), 2);
    let message = world.delivery("fault_message").await.unwrap();
    assert!(message.contains("we take nothing today"), "{message}");
    assert!(message.contains("it cannot be known"), "{message}");
    world.stop().await;
}
