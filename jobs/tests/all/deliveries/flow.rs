//! The plain way, and the same release again.

use platform_adapters::{Evidence, Receipt, Status, Wanted};
use serde_json::json;
use test_support::catalogue;

use super::harness::{Asked, World, taken};

#[tokio::test(flavor = "multi_thread")]
async fn a_due_schedule_is_delivered_and_recorded() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform, platform]).await;
    world.partner.deliver.lock().unwrap().push_back(Ok(Receipt {
        partner_release_id: Some("x".repeat(101)),
        // Neither text nor jsonb can hold a NUL.
        confirmed: "taken\0 indeed".into(),
        url: Some("https://nordlys.example/r/1".into()),
        evidence: vec![Evidence {
            name: "message.xml".into(),
            media_type: "application/xml".into(),
            body: b"<x/>".to_vec(),
        }],
        ..taken()
    }));
    world.start();

    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 1);
    assert_eq!(world.delivery("state").await.as_deref(), Some("accepted"));
    assert_eq!(world.delivery("attempts").await.as_deref(), Some("1"));
    assert_eq!(world.record("status").await.as_deref(), Some("distributed"));
    assert_eq!(
        world.record("platform_url").await.as_deref(),
        Some("https://nordlys.example/r/1")
    );
    assert_eq!(
        world.delivery("receipt->>'confirmed'").await.as_deref(),
        Some("taken\u{fffd} indeed")
    );
    // Longer than the column: whole in the receipt, NULL in the column.
    assert_eq!(world.record("platform_release_id").await, None);
    assert_eq!(
        world
            .delivery("length(receipt->>'partner_release_id')")
            .await
            .as_deref(),
        Some("101")
    );
    assert_eq!(
        world
            .record("cardinality(submission_history)")
            .await
            .as_deref(),
        Some("1")
    );
    let (files, evidence, attempts): (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from worker.delivery_files where length(sha256) = 64 and size > 0),
                (select count(*) from worker.evidence where body = '<x/>'::bytea),
                (select count(*) from worker.attempts where outcome = 'completed' and delivery_id is not null)",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!((files, evidence, attempts), (2, 1, 1));
    let completed: Vec<i32> =
        sqlx::query_scalar("select completed_platform_ids from scheduled_distributions")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(completed, [platform]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_is_sent_again_only_when_it_changed() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    world.start();
    let first = catalogue::schedule(world.pool(), release, &[platform]).await;
    assert_eq!(world.decided(first).await, "completed");

    let again = catalogue::schedule(world.pool(), release, &[platform]).await;
    assert_eq!(world.decided(again).await, "completed");
    assert_eq!(
        world.partner.deliveries(),
        1,
        "nothing changed, nothing is sent"
    );
    assert_eq!(
        world
            .record("processing_details->'worker'->>'confirmed'")
            .await
            .as_deref(),
        Some("unchanged since revision 1; not sent again")
    );

    sqlx::query("update releases set title = 'Another title'")
        .execute(world.pool())
        .await
        .unwrap();
    let changed = catalogue::schedule(world.pool(), release, &[platform]).await;
    assert_eq!(world.decided(changed).await, "completed");
    assert_eq!(world.partner.deliveries(), 2);
    assert_eq!(world.delivery("kind").await.as_deref(), Some("update"));
    let records: i64 = sqlx::query_scalar("select count(*) from distribution_records")
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(
        records, 1,
        "the record of a release and platform is used again"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_asks_for_a_resend_gets_it_under_new_names_and_not_for_ever() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    for (transmission, wanted) in [
        (1, Wanted::MessageAlone),
        (2, Wanted::Everything),
        (3, Wanted::MessageAlone),
    ] {
        let sent = || Receipt {
            is_final: false,
            stated: Some(json!({"transmission": transmission})),
            ..taken()
        };
        world.partner.deliver.lock().unwrap().push_back(Ok(sent()));
        let asked = Status::Resend {
            wanted,
            reason: "ResourceMissing".into(),
            evidence: vec![Evidence {
                name: "ACK.xml".into(),
                media_type: "application/xml".into(),
                body: b"<resend/>".to_vec(),
            }],
        };
        world.partner.status.lock().unwrap().push_back(Ok(asked));
    }
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    world.stop().await;
    assert_eq!(world.delivery("state").await.as_deref(), Some("rejected"));
    assert_eq!(world.delivery("transmission").await.as_deref(), Some("3"));
    let message = world.delivery("fault_message").await.unwrap();
    assert!(message.contains("ResourceMissing"), "{message}");
    assert!(message.contains("sent 3 times"), "{message}");
    let kept: Vec<i32> = sqlx::query_scalar(
        "select transmission from worker.evidence where name = 'ACK.xml' order by 1",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(kept, [1, 2, 3], "every word is kept");
    assert_eq!(world.partner.deliveries(), 3);
    let told = world.partner.told_resend_of.lock().unwrap().clone();
    let of_first = Some(json!({"transmission": 1}));
    assert_eq!(
        told,
        [None, of_first, None],
        "the files that it has are named"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_is_asked_until_it_has_decided() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.partner.deliver.lock().unwrap().push_back(Ok(Receipt {
        is_final: false,
        message_id: Some("m-1".into()),
        ..taken()
    }));
    world.partner.status.lock().unwrap().extend([
        Ok(Status::Pending("in the queue".into())),
        Ok(Status::Accepted(Box::new(Receipt {
            confirmed: "live".into(),
            url: Some("https://nordlys.example/r/1".into()),
            ..Receipt::default()
        }))),
    ]);
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    let asked = world.partner.asked.lock().unwrap().clone();
    assert!(matches!(
        asked.as_slice(),
        [Asked::Deliver { .. }, Asked::Status(_), Asked::Status(_)]
    ));
    // What was known stays, what is new is added.
    assert_eq!(
        world.delivery("receipt->>'message_id'").await.as_deref(),
        Some("m-1")
    );
    assert_eq!(
        world.delivery("receipt->>'confirmed'").await.as_deref(),
        Some("live")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_no_is_kept_with_its_reason() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    let sent = Receipt {
        is_final: false,
        ..taken()
    };
    world.partner.deliver.lock().unwrap().push_back(Ok(sent));
    world
        .partner
        .status
        .lock()
        .unwrap()
        .push_back(Ok(Status::Rejected {
            reason: "artwork shows a logo\0".into(),
            evidence: vec![],
        }));
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    world.stop().await;
    assert_eq!(world.delivery("state").await.as_deref(), Some("rejected"));
    assert_eq!(world.record("status").await.as_deref(), Some("failed"));
    let error = world.record("error_details").await.unwrap();
    assert!(
        error.starts_with("\"Single 1\" (UPC ") && error.contains("to Nordlys"),
        "{error}"
    );
    assert!(error.contains("artwork shows a logo"), "{error}");
    let code: String =
        sqlx::query_scalar("select failed_platforms->$1->>'code' from scheduled_distributions")
            .bind(platform.to_string())
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(code, "partner_refused");
}
