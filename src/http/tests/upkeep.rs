//! Statistics and notifications through the API.

use chrono::NaiveDate;
use jobs::{
    access::Scope,
    statistics::{self, Settings},
};
use serde_json::{Value, json};

use super::{finance::world_with_usage, harness::World};

#[tokio::test(flavor = "multi_thread")]
async fn days_are_rebuilt_watched_and_left_alone() {
    let (world, _, _) = world_with_usage().await;
    let (id, key) = world.key(&[Scope::Read, Scope::Operate]).await;
    let runs = "/api/v1/statistics/runs";
    let ask = json!({"first": "2024-10-01", "last": "2024-10-31", "reason": "a new report"});
    let begun = world.post(&key, runs, ask).await.expect(201).json();
    assert_eq!(
        (&begun["state"], &begun["days_done"], &begun["days_total"]),
        (&json!("running"), &json!(0), &json!(1))
    );
    statistics::recompute(world.pool(), &Settings::default(), world.now())
        .await
        .unwrap();
    let path = format!("{runs}/{}", begun["id"].as_str().unwrap());
    let done = world.get(&key, &path).await.expect(200).json();
    assert_eq!(
        (&done["state"], &done["days_done"]),
        (&json!("completed"), &json!(1))
    );
    let written: NaiveDate = sqlx::query_scalar("select date::date from daily_stats")
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(written.to_string(), "2024-10-05");
    let why = json!({"reason": "not now"});
    let ended = world
        .post(&key, &format!("{path}/cancel"), why.clone())
        .await
        .expect(200)
        .json();
    assert_eq!(ended["changed"], false);
    let whole = json!({"reason": "all of it"});
    let open = world.post(&key, runs, whole).await.expect(201).json();
    let cancel = format!("{runs}/{}/cancel", open["id"].as_str().unwrap());
    let ended = world.post(&key, &cancel, why).await.expect(200).json();
    assert_eq!(
        (&ended["changed"], &ended["run"]["state"]),
        (&json!(true), &json!("canceled"))
    );
    let page = world
        .get(&key, &format!("{runs}?limit=1"))
        .await
        .expect(200)
        .json();
    assert_eq!(page["items"][0]["id"], open["id"]);
    let next = page["next"].as_str().unwrap();
    let page = world
        .get(&key, &format!("{runs}?limit=1&cursor={next}"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&page["items"][0]["id"], &page["next"]),
        (&begun["id"], &Value::Null)
    );
    let status = world
        .get(&key, "/api/v1/statistics")
        .await
        .expect(200)
        .json();
    assert_eq!((&status["rows"], &status["marks"]), (&json!(1), &json!(0)));
    assert_eq!(
        world.audited("statistics.rebuild").await[1],
        (
            format!("key:{id}"),
            begun["id"].as_str().unwrap().to_owned(),
            "a new report".to_owned()
        )
    );
    for (body, status) in [
        (
            json!({"first": "2024-11-01", "last": "2024-10-01", "reason": "x"}),
            422,
        ),
        (json!({"first": "-4800-01-01", "reason": "x"}), 422),
        (json!({"last": "+99999-01-01", "reason": "x"}), 422),
        (json!({"first": "yesterday", "reason": "x"}), 422),
        (json!({"reason": ""}), 422),
    ] {
        world.post(&key, runs, body).await.expect(status);
    }
    let nobody = format!("{runs}/00000000-0000-7000-8000-000000000000");
    world.get(&key, &nobody).await.expect(404);
}

/// Notifications in these states, the oldest first.
pub(super) async fn notify(world: &World, states: &[&str]) -> Vec<String> {
    let mut made = Vec::new();
    for state in states {
        let id: String = sqlx::query_scalar(
            "insert into worker.notifications (event, subject, topic, payload, state, created_at, settled_at)
             values ('delivery.failed', 'delivery/1', 'delivery.failed', '{\"title\": \"Single 1\"}', $1, now(),
                 case when $1 <> 'pending' then now() end)
             returning id::text",
        )
        .bind(*state)
        .fetch_one(world.pool())
        .await
        .unwrap();
        sqlx::query(
            "insert into worker.notification_sends (notification_id, channel, tries, given_up_at, problem)
             values ($1::uuid, 'webhook/desk', 3, now(), 'the receiver answered 410 Gone')",
        )
        .bind(&id)
        .execute(world.pool())
        .await
        .unwrap();
        made.push(id);
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_arrive_is_found_sent_again_and_dismissed() {
    let world = World::new().await;
    let made = notify(&world, &["delivered", "failed", "failed"]).await;
    let (id, key) = world.key(&[Scope::Read, Scope::Operate]).await;
    let list = "/api/v1/notifications";
    let failed = format!("{list}?state=failed&limit=1&event=delivery.failed&subject=delivery/1");
    let page = world.get(&key, &failed).await.expect(200).json();
    assert_eq!(page["items"][0]["id"], made[2].as_str());
    let next = page["next"].as_str().unwrap();
    let page = world
        .get(&key, &format!("{failed}&cursor={next}"))
        .await
        .expect(200)
        .json();
    assert_eq!(page["items"][0]["id"], made[1].as_str());
    assert_eq!(page["next"], Value::Null);
    let none = world
        .get(&key, &format!("{list}?state=%00&subject=%27"))
        .await
        .expect(200)
        .json();
    assert_eq!(none["items"], json!([]));

    let path = format!("{list}/{}", made[1]);
    let story = world.get(&key, &path).await.expect(200).json();
    assert_eq!(story["payload"]["title"], "Single 1");
    assert_eq!(
        story["sends"][0]["problem"],
        "the receiver answered 410 Gone"
    );
    let why = json!({"reason": "the desk is back"});
    let retried = world
        .post(&key, &format!("{path}/retry"), why.clone())
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&retried["state"], &retried["sends"][0]["given_up_at"]),
        (&json!("pending"), &Value::Null)
    );
    let dismissed = world
        .post(&key, &format!("{list}/{}/dismiss", made[2]), why.clone())
        .await
        .expect(200)
        .json();
    assert_eq!(dismissed["state"], "dismissed");
    let refused = world
        .post(&key, &format!("{list}/{}/dismiss", made[0]), why.clone())
        .await
        .expect(409);
    assert!(refused.body.contains("is delivered"), "{refused:?}");
    let nobody = format!("{list}/00000000-0000-7000-8000-000000000000");
    world
        .post(&key, &format!("{nobody}/retry"), why)
        .await
        .expect(404);
    world.get(&key, &nobody).await.expect(404);
    assert_eq!(
        world.audited("notification.retry").await,
        [(
            format!("key:{id}"),
            made[1].clone(),
            "the desk is back".to_owned()
        )]
    );
}
