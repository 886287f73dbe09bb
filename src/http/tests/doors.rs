//! Nobody comes in without a key that may, wherever they knock, and every refusal is audited.

use axum::{body::Body, http::header};
use chrono::TimeDelta;
use jobs::access::Scope;
use serde_json::{Value, json};

use super::harness::{World, by, request};
use crate::{config::Http, http::document};

/// Each operation as method, path with values, and the scope it needs.
fn operations() -> Vec<(&'static str, String, String, Scope)> {
    let document = serde_json::to_value(document()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(operation) = item.get(method) else {
                continue;
            };
            let mut filled = path.clone();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "path" {
                    let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
                    filled = filled.replace(&name, &value(parameter));
                }
            }
            assert!(!filled.contains('{'), "{filled}");
            let security = &operation["security"];
            assert_eq!(security.as_array().map(Vec::len), Some(1), "{path} is open");
            let scope = security[0]["key"][0].as_str().unwrap();
            let method = if method == "get" { "GET" } else { "POST" };
            found.push((
                method,
                path.clone(),
                filled,
                Scope::from_word(scope).unwrap(),
            ));
        }
    }
    assert!(found.len() > 30, "{}", found.len());
    found
}

fn value(parameter: &Value) -> String {
    let name = parameter["name"].as_str().unwrap();
    match (name, parameter["schema"]["type"].as_str()) {
        ("operation", _) => "hold".into(),
        ("name", _) => "retention".into(),
        (_, Some("integer")) => "1".into(),
        _ => "00000000-0000-7000-8000-000000000000".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_is_shut_to_every_wrong_key() {
    let world = World::new().await;
    let (expired_id, expired) = world
        .key_until(&Scope::ALL, Some(world.now() + TimeDelta::hours(1)))
        .await;
    let (revoked_id, revoked) = world.key(&Scope::ALL).await;
    let mut conn = world.pool().acquire().await.unwrap();
    jobs::access::revoke(&mut conn, revoked_id, &by(), world.now())
        .await
        .unwrap();
    let foreign = "catalogue-key-of-the-web-application";
    sqlx::query(
        "insert into api_keys (user_id, name, key, scopes) values ($1, 'app', $2, '{catalog}')",
    )
    .bind(world.owner)
    .bind(jobs::access::fingerprint(foreign.as_bytes()))
    .execute(world.pool())
    .await
    .unwrap();
    // A key as the web application may keep its own: not hashed.
    let plain = "0123456789abcdef".repeat(4);
    sqlx::query("insert into api_keys (user_id, name, key, scopes) values ($1, 'plain', $2, '{worker:admin}')")
        .bind(world.owner)
        .bind(&plain)
        .execute(world.pool())
        .await
        .unwrap();
    let of_suspended = of_suspended(&world).await;
    world.pass(TimeDelta::hours(2));

    let wrong = [
        ("", "no key was given".to_owned()),
        ("tmw_guessed", "the key is not known".to_owned()),
        ("' or 1=1 --", "the key is not known".to_owned()),
        (&plain, "the key is not known".to_owned()),
        (
            &expired,
            format!("key {expired_id} has expired or was revoked"),
        ),
        (
            &revoked,
            format!("key {revoked_id} has expired or was revoked"),
        ),
        (foreign, "has no scope of the worker".to_owned()),
        (&of_suspended, "is suspended".to_owned()),
    ];
    for (method, template, path, _) in operations() {
        for (key, why) in &wrong {
            let asked = request(method, &path, key).body(Body::empty()).unwrap();
            let answer = world.send(asked).await.expect(401);
            assert_eq!(answer.problem(), "unauthorized", "{method} {path}");
            assert!(
                answer
                    .header(header::WWW_AUTHENTICATE)
                    .starts_with("Bearer")
            );
            let told = answer.body.to_lowercase();
            for leaked in [
                "expired",
                "revoked",
                "suspended",
                "nordlicht",
                "catalog",
                "owner",
            ] {
                assert!(!told.contains(leaked), "{leaked}: {told}");
            }
            let id = answer.header("x-request-id".parse().unwrap());
            let (action, object, reason): (String, String, String) = sqlx::query_as(
                "select action, object_id, reason from worker.audit where request_id = $1",
            )
            .bind(id)
            .fetch_one(world.pool())
            .await
            .unwrap();
            assert_eq!(
                (action.as_str(), object),
                ("access.refused", format!("{method} {template}"))
            );
            assert!(reason.contains(why), "{reason}, not {why}");
            assert!(
                key.is_empty() || !reason.contains(key),
                "the audit holds a key"
            );
        }
    }
}

async fn of_suspended(world: &World) -> String {
    let (id, key) = world.key(&Scope::ALL).await;
    let user: i32 = sqlx::query_scalar(
        "insert into users (username, email, password, full_name, status)
         values ('gone', 'gone@label.example', '-', 'Gone', 'suspended') returning id",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    sqlx::query("update api_keys set user_id = $2 where id = $1")
        .bind(id)
        .bind(user)
        .execute(world.pool())
        .await
        .unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_scope_says_and_nothing_else() {
    let world = World::new().await;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        keys.push((scope, world.key(&[scope]).await));
    }
    for (method, template, path, needed) in operations() {
        for (scope, (id, key)) in &keys {
            if *scope == needed {
                continue;
            }
            let asked = request(method, &path, key).body(Body::empty()).unwrap();
            let answer = world.send(asked).await.expect(403);
            assert_eq!(
                answer.problem(),
                "forbidden",
                "{method} {path} with {scope}"
            );
            let (actor, object, reason) = world.audited("access.refused").await.remove(0);
            assert_eq!(
                (actor, object),
                (format!("key:{id}"), format!("{method} {template}"))
            );
            assert_eq!(reason, format!("the key has no scope {needed}"));
        }
    }
    // One that may gets past the door.
    for (method, _, path, needed) in operations() {
        if path.ends_with("/events") {
            continue;
        }
        let (_, (_, key)) = keys.iter().find(|(scope, _)| *scope == needed).unwrap();
        let asked = request(method, &path, key).body(Body::empty()).unwrap();
        let answer = world.send(asked).await;
        assert!(
            !matches!(answer.status, 401 | 403 | 500..),
            "{method} {path}: {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_super_admin_may_everything_and_templates_fill_in_scopes() {
    let world = World::new().await;
    let (_, key) = world.key(&[Scope::Finance]).await;
    world.get(&key, "/api/v1/keys").await.expect(403);
    sqlx::query("insert into super_admins (user_id) values ($1)")
        .bind(world.owner)
        .execute(world.pool())
        .await
        .unwrap();
    world.get(&key, "/api/v1/keys").await.expect(200);
    sqlx::query(
        r#"insert into permission_templates (name, permissions, created_by)
           values ('On call', '{"scopes": ["worker:read", "worker:operate", "releases:edit"]}', $1)"#,
    )
    .bind(world.owner)
    .execute(world.pool())
    .await
    .unwrap();
    let made = json!({"name": "night", "template": "On call", "reason": "new colleague"});
    let made = world
        .post(&key, "/api/v1/keys", made)
        .await
        .expect(201)
        .json();
    assert_eq!(made["scopes"], json!(["worker:read", "worker:operate"]));
    let new = made["key"].as_str().unwrap();
    sqlx::query("delete from super_admins")
        .execute(world.pool())
        .await
        .unwrap();
    world.get(new, "/api/v1/platforms").await.expect(200);
    world.get(new, "/api/v1/keys").await.expect(403);
    let kept: Vec<String> = sqlx::query_scalar("select key from api_keys where id = $1")
        .bind(i32::try_from(made["id"].as_i64().unwrap()).unwrap())
        .fetch_all(world.pool())
        .await
        .unwrap();
    assert_eq!(kept, [jobs::access::fingerprint(new.as_bytes())]);
    let used: i64 = sqlx::query_scalar("select count(*) from api_keys where last_used is not null")
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(used, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_wrong_keys_are_not_looked_at_and_right_ones_are() {
    let world = World::with(Http {
        wrong_key_delay_ms: 0,
        wrong_keys_per_minute: 3,
        ..Http::default()
    })
    .await;
    let (_, key) = world.key(&[Scope::Read]).await;
    for _ in 0..3 {
        world
            .get("tmw_guess", "/api/v1/platforms")
            .await
            .expect(401);
    }
    let slow = world
        .get("tmw_guess", "/api/v1/platforms")
        .await
        .expect(429);
    assert_eq!(slow.problem(), "slow-down");
    assert_eq!(slow.header(header::RETRY_AFTER), "60");
    world.get(&key, "/api/v1/platforms").await.expect(200);
    assert_eq!(world.audited("access.refused").await.len(), 3);
    world.pass(TimeDelta::minutes(1));
    world
        .get("tmw_guess", "/api/v1/platforms")
        .await
        .expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_waits_and_others_do_not() {
    let world = World::with(Http {
        requests_per_minute: 4,
        ..Http::default()
    })
    .await;
    let (_, greedy) = world.key(&[Scope::Read]).await;
    let (_, other) = world.key(&[Scope::Read]).await;
    for _ in 0..4 {
        world.get(&greedy, "/api/v1/platforms").await.expect(200);
    }
    let refused = world.get(&greedy, "/api/v1/platforms").await.expect(429);
    assert_eq!(refused.problem(), "rate-limited");
    let wait: u64 = refused.header(header::RETRY_AFTER).parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    world.get(&other, "/api/v1/platforms").await.expect(200);
    world.pass(TimeDelta::minutes(1));
    world.get(&greedy, "/api/v1/platforms").await.expect(200);
    // The console counts with it.
    let visit = world.visit(&[Scope::Read]).await;
    for _ in 0..3 {
        visit.get("/console/workers").await.expect(200);
    }
    let refused = visit.get("/console/workers").await.expect(429);
    assert!(refused.body.contains("Too many requests"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_at_once() {
    let world = World::new().await;
    let (_, admin) = world.key(&[Scope::Admin]).await;
    let (id, key) = world.key(&[Scope::Read]).await;
    world.get(&key, "/api/v1/platforms").await.expect(200);
    let path = format!("/api/v1/keys/{id}/revoke");
    world
        .post(&admin, &path, json!({"reason": "lost"}))
        .await
        .expect(204);
    world.get(&key, "/api/v1/platforms").await.expect(401);
    let again = world
        .post(&admin, &path, json!({"reason": "lost"}))
        .await
        .expect(409);
    assert_eq!(again.problem(), "refused");
    assert_eq!(world.audited("key.revoke").await[0].2, "lost");
    let listed = world
        .get(&admin, "/api/v1/keys?valid=true")
        .await
        .expect(200)
        .json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains("tmw_"));
}
