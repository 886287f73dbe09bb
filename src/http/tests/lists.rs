//! Lists: conditions, pages, and what cannot be read.

use axum::http::header;
use jobs::access::Scope;
use serde_json::Value;

use super::harness::World;

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|one| one["id"].to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_found_by_whatever_is_known_of_them() {
    let world = World::new().await;
    let one = world.platform("One").await;
    let two = world.platform("Two").await;
    world.deliveries(1..4, &[one, two]).await;
    let (_, key) = world.key(&[Scope::Read]).await;
    sqlx::query("update worker.deliveries set state = 'failed', decided_at = now(), fault_code = 'package_invalid' where platform_id = $1 and release_title = 'Single 2'")
        .bind(two)
        .execute(world.pool())
        .await
        .unwrap();
    let owner = world.owner;
    for (query, count) in [
        ("".to_owned(), 6),
        (format!("?platform={one}"), 3),
        ("?state=failed".into(), 1),
        ("?state=failed,%20queued".into(), 6),
        ("?state=held".into(), 0),
        ("?fault=package_invalid".into(), 1),
        ("?title=SINGLE%203".into(), 2),
        ("?title=quell".into(), 6),
        ("?title=100%25".into(), 0),
        ("?title=%00".into(), 0),
        ("?isrc=DE-A01-26-00002".into(), 2),
        ("?q=dea012600002".into(), 2),
        (format!("?owner={owner}&platform={two}&state=queued"), 2),
        ("?owner=4711".into(), 0),
        ("?created_from=2999-01-01T00:00:00Z".into(), 0),
        ("?created_before=2999-01-01T00:00:00Z".into(), 6),
        ("?q=%27%20or%201%3D1%20--".into(), 0),
    ] {
        let listed = world
            .get(&key, &format!("/api/v1/deliveries{query}"))
            .await
            .expect(200)
            .json();
        assert_eq!(listed["items"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(listed["next"], Value::Null);
        let path = format!("/api/v1/deliveries/count{query}");
        assert_eq!(
            world.get(&key, &path).await.expect(200).json()["count"],
            count,
            "{query}"
        );
    }
    let upc: String = sqlx::query_scalar("select upc from releases order by id limit 1")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let listed = world
        .get(&key, &format!("/api/v1/deliveries?q={upc}"))
        .await
        .expect(200)
        .json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_from_one_to_the_next_and_miss_nothing() {
    let world = World::new().await;
    let platform = world.platform("One").await;
    world.deliveries(1..6, &[platform]).await;
    let (_, key) = world.key(&[Scope::Read, Scope::Admin]).await;
    world.key(&[Scope::Read]).await;
    for list in ["deliveries", "schedules", "jobs", "audit", "keys"] {
        let whole = ids(&world
            .get(&key, &format!("/api/v1/{list}"))
            .await
            .expect(200)
            .json());
        assert!(whole.len() > 1, "{list}");
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/{list}?limit=2{cursor}");
            let page = world.get(&key, &path).await.expect(200).json();
            paged.extend(ids(&page));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(paged, whole, "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_problem_and_no_fault_of_ours() {
    let world = World::new().await;
    let (_, key) = world.key(&Scope::ALL).await;
    for (path, status, problem) in [
        ("/api/v1/deliveries?limit=0", 400, "invalid-request"),
        ("/api/v1/deliveries?limit=x", 400, "invalid-request"),
        ("/api/v1/deliveries?cursor=x", 400, "invalid-request"),
        ("/api/v1/deliveries?state=lost", 400, "invalid-request"),
        ("/api/v1/deliveries?nothing=1", 400, "invalid-request"),
        ("/api/v1/deliveries/1", 404, "not-found"),
        ("/api/v1/platforms/99999999999", 404, "not-found"),
        ("/api/v1/schedules/1", 404, "not-found"),
        (
            "/api/v1/jobs/00000000-0000-7000-8000-000000000000",
            404,
            "not-found",
        ),
    ] {
        assert_eq!(
            world.get(&key, path).await.expect(status).problem(),
            problem,
            "{path}"
        );
    }
    let post = |media_type: &str, body: Vec<u8>| {
        super::harness::request("POST", "/api/v1/schedules", &key)
            .header("content-type", media_type)
            .body(body.into())
            .unwrap()
    };
    let json = "application/json";
    assert_eq!(
        world
            .send(post("text/plain", b"{}".to_vec()))
            .await
            .expect(415)
            .problem(),
        "unsupported-media-type"
    );
    assert_eq!(
        world
            .send(post(json, b"{".to_vec()))
            .await
            .expect(400)
            .problem(),
        "invalid-request"
    );
    assert_eq!(
        world
            .send(post(json, vec![b' '; 2_000_000]))
            .await
            .expect(413)
            .problem(),
        "body-too-large"
    );
    assert_eq!(
        world
            .send(post(json, b"[]".to_vec()))
            .await
            .expect(422)
            .problem(),
        "invalid-value"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_a_download_that_no_browser_opens() {
    let world = World::new().await;
    let platform = world.platform("One").await;
    world.deliveries(1..2, &[platform]).await;
    let (_, key) = world.key(&[Scope::Read]).await;
    let (delivery, document): (uuid::Uuid, uuid::Uuid) = sqlx::query_as(
        r#"insert into worker.evidence (delivery_id, transmission, attempt, name, media_type, body)
           select id, 1, 1, E'a"\r\nSet-Cookie: x=1;<script>.html', E'text/html\r\nX: y', '<script>alert(1)</script>'
           from worker.deliveries returning delivery_id, id"#,
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    let path = format!("/api/v1/deliveries/{delivery}");
    let story = world.get(&key, &path).await.expect(200).json();
    assert_eq!(story["evidence"][0]["id"], document.to_string());
    let kept = world
        .get(&key, &format!("{path}/evidence/{document}"))
        .await
        .expect(200);
    assert_eq!(kept.body, "<script>alert(1)</script>");
    assert_eq!(
        kept.header(header::CONTENT_TYPE),
        "application/octet-stream"
    );
    assert_eq!(kept.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert!(
        kept.header(header::CONTENT_SECURITY_POLICY)
            .contains("sandbox")
    );
    let name = kept.header(header::CONTENT_DISPOSITION);
    assert_eq!(
        name,
        "attachment; filename*=UTF-8''a%22%0D%0ASet-Cookie%3A%20x%3D1%3B%3Cscript%3E.html"
    );
    assert!(!kept.headers.contains_key(header::SET_COOKIE));
    let other = format!("/api/v1/deliveries/{document}/evidence/{document}");
    world.get(&key, &other).await.expect(404);
}
