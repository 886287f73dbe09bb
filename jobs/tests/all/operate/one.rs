//! Operations on one delivery that waits or is decided.

use std::time::Duration;

use jobs::delivery::{Operated, Operation};
use platform_adapters::{Code, Fault, Receipt};
use test_support::catalogue;

use super::{audited, fan_out, job, newest, operate};
use crate::deliveries::harness::{Asked, World, taken};

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_held_released_expedited_and_called_off_with_its_job() {
    let world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    fan_out(&world).await;
    let id = newest(&world).await;

    assert_eq!(
        operate(&world, id, Operation::Hold).await,
        Operated::Changed("held")
    );
    assert_eq!(job(&world, id, "state").await.as_deref(), Some("held"));
    assert_eq!(
        operate(&world, id, Operation::Release).await,
        Operated::Changed("queued")
    );
    assert_eq!(job(&world, id, "state").await.as_deref(), Some("available"));
    assert_eq!(
        operate(&world, id, Operation::Expedite).await,
        Operated::Changed("queued")
    );
    assert_eq!(job(&world, id, "priority").await.as_deref(), Some("20"));
    assert!(matches!(
        operate(&world, id, Operation::Expedite).await,
        Operated::Refused(_)
    ));
    assert_eq!(
        operate(&world, id, Operation::Cancel).await,
        Operated::Changed("canceled")
    );
    assert_eq!(job(&world, id, "state").await.as_deref(), Some("canceled"));
    assert_eq!(world.decided(schedule).await, "failed");
    assert_eq!(world.record("status").await.as_deref(), Some("canceled"));
    assert!(matches!(
        operate(&world, id, Operation::Redeliver).await,
        Operated::Refused(_)
    ));

    let entries = audited(&world, id).await;
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "delivery.cancel",
            "delivery.expedite",
            "delivery.release",
            "delivery.hold"
        ],
        "what was refused changed nothing and is no change"
    );
    let cancel = &entries[0];
    assert_eq!(
        (cancel.actor.as_str(), cancel.reason.as_str()),
        ("test", "because")
    );
    assert_eq!(cancel.before.as_ref().unwrap()["state"], "queued");
    assert_eq!(cancel.after.as_ref().unwrap()["state"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_only_grows() {
    let world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    catalogue::schedule(world.pool(), release, &[platform]).await;
    fan_out(&world).await;
    operate(&world, newest(&world).await, Operation::Hold).await;
    for statement in [
        "update worker.audit set reason = 'another'",
        "delete from worker.audit",
        "truncate worker.audit",
    ] {
        let error = sqlx::query(statement)
            .execute(world.pool())
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("append-only"),
            "{statement}: {error}"
        );
    }
    let rows: i64 =
        sqlx::query_scalar("select count(*) from worker.audit where reason = 'because'")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_cut_short() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    let asked = Some(Duration::from_secs(3600));
    world.partner.deliver.lock().unwrap().push_back(Err(
        Fault::new(Code::Throttled, "in an hour").with_retry_after(asked)
    ));
    world.start();
    world.until_delivery("retrying").await;
    let id = newest(&world).await;
    assert_eq!(
        operate(&world, id, Operation::Retry).await,
        Operated::Changed("queued")
    );
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_whose_answer_is_being_written_is_waited_for() {
    let world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    catalogue::schedule(world.pool(), release, &[platform]).await;
    fan_out(&world).await;
    let id = newest(&world).await;
    // It was sent, and its partner has been asked.
    for statement in [
        "update worker.deliveries set state = 'sent', sent_at = now() where id = $1",
        "update worker.jobs set state = 'completed', finished_at = now() where unique_key = 'deliver/' || $1",
        "insert into worker.jobs (id, queue, kind, arguments, state, run_at, attempt, max_attempts,
             lease_token, lease_expires_at, worker, unique_key)
         select worker.uuid_v7(), 'confirm/' || platform_id, 'confirm', jsonb_build_object('delivery', id),
             'running', now(), 1, 100, worker.uuid_v7(), now() + interval '1 hour', 'w', 'confirm/' || id
         from worker.deliveries where id = $1",
    ] {
        sqlx::query(statement)
            .bind(id)
            .execute(world.pool())
            .await
            .unwrap();
    }
    // As an attempt writes what came of it: first the job, then the delivery.
    let mut attempt = world.pool().begin().await.unwrap();
    sqlx::query(
        "update worker.jobs set state = 'completed', finished_at = now(), lease_token = null,
             lease_expires_at = null where unique_key = 'confirm/' || $1",
    )
    .bind(id)
    .execute(&mut *attempt)
    .await
    .unwrap();
    let by_operator = async {
        let operated = operate(&world, id, Operation::Retry).await;
        assert_eq!(operated, Operated::Changed("sent"));
    };
    let by_attempt = async {
        let waits = "select count(*) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waits)
            .fetch_one(world.pool())
            .await
            .unwrap()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sqlx::query("select from worker.deliveries where id = $1 for update")
            .bind(id)
            .execute(&mut *attempt)
            .await
            .expect("nobody waits for each other");
        attempt.commit().await.unwrap();
    };
    tokio::join!(by_operator, by_attempt);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_redelivered_under_new_names_and_the_first_receipt_stays() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.partner.deliver.lock().unwrap().push_back(Ok(Receipt {
        partner_release_id: Some("first".into()),
        ..taken()
    }));
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    let id = newest(&world).await;
    assert_eq!(
        operate(&world, id, Operation::Cancel).await,
        Operated::Refused("it is accepted; take it down instead".into())
    );
    assert_eq!(
        operate(&world, id, Operation::Redeliver).await,
        Operated::Changed("queued")
    );
    world.until_delivery("accepted").await;
    world.stop().await;

    let asked = world.partner.asked.lock().unwrap().clone();
    let keys: Vec<&str> = asked
        .iter()
        .filter_map(|asked| match asked {
            Asked::Deliver { key, .. } => Some(key.rsplit('-').next().unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(keys, ["t1", "t2"]);
    let kept = jobs::delivery::evidence(world.pool(), id, "receipt-t1.json")
        .await
        .unwrap()
        .unwrap();
    assert!(String::from_utf8(kept).unwrap().contains("\"first\""));
    assert_eq!(world.delivery("receipt->>'partner_release_id'").await, None);
    assert_eq!(
        audited(&world, id).await[0].before.as_ref().unwrap()["transmission"],
        1
    );
    assert_eq!(world.delivery("transmission").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_redelivery_leaves_what_is_live_distributed() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    let refused = Fault::new(Code::PartnerRefused, "not now");
    world
        .partner
        .deliver
        .lock()
        .unwrap()
        .push_back(Err(refused));
    operate(&world, newest(&world).await, Operation::Redeliver).await;
    world.until_delivery("rejected").await;
    world.stop().await;
    assert_eq!(world.record("status").await.as_deref(), Some("distributed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_transmission_has_all_its_attempts() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    let fault = || Err(Fault::new(Code::TimedOut, "as told"));
    world
        .partner
        .deliver
        .lock()
        .unwrap()
        .extend((0..5).map(|_| fault()));
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    assert_eq!(world.partner.deliveries(), 3, "the policy's max_attempts");
    operate(&world, newest(&world).await, Operation::Redeliver).await;
    world.until_delivery("accepted").await;
    world.stop().await;
    assert_eq!(
        world.partner.deliveries(),
        6,
        "two more faults, then success"
    );
}
