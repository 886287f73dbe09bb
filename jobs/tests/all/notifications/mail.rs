//! Mail to operators and owners.

use std::sync::{Arc, Mutex};

use chrono::{TimeDelta, Utc};
use insta::assert_snapshot;
use jobs::notification::{Channels, Event, Notice, Settings, raise};
use platform_adapters::{Code, Fault};
use serde_json::json;
use test_support::catalogue;

use super::servers::{MailServer, distribute, is_marked, settled, steady, world};
use crate::deliveries::harness::until;

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message.lines().find(|line| line.starts_with(name)).unwrap()
}

fn text(message: &str) -> String {
    let (_, body) = message.split_once("\r\n\r\n").unwrap();
    let body = body.trim_end_matches("\r\n.\r\n").replace("=\r\n", "");
    steady(&body.replace("\r\n", "\n").replace("=3D", "="))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_gets_a_mail_and_the_same_one_again_after_a_fault() {
    let server = MailServer::start(&["451 try again"]).await;
    let mut world = world().await;
    world.notifications.mail = server.settings();
    let schedule = distribute(&mut world).await;
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "delivered"
    );
    assert!(is_marked(world.pool(), schedule).await);
    world.stop().await;
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].recipients, ["owner@label.example"]);
    let id = header(&mails[0].message, "Message-ID:");
    assert!(id.ends_with("@label.example>"), "{id}");
    assert_eq!(mails[0].message, mails[1].message);
    assert_snapshot!(header(&mails[1].message, "Subject:"), @r#"Subject: "Single 1" has been distributed"#);
    assert_snapshot!(text(&mails[1].message), @r#"
    "Single 1" has been distributed.

    Distributed to Nordlys.

    schedule.completed schedule/1
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_get_what_needs_a_person() {
    let server = MailServer::start(&[]).await;
    let mut world = world().await;
    world.notifications.mail = server.settings();
    let wrong = Fault::new(Code::CredentialsRefused, "login refused");
    world.partner.deliver.lock().unwrap().push_back(Err(wrong));
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    assert_eq!(settled(world.pool(), "platform.paused").await, "delivered");
    assert_eq!(settled(world.pool(), "delivery.held").await, "delivered");
    world.stop().await;
    let mails = server.mails();
    let find = |word: &str| mails.iter().find(|one| one.message.contains(word)).unwrap();
    let paused = find("platform.paused");
    assert_eq!(mails.len(), 4, "each operator gets a mail for each");
    for operator in ["ops@label.example", "night@label.example"] {
        let of = mails.iter().filter(|one| one.recipients == [operator]);
        assert_eq!(of.count(), 2, "{operator}");
    }
    assert_snapshot!(text(&paused.message), @r#"
    Nothing is sent to Nordlys any more.

    credentials_refused: login refused

    What to do: Put the right credentials into api_credentials, then let the platform go on with `platforms resume`.

    platform.paused platform/1
    "#);
    assert_snapshot!(text(&find("delivery.held").message), @r#"
    "Single 1" to Nordlys is held.

    login refused

    What to do: Put the right credentials into api_credentials, then let the platform go on with `platforms resume`.

    The whole story: tunemantra-worker deliveries show [uuid]

    delivery.held delivery/[uuid]
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_for_good_is_not_tried_again() {
    let server = MailServer::start(&["550 nobody here"]).await;
    let mut world = world().await;
    world.notifications.mail = server.settings();
    let schedule = distribute(&mut world).await;
    assert_eq!(settled(world.pool(), "schedule.completed").await, "failed");
    assert!(!is_marked(world.pool(), schedule).await);
    world.stop().await;
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_address_keeps_no_other_from_its_mail() {
    let server = MailServer::start(&[]).await;
    let mut world = world().await;
    world.notifications.mail = server.settings();
    world.notifications.mail.operators[0] = "refused@label.example".into();
    let wrong = Fault::new(Code::CredentialsRefused, "login refused");
    world.partner.deliver.lock().unwrap().push_back(Err(wrong));
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    assert_eq!(settled(world.pool(), "platform.paused").await, "failed");
    world.stop().await;
    let mails = server.mails();
    let paused = mails
        .iter()
        .filter(|one| one.message.contains("platform.paused"));
    let recipients: Vec<_> = paused.map(|one| one.recipients.clone()).collect();
    assert_eq!(recipients, [["night@label.example"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_of_a_kind_are_two_mails() {
    let server = MailServer::start(&[]).await;
    let mut world = world().await;
    let now = Arc::new(Mutex::new(Utc::now()));
    let read = Arc::clone(&now);
    world.clock = Arc::new(move || *read.lock().unwrap());
    world.notifications.mail = server.settings();
    world.notifications.mail.operators.truncate(1);
    world.start();
    let silent = |number: usize| {
        let payload = json!({
            "delivery": format!("d{number}"),
            "release": {"id": number, "title": format!("Single {number}"), "upc": "842"},
            "platform": {"id": 7, "name": "Nordlys"},
            "message": "sent long ago",
        });
        Notice {
            event: Event::DeliverySilent,
            subject: format!("delivery/d{number}"),
            payload,
            once: None,
        }
    };
    let tell = async |notices: Vec<Notice>| {
        let now = *now.lock().unwrap();
        let mut tx = world.pool().begin().await.unwrap();
        raise(&mut tx, &notices, now).await.unwrap();
        tx.commit().await.unwrap();
    };
    let count = async |condition: &str| {
        sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(format!(
            "select count(*) from {condition}"
        )))
        .fetch_one(world.pool())
        .await
        .unwrap()
    };
    tell(vec![silent(0)]).await;
    until(|| async { (server.mails().len() == 1).then_some(()) }).await;
    tell((1..=60).map(silent).collect()).await;
    // Another platform's are another matter.
    let mut other = silent(99);
    other.payload["platform"]["id"] = json!(8);
    tell(vec![other]).await;
    until(|| async { (server.mails().len() == 2).then_some(()) }).await;
    let gathered = "worker.jobs where fault_code = 'notification_gathered' and state = 'available'";
    // Time goes on, so that what must be tried again is.
    let wait = async |by: TimeDelta| {
        *now.lock().unwrap() += by;
        sqlx::query("select pg_notify('worker_jobs', '')")
            .execute(world.pool())
            .await
            .unwrap();
    };
    until(|| async {
        wait(TimeDelta::milliseconds(50)).await;
        (count(gathered).await == 60).then_some(())
    })
    .await;

    wait(TimeDelta::hours(2)).await;
    // Those that found the mail on its way look again.
    until(|| async {
        wait(TimeDelta::milliseconds(500)).await;
        let open = count("worker.notifications where state <> 'delivered'").await;
        (open == 0).then_some(())
    })
    .await;
    let mails = server.mails();
    assert_eq!(mails.len(), 3);
    let last = text(&mails[2].message);
    assert!(last.contains("59 more of the same kind:"), "{last}");
    assert!(last.contains("- and 9 others"), "{last}");
    let tries = count("worker.notification_sends where tries > 1").await;
    assert_eq!(tries, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_the_releases_and_not_who_scheduled_it() {
    let server = MailServer::start(&[]).await;
    let mut world = world().await;
    world.notifications.mail = server.settings();
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    sqlx::query(
        "with manager as (
             insert into users (username, email, password, full_name, status)
             values ('manager', 'manager@label.example', '-', 'Mia', 'active') returning id
         )
         update scheduled_distributions set user_id = manager.id from manager",
    )
    .execute(world.pool())
    .await
    .unwrap();
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "delivered"
    );
    world.stop().await;
    assert_eq!(server.mails()[0].recipients, ["owner@label.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_goes_to_every_operator_and_says_what_came_of_it() {
    let server = MailServer::start(&[]).await;
    let mut settings = Settings {
        mail: server.settings(),
        ..Settings::default()
    };
    settings.mail.operators.push("refused@label.example".into());
    let channels = Channels::new(&settings).unwrap();
    let tried = channels.test(Utc::now()).await;
    let said: Vec<_> = tried
        .iter()
        .map(|(channel, sent)| (channel.as_str(), sent.is_ok()))
        .collect();
    assert_eq!(
        said,
        [
            ("mail/ops@label.example", true),
            ("mail/night@label.example", true),
            ("mail/refused@label.example", false),
        ]
    );
    assert!(tried[2].1.as_ref().unwrap_err().contains("nobody here"));
    assert_eq!(server.mails().len(), 2);
}
