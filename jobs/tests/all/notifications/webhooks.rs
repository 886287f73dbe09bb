//! Webhooks: signed, repeated under the same id, and never led astray.

use insta::assert_snapshot;
use jobs::notification::{Channels, Event, Settings};
use openssl::{base64, hash::MessageDigest, memcmp, pkey::PKey, sign::Signer};
use platform_adapters::{Code, Fault};
use test_support::catalogue;

use super::servers::{KEY, Receiver, Request, distribute, is_marked, settled, steady, world};
use crate::deliveries::harness::{World, until};

/// As a receiver does it, with another library than the sender.
fn is_signed(request: &Request) -> bool {
    let headers = &request.headers;
    let (id, timestamp) = (&headers["webhook-id"], &headers["webhook-timestamp"]);
    let key = PKey::hmac(KEY).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let content = format!("{id}.{timestamp}.{}", request.body);
    signer.update(content.as_bytes()).unwrap();
    let expected = format!(
        "v1,{}",
        base64::encode_block(&signer.sign_to_vec().unwrap())
    );
    let given = headers["webhook-signature"].as_bytes();
    given.len() == expected.len() && memcmp::eq(given, expected.as_bytes())
}

async fn problem(world: &World) -> String {
    until(|| async {
        sqlx::query_scalar(
            "select problem from worker.notification_sends where problem is not null",
        )
        .fetch_optional(world.pool())
        .await
        .unwrap()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_schedule_is_told_and_signed() {
    let receiver = Receiver::start(&[]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![receiver.webhook("ops")];
    let schedule = distribute(&mut world).await;
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "delivered"
    );
    assert!(is_marked(world.pool(), schedule).await);
    world.stop().await;
    let requests = receiver.requests();
    let [request] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert!(is_signed(request), "{request:?}");
    let mut forged = request.clone();
    forged.body.push(' ');
    assert!(!is_signed(&forged));
    let sent_at: i64 = request.headers["webhook-timestamp"].parse().unwrap();
    assert!(sent_at > 1_700_000_000, "seconds since 1970: {sent_at}");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_snapshot!(steady(&request.body), @r#"{"data":{"completed":[{"id":1,"name":"Nordlys"}],"due":"[time]","failed":[],"owner":1,"release":{"id":1,"title":"Single 1","upc":"842000000013"},"schedule":1,"scheduled_by":1,"status":"completed"},"timestamp":"[time]","type":"schedule.completed"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_delivery_is_told_with_its_reason() {
    let receiver = Receiver::start(&[]).await;
    let mut world = world().await;
    let mut webhook = receiver.webhook("ops");
    webhook.events = vec![Event::DeliveryRejected, Event::PlatformPaused];
    world.notifications.webhooks = vec![webhook];
    let no = Fault::new(Code::PartnerRefused, "artwork shows a logo");
    let wrong = Fault::new(Code::CredentialsRefused, "login refused");
    world
        .partner
        .deliver
        .lock()
        .unwrap()
        .extend([Err(no), Err(wrong)]);
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    assert_eq!(
        settled(world.pool(), "delivery.rejected").await,
        "delivered"
    );
    assert_eq!(
        settled(world.pool(), "schedule.failed").await,
        "unaddressed"
    );
    assert!(!is_marked(world.pool(), schedule).await, "nobody was told");
    assert_snapshot!(steady(&receiver.requests()[0].body), @r#"{"data":{"attempts":1,"code":"partner_refused","delivery":"[uuid]","kind":"insert","message":"artwork shows a logo","platform":{"id":1,"name":"Nordlys"},"release":{"id":1,"title":"Single 1","upc":"842000000013"},"remedy":"Read the partner's reason, mend the release, then schedule it again.","revision":1,"state":"rejected","transmission":1},"timestamp":"[time]","type":"delivery.rejected"}"#);

    let other = world.release(2).await;
    catalogue::schedule(world.pool(), other, &[platform]).await;
    assert_eq!(settled(world.pool(), "platform.paused").await, "delivered");
    assert_eq!(settled(world.pool(), "delivery.held").await, "unaddressed");
    assert_snapshot!(steady(&receiver.requests()[1].body), @r#"{"data":{"message":"credentials_refused: login refused","platform":{"id":1,"name":"Nordlys"},"remedy":"Put the right credentials into api_credentials, then let the platform go on with `platforms resume`."},"timestamp":"[time]","type":"platform.paused"}"#);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_gets_the_same_again_and_the_others_get_it_once() {
    let failing = Receiver::start(&["500 Oh\r\n", "429 Slow\r\n"]).await;
    let well = Receiver::start(&[]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![failing.webhook("failing"), well.webhook("well")];
    let schedule = distribute(&mut world).await;
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "delivered"
    );
    assert!(is_marked(world.pool(), schedule).await);
    world.stop().await;
    let requests = failing.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(is_signed));
    for again in &requests {
        assert_eq!(
            again.headers["webhook-id"],
            requests[0].headers["webhook-id"]
        );
        assert_eq!(again.body, requests[0].body);
    }
    assert_eq!(well.requests().len(), 1);
    let tries: i32 = sqlx::query_scalar(
        "select tries from worker.notification_sends where channel = 'webhook/failing'",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!(tries, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_given_up() {
    let receiver = Receiver::start(&["410 Gone\r\n"]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![receiver.webhook("ops")];
    let schedule = distribute(&mut world).await;
    assert_eq!(settled(world.pool(), "schedule.completed").await, "failed");
    assert!(!is_marked(world.pool(), schedule).await);
    assert_eq!(receiver.requests().len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let receiver = Receiver::start(&["307 There\r\nlocation: /elsewhere\r\n"; 50]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![receiver.webhook("ops")];
    distribute(&mut world).await;
    let problem = problem(&world).await;
    assert!(problem.contains("307"), "{problem}");
    world.stop().await;
    assert!(
        receiver
            .requests()
            .iter()
            .all(|request| request.path == "/hook")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let receiver = Receiver::start(&[]).await;
    let mut webhook = receiver.webhook("ops");
    webhook.url = format!("https://127.0.0.1:{}/hook", receiver.port)
        .parse()
        .unwrap();
    let settings = Settings {
        webhooks: vec![webhook.clone()],
        ..Settings::default()
    };
    let error = Channels::new(&settings).err().unwrap();
    assert_eq!(error, "webhook ops: 127.0.0.1 is a private address");

    // A name is found out when it is resolved.
    webhook.url = format!("https://localhost:{}/secret-path", receiver.port)
        .parse()
        .unwrap();
    let mut world = world().await;
    world.notifications.allow_private_addresses = false;
    world.notifications.webhooks = vec![webhook];
    let schedule = distribute(&mut world).await;
    let problem = problem(&world).await;
    assert!(problem.contains("a private address"), "{problem}");
    assert!(!problem.contains("secret-path"), "{problem}");
    assert!(!is_marked(world.pool(), schedule).await);
    world.stop().await;
    assert!(receiver.requests().is_empty());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let read = |text: &str| {
        let settings: Settings = serde_json::from_str(text).map_err(|error| error.to_string())?;
        settings.validate().map_err(|error| error.to_string())
    };
    let hook = |name: &str, url: &str| {
        format!(r#"{{"name": "{name}", "url": "{url}", "secret": {{"env": "S"}}}}"#)
    };
    let (one, plain) = (
        hook("a", "https://a.example"),
        hook("a", "http://a.example"),
    );
    assert_eq!(read(&format!(r#"{{"webhooks": [{one}]}}"#)), Ok(()));
    for (text, complaint) in [
        (format!(r#"{{"webhooks": [{one}, {one}]}}"#), "used twice"),
        (format!(r#"{{"webhooks": [{plain}]}}"#), "https://"),
        (r#"{"timeout_s": 0}"#.into(), "timeout_s"),
        (
            r#"{"mail": {"host": "h", "from": "nobody"}}"#.into(),
            "mail.from",
        ),
        (
            r#"{"mail": {"host": "h", "from": "a@b.example", "owner_events": ["delivery.late"]}}"#
                .into(),
            "owner_events",
        ),
        (
            r#"{"mail": {"host": "h", "from": "a@b.example", "security": "none", "username": "u",
                "password": {"env": "P"}}}"#
                .into(),
            "without TLS",
        ),
        (
            r#"{"mail": {"password": "hunter2"}}"#.into(),
            "mail.password must say where",
        ),
    ] {
        let error = match read(&text) {
            Err(error) => error,
            Ok(()) => panic!("{text} was taken"),
        };
        assert!(
            error.contains(complaint) || complaint == "password",
            "{error}"
        );
    }
}
