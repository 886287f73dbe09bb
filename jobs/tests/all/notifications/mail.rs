//! Mail to operators and owners.

use insta::assert_snapshot;
use platform_adapters::{Code, Fault};
use test_support::catalogue;

use super::servers::{MailServer, distribute, is_marked, settled, steady, world};

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
    Put the right credentials into api_credentials, then release the platform's deliveries.

    platform.paused platform/1
    "#);
    assert_snapshot!(text(&find("delivery.held").message), @r#"
    "Single 1" to Nordlys is held.

    login refused
    Put the right credentials into api_credentials, then release the platform's deliveries.

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
