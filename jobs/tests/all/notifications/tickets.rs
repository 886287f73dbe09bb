//! Support tickets for schedules that ended with platforms failed.

use insta::assert_snapshot;
use platform_adapters::{Code, Evidence, Fault};
use test_support::catalogue;

use super::servers::{Receiver, distribute, settled, steady, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_schedule_opens_one_ticket_with_the_evidence() {
    // The receiver fails twice: the ticket must not be opened again with each try.
    let receiver = Receiver::start(&["500 Oh\r\n", "500 Oh\r\n"]).await;
    let mut world = world().await;
    world.notifications.support_tickets = true;
    let mut webhook = receiver.webhook("ops");
    webhook.events = vec![jobs::notification::Event::ScheduleFailed];
    world.notifications.webhooks = vec![webhook];
    let no = Fault::new(Code::PartnerRefused, "artwork shows a logo").with_evidence(Evidence {
        name: "answer.json".into(),
        media_type: "application/json".into(),
        body: br#"{"reason": "logo"}"#.to_vec(),
    });
    world.partner.deliver.lock().unwrap().push_back(Err(no));
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform, 4711]).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    assert_eq!(settled(world.pool(), "schedule.failed").await, "delivered");
    world.stop().await;
    let tickets: Vec<(String, String, String, String, String)> = sqlx::query_as(
        "select u.username, t.subject, t.description, t.priority, t.category
         from support_tickets t join users u on u.id = t.user_id",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    let [(user, subject, description, priority, category)] = tickets.as_slice() else {
        panic!("{tickets:?}");
    };
    assert_eq!(
        (user.as_str(), priority.as_str(), category.as_str()),
        ("owner", "high", "distribution")
    );
    assert_snapshot!(format!("{subject}\n\n{}", steady(description)), @r#"
    "Single 1" could not be distributed

    "Single 1" could not be distributed.

    Not distributed to:
    - Nordlys: "Single 1" (UPC 842000000013) to Nordlys: artwork shows a logo. Read the partner's reason, mend the release, then schedule it again.
    - platform 4711: "Single 1": there is no platform 4711. Schedule the release for a platform that exists.

    schedule.failed schedule/1
    "#);
    let (message, internal, attachments): (String, bool, String) = sqlx::query_as(
        "select message, is_internal, attachments::text from support_ticket_messages",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert!(internal);
    assert_snapshot!(steady(&message), @r#"
    Platform 1: partner_refused: "Single 1" (UPC 842000000013) to Nordlys: artwork shows a logo. Read the partner's reason, mend the release, then schedule it again.
    Delivery [uuid], revision 1, by sftp.
    - [time] dead partner_refused: artwork shows a logo
    Kept: answer.json (18 bytes); print it with `tunemantra-worker deliveries evidence [uuid] answer.json`.

    Platform 4711: platform_unknown: "Single 1": there is no platform 4711. Schedule the release for a platform that exists.
    "#);
    assert_snapshot!(steady(&attachments), @r#"[{"name": "answer.json", "bytes": 18, "sha256": "a195a47657c5d728b0ef8d1991c1dc826a021ce5dd0dc28602b65faca20589cd", "delivery": "[uuid]", "media_type": "application/json"}]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_ended_well_opens_none() {
    let mut world = world().await;
    world.notifications.support_tickets = true;
    distribute(&mut world).await;
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "unaddressed"
    );
    world.stop().await;
    let tickets: i64 = sqlx::query_scalar("select count(*) from support_tickets")
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(tickets, 0);
}
