//! Notices of partners: heard once, by whose signature is right.

use axum::http::Request;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::PgPool;
use uuid::Uuid;

use super::harness::{Answer, World};

const SECRET: &str = "s3cret";

/// A world with a platform that signs its notices, and a delivery to it that was sent.
async fn world() -> (World, i32, Uuid) {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    sqlx::query(
        "update distribution_platforms set delivery_method = 'api', api_endpoint = 'https://partner.example',
             api_credentials = jsonb_build_object('webhook_secret', $1::text),
             format_specs = '{\"api\": {\"webhook\": {\"id_header\": \"X-Id\"}}}'",
    )
    .bind(SECRET)
    .execute(world.pool())
    .await
    .unwrap();
    world.deliveries(1..2, &[platform]).await;
    let id = sent("sent", None).of(&world).await;
    (world, platform, id)
}

/// How the delivery stands.
struct Sent(&'static str, Option<&'static str>);

fn sent(state: &'static str, release: Option<&'static str>) -> Sent {
    Sent(state, release)
}

impl Sent {
    async fn of(&self, world: &World) -> Uuid {
        sqlx::query_scalar(
            "update worker.deliveries set state = $1, sent_at = now(), started_at = now(),
                 receipt = jsonb_build_object('partner_release_id', $2::text, 'confirmed', 'sent', 'is_final', false)
             returning id",
        )
        .bind(self.0)
        .bind(self.1)
        .fetch_one(world.pool())
        .await
        .unwrap()
    }
}

async fn state(pool: &PgPool) -> (String, i64) {
    sqlx::query_as(
        "select state, (select count(*) from worker.evidence where name = 'notice.json')
         from worker.deliveries",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

impl World {
    /// A notice with this name, signed with a secret.
    async fn notice(&self, platform: i32, name: &str, secret: &str, body: &Value) -> Answer {
        let (body, time) = (body.to_string(), self.now().timestamp());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{time}.{body}").as_bytes());
        let request = Request::builder()
            .method("POST")
            .uri(format!("/partners/{platform}/notices"))
            .header("x-signature", hex::encode(mac.finalize().into_bytes()))
            .header("x-timestamp", time)
            .header("x-id", name)
            .body(body.into());
        self.send(request.unwrap()).await
    }
}

fn says(word: &str, delivery: Uuid, transmission: u32) -> Value {
    let key = format!("{}-r1-t{transmission}", delivery.simple());
    json!({"idempotency_key": key, "status": word, "id": "n-1", "reason": "wrong label"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_notice_decides_the_delivery_once() {
    let (world, platform, id) = world().await;
    let pending = world
        .notice(platform, "1", SECRET, &says("processing", id, 1))
        .await;
    assert_eq!(pending.expect(200).json()["heard"], "noted");
    let accepted = says("accepted", id, 1);
    let heard = world
        .notice(platform, "2", SECRET, &accepted)
        .await
        .expect(200)
        .json();
    assert_eq!(heard, json!({"delivery": id, "heard": "changed"}));
    assert_eq!(state(world.pool()).await, ("accepted".into(), 1));
    // As it comes where our answer was lost.
    let again = world
        .notice(platform, "2", SECRET, &accepted)
        .await
        .expect(200);
    assert_eq!(again.json()["heard"], "repeated");
    assert_eq!(state(world.pool()).await, ("accepted".into(), 1));
    // A later word contradicts it.
    let no = world
        .notice(platform, "3", SECRET, &says("rejected", id, 1))
        .await;
    assert_eq!(no.expect(200).json()["heard"], "changed");
    assert_eq!(state(world.pool()).await, ("rejected".into(), 2));
    let of_another = says("accepted", id, 2);
    let outdated = world
        .notice(platform, "4", SECRET, &of_another)
        .await
        .expect(200);
    assert_eq!(outdated.json()["heard"], "outdated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_without_our_key_is_found_by_the_partners_id() {
    let (world, platform, _) = world().await;
    let id = sent("sent", Some("n-1")).of(&world).await;
    let other = json!({"status": "live", "id": "n-2"});
    let nobody = world
        .notice(platform, "1", SECRET, &other)
        .await
        .expect(404);
    assert_eq!(nobody.problem(), "not-found");
    let ours = json!({"status": "live", "id": "n-1"});
    let heard = world.notice(platform, "2", SECRET, &ours).await.expect(200);
    assert_eq!(heard.json(), json!({"delivery": id, "heard": "changed"}));
    assert_eq!(state(world.pool()).await.0, "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_before_the_attempt_has_ended_is_asked_for_again() {
    let (world, platform, id) = world().await;
    sent("sending", None).of(&world).await;
    let early = world
        .notice(platform, "1", SECRET, &says("accepted", id, 1))
        .await;
    let early = early.expect(409);
    assert_eq!(
        (
            early.problem().as_str(),
            early.headers["retry-after"].to_str().unwrap()
        ),
        ("refused", "5")
    );
    sent("sent", None).of(&world).await;
    let heard = world
        .notice(platform, "1", SECRET, &says("accepted", id, 1))
        .await;
    assert_eq!(heard.expect(200).json()["heard"], "changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_rightly_says_nothing_and_is_audited() {
    let (world, platform, id) = world().await;
    let accepted = says("accepted", id, 1);
    let forged = world
        .notice(platform, "1", "guess", &accepted)
        .await
        .expect(401);
    let nowhere = world
        .notice(platform + 1000, "1", SECRET, &accepted)
        .await
        .expect(401);
    assert_eq!(
        (forged.problem(), &forged.body),
        ("unsigned".into(), &nowhere.body)
    );
    let other = world.platform("Elsewhere").await;
    let of_other = world
        .notice(other, "1", SECRET, &accepted)
        .await
        .expect(401);
    assert_eq!(of_other.body, forged.body);
    assert_eq!(state(world.pool()).await, ("sent".into(), 0));
    let audited = world.audited("access.refused").await;
    assert_eq!(audited.len(), 3);
    assert_eq!(audited[2].0, format!("partner:{platform}"));
    assert!(
        audited
            .iter()
            .all(|(_, object, _)| object.starts_with("POST /partners/"))
    );
    // A platform that signs rightly speaks for itself alone.
    sqlx::query("update distribution_platforms set api_endpoint = 'https://other.example', delivery_method = 'api',
        api_credentials = '{\"webhook_secret\": \"theirs\"}', format_specs = '{\"api\": {\"webhook\": {}}}' where id = $1")
        .bind(other).execute(world.pool()).await.unwrap();
    world
        .notice(other, "1", "theirs", &accepted)
        .await
        .expect(404);
    assert_eq!(state(world.pool()).await, ("sent".into(), 0));
}
