//! What operators change through the API: the same as with commands, with preconditions, counts
//! before many, and nothing done twice.

use axum::http::header;
use jobs::access::Scope;
use serde_json::{Value, json};

use super::harness::{Answer, World};

async fn first(world: &World, key: &str) -> String {
    let listed = world
        .get(key, "/api/v1/deliveries")
        .await
        .expect(200)
        .json();
    listed["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn world() -> (World, i32, i32, String) {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    world.deliveries(1..4, &[platform]).await;
    let (id, key) = world.key(&[Scope::Read, Scope::Operate]).await;
    (world, platform, id, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_held_as_it_was_seen_and_audited() {
    let (world, _, key_id, key) = world().await;
    let id = first(&world, &key).await;
    let path = format!("/api/v1/deliveries/{id}");
    let seen = world.get(&key, &path).await.expect(200);
    let tag = seen.header(header::ETAG).to_owned();
    let hold = format!("{path}/hold");
    let why = json!({"reason": "wrong cover"});
    let held = world
        .post_with(&key, &hold, why.clone(), &[("if-match", &tag)])
        .await
        .expect(200);
    assert_eq!(held.json(), json!({"state": "held", "is_stopping": false}));
    let release = format!("{path}/release");
    let stale = world
        .post_with(&key, &release, why.clone(), &[("if-match", &tag)])
        .await
        .expect(412);
    assert_eq!(stale.problem(), "precondition-failed");
    let refused = world.post(&key, &hold, why).await.expect(409);
    assert_eq!(refused.problem(), "refused");
    assert!(refused.body.contains("it is held"), "{refused:?}");
    let entry = &world.audited("delivery.hold").await[0];
    assert_eq!(
        (entry.0.as_str(), entry.2.as_str()),
        (format!("key:{key_id}").as_str(), "wrong cover")
    );
    let request_id = held.header("x-request-id".parse().unwrap());
    let audit = world
        .get(&key, &format!("/api/v1/audit?request={request_id}"))
        .await
        .expect(200);
    assert_eq!(audit.json()["items"][0]["object_id"], id.as_str());
    for (body, status) in [
        (json!({}), 422),
        (json!({"reason": " "}), 422),
        (json!({"reason": "x", "more": 1}), 422),
        (json!("x"), 422),
    ] {
        world.post(&key, &release, body).await.expect(status);
    }
    world
        .post(&key, &format!("{path}/explode"), json!({"reason": "x"}))
        .await
        .expect(404);
    let nobody = "/api/v1/deliveries/00000000-0000-7000-8000-000000000000/hold";
    world
        .post(&key, nobody, json!({"reason": "x"}))
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_is_counted_first_and_done_as_expected() {
    let (world, platform, _, key) = world().await;
    let path = "/api/v1/deliveries/matching/operations";
    let ask = |expected: Option<i64>, limit: i64| {
        json!({"operation": "hold", "selection": {"platform_id": platform, "title": "single"},
               "expected": expected, "limit": limit, "reason": "the partner moves house"})
    };
    let counted = world
        .post(&key, path, ask(None, 10))
        .await
        .expect(200)
        .json();
    assert_eq!(counted, json!({"would_change": 3, "done": null}));
    let fewer = world.post(&key, path, ask(Some(2), 10)).await.expect(409);
    assert_eq!(fewer.problem(), "count-changed");
    let done = world
        .post(&key, path, ask(Some(3), 2))
        .await
        .expect(200)
        .json();
    assert_eq!(
        done["done"],
        json!({"changed": 2, "stopping": 0, "refused": []})
    );
    assert_eq!(world.audited("delivery.hold").await.len(), 2);
    let everything = json!({"operation": "hold", "selection": {}, "reason": "all"});
    world.post(&key, path, everything).await.expect(422);
    let id = first(&world, &key).await;
    let some = json!({"operation": "release", "reason": "back",
                      "deliveries": [id, "00000000-0000-7000-8000-000000000000"]});
    let done = world
        .post(&key, "/api/v1/deliveries/operations", some)
        .await
        .expect(200)
        .json();
    assert_eq!(
        done["refused"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["why"] == "there is no such delivery")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_done_once() {
    let (world, platform, _, key) = world().await;
    let release: i32 = sqlx::query_scalar("select min(id) from releases")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let body =
        json!({"release_id": release, "platform_ids": [platform], "reason": "out on Friday"});
    let ask = |body: Value, key: String| {
        let world = &world;
        async move {
            let headers = [("idempotency-key", "order-66")];
            world
                .post_with(&key, "/api/v1/schedules", body, &headers)
                .await
        }
    };
    let first = ask(body.clone(), key.clone()).await.expect(201);
    let second = ask(body.clone(), key.clone()).await.expect(201);
    assert_eq!(first.json(), second.json());
    assert_eq!(
        second.header("idempotent-replayed".parse().unwrap()),
        "true"
    );
    let other = json!({"release_id": release, "platform_ids": [platform], "reason": "another"});
    assert_eq!(
        ask(other.clone(), key.clone()).await.expect(422).problem(),
        "idempotency-key-reused"
    );
    assert_eq!(world.audited("schedule.create").await.len(), 1);
    // Another key has its own.
    let (_, mine) = world.key(&[Scope::Operate]).await;
    ask(other, mine.clone()).await.expect(201);
    let (left, right) = tokio::join!(at_once(&world, &mine, &body), at_once(&world, &mine, &body));
    let answers = [left.status, right.status];
    assert!(
        answers.contains(&201) && answers.iter().all(|one| matches!(one, 201 | 409)),
        "{answers:?}"
    );
    assert_eq!(world.audited("schedule.create").await.len(), 3);
}

async fn at_once(world: &World, key: &str, body: &Value) -> Answer {
    let headers = [("idempotency-key", "twins")];
    world
        .post_with(key, "/api/v1/schedules", body.clone(), &headers)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_schedules_and_cron_are_operated() {
    let (world, platform, _, key) = world().await;
    let why = json!({"reason": "they move house"});
    let path = format!("/api/v1/platforms/{platform}");
    let seen = world.get(&key, &path).await.expect(200);
    let tag = seen.header(header::ETAG).to_owned();
    let paused = world
        .post_with(
            &key,
            &format!("{path}/pause"),
            why.clone(),
            &[("if-match", &tag)],
        )
        .await;
    assert_eq!(
        paused.expect(200).json(),
        json!({"was_paused": false, "running": 0})
    );
    world
        .post_with(
            &key,
            &format!("{path}/resume"),
            why.clone(),
            &[("if-match", &tag)],
        )
        .await
        .expect(412);
    let shown = world.get(&key, &path).await.expect(200).json();
    assert_eq!(shown["paused_reason"], "they move house");
    let overview = world.get(&key, "/api/v1/overview").await.expect(200).json();
    assert_eq!(
        overview["attention"][1]["kind"], "platform_paused",
        "{overview}"
    );
    assert_eq!(overview["shape"][0]["total"], 3);
    world
        .post(&key, &format!("{path}/resume"), why.clone())
        .await
        .expect(200);
    let checked = world
        .post(&key, &format!("{path}/check"), json!(null))
        .await
        .expect(200)
        .json();
    assert_eq!(checked["ok"], false);
    assert!(
        checked["fault"]["remedy"].as_str().unwrap().len() > 10,
        "{checked}"
    );

    let due = "2027-01-01T00:00:00Z";
    let release: i32 = sqlx::query_scalar("select min(id) from releases")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let later = json!({"release_id": release, "platform_ids": [platform], "due": due, "reason": "new year"});
    let made = world
        .post(&key, "/api/v1/schedules", later)
        .await
        .expect(201)
        .json();
    let path = format!("/api/v1/schedules/{}", made["id"]);
    let tag = world
        .get(&key, &path)
        .await
        .expect(200)
        .header(header::ETAG)
        .to_owned();
    let soon = world
        .post_with(
            &key,
            &format!("{path}/run-now"),
            why.clone(),
            &[("if-match", &tag)],
        )
        .await;
    assert_ne!(
        soon.expect(200).json()["scheduled_date"],
        made["scheduled_date"]
    );
    world
        .post_with(
            &key,
            &format!("{path}/cancel"),
            why.clone(),
            &[("if-match", &tag)],
        )
        .await
        .expect(412);
    assert_eq!(
        world
            .post(&key, &format!("{path}/cancel"), why.clone())
            .await
            .expect(200)
            .json()["status"],
        "canceled"
    );
    world
        .post(&key, &format!("{path}/cancel"), why.clone())
        .await
        .expect(409);
    let nowhere = json!({"release_id": release, "platform_ids": [platform, 4711], "reason": "x"});
    assert!(
        world
            .post(&key, "/api/v1/schedules", nowhere)
            .await
            .expect(422)
            .body
            .contains("4711")
    );

    world
        .post(&key, "/api/v1/cron/retention/pause", why.clone())
        .await
        .expect(200);
    let run = world
        .post(&key, "/api/v1/cron/retention/run", why.clone())
        .await
        .expect(200)
        .json();
    let job = run["job"].as_str().unwrap();
    world
        .get(&key, &format!("/api/v1/jobs/{job}"))
        .await
        .expect(200);
    world
        .post(&key, &format!("/api/v1/jobs/{job}/retry"), why.clone())
        .await
        .expect(409);
    world
        .post(&key, "/api/v1/cron/nothing/run", why)
        .await
        .expect(404);
    assert_eq!(world.audited("cron.run").await[0].2, "they move house");
    assert_eq!(world.audited("cron.pause").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_taken_down_where_it_is() {
    let (world, platform, _, key) = world().await;
    let release: i32 = sqlx::query_scalar("select min(id) from releases")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let path = format!("/api/v1/releases/{release}/takedown");
    let wrong = json!({"territory": "Germany", "reason": "rights lost"});
    world.post(&key, &path, wrong).await.expect(422);
    let done = world
        .post(&key, &path, json!({"reason": "rights lost"}))
        .await
        .expect(200)
        .json();
    assert_eq!(done[0]["platform_id"], platform);
    assert_eq!(done[0]["called_off"], 1);
    let restore = json!({"territory": "DE", "reason": "x"});
    world
        .post(
            &key,
            &format!("/api/v1/releases/{release}/restore"),
            restore,
        )
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_purged_where_the_platform_agreed() {
    let (world, platform, _, key) = world().await;
    let release: i32 = sqlx::query_scalar("select min(id) from releases")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let path = format!("/api/v1/releases/{release}/purge");
    let purge = json!({"platform_id": platform, "reason": "wrong master"});
    world
        .post(&key, &path, json!({"reason": "everywhere"}))
        .await
        .expect(422);
    let refused = world.post(&key, &path, purge.clone()).await.expect(409);
    assert_eq!(refused.problem(), "refused");
    assert!(refused.body.contains("takes no purges"), "{refused:?}");
    let specs = json!({"ddex": {"purge": true, "sender_dpid": "PADPIDA2026112301T",
                                "recipient_dpid": "PADPIDA2026112302L"}});
    sqlx::query("update distribution_platforms set delivery_method = 'ddex', format_specs = $1")
        .bind(specs)
        .execute(world.pool())
        .await
        .unwrap();
    sqlx::query("update worker.deliveries set state = 'accepted' where release_id = $1")
        .bind(release)
        .execute(world.pool())
        .await
        .unwrap();
    let done = world.post(&key, &path, purge).await.expect(200).json();
    assert_eq!(done["outcome"], "started", "{done}");
    assert_eq!(world.audited("release.purge").await[0].2, "wrong master");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_word_is_recorded() {
    let (world, _, _, key) = world().await;
    let id = first(&world, &key).await;
    let path = format!("/api/v1/deliveries/{id}/acknowledge");
    let word = |word: &str| json!({"word": word, "reason": "mail of the partner, 23 November"});
    let nothing_to_say = world.post(&key, &path, word("absent")).await.expect(409);
    assert_eq!(nothing_to_say.problem(), "refused");
    world.post(&key, &path, word("perhaps")).await.expect(422);
    sqlx::query("update worker.deliveries set state = 'sent', sent_at = now(), started_at = now()")
        .execute(world.pool())
        .await
        .unwrap();
    let heard = world
        .post(&key, &path, word("accepted"))
        .await
        .expect(200)
        .json();
    assert_eq!(heard, json!({"state": "accepted", "is_news": true}));
    let again = world
        .post(&key, &path, word("accepted"))
        .await
        .expect(200)
        .json();
    assert_eq!(again["is_news"], false);
}
