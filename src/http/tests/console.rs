//! The console's pages: who is let in, what a form needs, and that forms do what the commands do.

use axum::{
    body::Body,
    http::{Request, header},
};
use chrono::TimeDelta;
use jobs::access::Scope;
use serde_json::json;

use super::harness::{Answer, World, by};
use crate::config::Http;

pub(super) struct Visit<'a> {
    world: &'a World,
    cookie: String,
    csrf: String,
}

impl World {
    pub(super) async fn visit(&self, scopes: &[Scope]) -> Visit<'_> {
        let (_, key) = self.key(scopes).await;
        let answer = self
            .form(
                "/console/login",
                &[("key", &key), ("next", "/console/audit")],
                "",
            )
            .await;
        let answer = answer.expect(303);
        assert_eq!(answer.header(header::LOCATION), "/console/audit");
        let set = answer.headers.get_all(header::SET_COOKIE);
        let set = set.iter().map(|value| value.to_str().unwrap());
        let cookie = set
            .into_iter()
            .find(|cookie| cookie.contains("session="))
            .unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut visit = Visit {
            world: self,
            cookie,
            csrf: String::new(),
        };
        let page = visit.get("/console/audit").await.expect(200);
        let (_, rest) = page.body.split_once("name=\"csrf\" value=\"").unwrap();
        visit.csrf = rest.split('"').next().unwrap().to_owned();
        visit
    }

    async fn form(&self, path: &str, fields: &[(&str, &str)], cookie: &str) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookie)
            .body(Body::from(body));
        self.send(request.unwrap()).await
    }
}

impl Visit<'_> {
    pub(super) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header(header::COOKIE, &self.cookie);
        self.world.send(request.body(Body::empty()).unwrap()).await
    }

    pub(super) async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = [fields, &[("csrf", self.csrf.as_str())]].concat();
        self.world.form(path, &fields, &self.cookie).await
    }
}

pub(super) const PAGES: [&str; 14] = [
    "/console/",
    "/console/deliveries",
    "/console/platforms",
    "/console/platforms/1",
    "/console/schedules",
    "/console/royalties",
    "/console/royalties/balances",
    "/console/statistics",
    "/console/notifications",
    "/console/jobs",
    "/console/cron",
    "/console/workers",
    "/console/audit",
    "/console/keys",
];

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_page_without_logging_in() {
    let world = World::new().await;
    for page in PAGES {
        let answer = world.get("", page).await.expect(303);
        assert!(
            answer
                .header(header::LOCATION)
                .starts_with("/console/login?next="),
            "{answer:?}"
        );
        assert_eq!(answer.body, "");
    }
    let login = world
        .get("", "/console/login?next=https://evil.example")
        .await
        .expect(200);
    assert!(!login.body.contains("evil"), "{}", login.body);
    let wrong = world
        .form("/console/login", &[("key", "tmw_guess")], "")
        .await
        .expect(401);
    assert!(wrong.body.contains("not accepted"), "{}", wrong.body);
    assert!(
        !wrong
            .headers
            .get_all(header::SET_COOKIE)
            .iter()
            .any(|one| one.to_str().unwrap().contains("session"))
    );
    assert_eq!(
        world.audited("access.refused").await[0].1,
        "POST /console/login"
    );
    let (_, unread) = world.key(&[Scope::Operate]).await;
    world
        .form("/console/login", &[("key", &unread)], "")
        .await
        .expect(401);
    let assets = world
        .get("", "/console/assets/x/console.css")
        .await
        .expect(200);
    assert!(assets.header(header::CACHE_CONTROL).contains("immutable"));
    world
        .get("", "/console/assets/x/..%2Fmod.rs")
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_key_its_time_and_the_log_out() {
    let world = World::new().await;
    let visit = world.visit(&Scope::ALL).await;
    assert_eq!(world.audited("console.log_in").await.len(), 1);
    for page in PAGES.into_iter().filter(|page| !page.ends_with("/1")) {
        visit.get(page).await.expect(200);
    }
    let key: i32 = sqlx::query_scalar("select key_id from worker.console_sessions")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let token: String = sqlx::query_scalar("select token from worker.console_sessions")
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert!(
        !visit.cookie.contains(&token),
        "the cookie's value stands in the database"
    );
    visit.send("/console/logout", &[]).await.expect(303);
    visit.get("/console/audit").await.expect(303);
    let second = world.visit(&Scope::ALL).await;
    world.pass(TimeDelta::hours(13));
    second.get("/console/audit").await.expect(303);
    let third = world.visit(&Scope::ALL).await;
    let mut conn = world.pool().acquire().await.unwrap();
    jobs::access::revoke(&mut conn, key, &by(), world.now())
        .await
        .unwrap();
    third.get("/console/audit").await.expect(200);
    sqlx::query("update users set status = 'suspended'")
        .execute(world.pool())
        .await
        .unwrap();
    third.get("/console/audit").await.expect(303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_needs_its_token_and_its_origin() {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    let visit = world.visit(&Scope::ALL).await;
    let other = world.visit(&Scope::ALL).await;
    let path = format!("/console/platforms/{platform}/pause");
    let why = ("reason", "they move house");
    for token in ["", "x", other.csrf.as_str()] {
        let fields = [why, ("csrf", token)];
        world.form(&path, &fields, &visit.cookie).await.expect(403);
    }
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let request = Request::post(&path)
            .header(header::COOKIE, &visit.cookie)
            .header(header::HOST, "worker.example")
            .header(name, value)
            .body(Body::from(format!("reason=x&csrf={}", visit.csrf)));
        world.send(request.unwrap()).await.expect(403);
        let login = Request::post("/console/login")
            .header(name, value)
            .header(header::HOST, "worker.example");
        world
            .send(login.body(Body::from("key=x")).unwrap())
            .await
            .expect(403);
    }
    assert_eq!(world.audited("platform.pause").await.len(), 0);
    visit.send(&path, &[("reason", " ")]).await.expect(422);
    let done = visit.send(&path, &[why]).await.expect(303);
    assert_eq!(
        done.header(header::LOCATION),
        format!("/console/platforms/{platform}")
    );
    assert_eq!(
        world.audited("platform.pause").await[0].2,
        "they move house"
    );
}

/// Where every form of the console goes.
fn forms(id: &str, platform: i32) -> Vec<String> {
    vec![
        format!("/console/deliveries/{id}/hold"),
        "/console/deliveries/operations".into(),
        "/console/deliveries/matching".into(),
        format!("/console/platforms/{platform}/pause"),
        format!("/console/platforms/{platform}/check"),
        format!("/console/deliveries/{id}/acknowledge"),
        "/console/royalties".into(),
        "/console/royalties/rehearsal".into(),
        format!("/console/royalties/{id}/finalise"),
        format!("/console/royalties/{id}/statements"),
        "/console/statistics".into(),
        format!("/console/statistics/{id}/cancel"),
        format!("/console/notifications/{id}/retry"),
        "/console/notifications/failed/dismiss".into(),
        "/console/schedules".into(),
        "/console/schedules/1/cancel".into(),
        format!("/console/jobs/{id}/retry"),
        "/console/cron/retention/run".into(),
        "/console/keys".into(),
        "/console/keys/1/revoke".into(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_is_taken_without_its_token() {
    let world = World::new().await;
    let visit = world.visit(&Scope::ALL).await;
    let id = "00000000-0000-7000-8000-000000000000";
    let before: i64 = audited(&world).await;
    for path in forms(id, 1).into_iter().chain(["/console/logout".into()]) {
        for token in ["", "00"] {
            let fields = [("reason", "x"), ("operation", "hold"), ("csrf", token)];
            let refused = world.form(&path, &fields, &visit.cookie).await.expect(403);
            assert!(
                refused.body.contains("did not come from this page"),
                "{path}"
            );
        }
    }
    assert_eq!(audited(&world).await, before);
    visit.get("/console/audit").await.expect(200);
}

async fn audited(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from worker.audit")
        .fetch_one(world.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_read_changes_nothing() {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    world.deliveries(1..2, &[platform]).await;
    let id: String = sqlx::query_scalar("select id::text from worker.deliveries")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let visit = world.visit(&[Scope::Read]).await;
    for path in forms(&id, platform) {
        let before = world.audited("access.refused").await.len();
        visit
            .send(&path, &[("reason", "x"), ("operation", "hold")])
            .await
            .expect(403);
        assert_eq!(
            world.audited("access.refused").await.len(),
            before + 1,
            "{path}"
        );
    }
    for page in [
        "/console/keys".to_owned(),
        "/console/royalties".into(),
        "/console/royalties/balances".into(),
        format!("/console/royalties/{id}"),
        format!("/console/royalties/{id}/statements/1/pdf"),
        format!("/console/royalties/statements/{id}"),
    ] {
        visit.get(&page).await.expect(403);
    }
    let audit = visit.get("/console/audit").await.expect(200);
    assert!(
        !audit.body.contains("/console/royalties\""),
        "a way to nowhere"
    );
    let page = visit
        .get(&format!("/console/deliveries/{id}"))
        .await
        .expect(200);
    assert!(
        !page.body.contains("name=\"reason\""),
        "a form that leads nowhere"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_do_what_the_commands_do() {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    world.deliveries(1..4, &[platform]).await;
    let visit = world.visit(&Scope::ALL).await;
    let ids: Vec<String> = sqlx::query_scalar("select id::text from worker.deliveries order by id")
        .fetch_all(world.pool())
        .await
        .unwrap();
    let path = format!("/console/deliveries/{}", ids[0]);
    let page = visit.get(&path).await.expect(200);
    let (_, rest) = page.body.split_once("name=\"version\" value=\"").unwrap();
    let version = rest.split('"').next().unwrap().to_owned();
    let fields = [("reason", "wrong cover"), ("version", version.as_str())];
    visit
        .send(&format!("{path}/hold"), &fields)
        .await
        .expect(303);
    // Once more, from a page that is old by now.
    visit
        .send(&format!("{path}/release"), &fields)
        .await
        .expect(303);
    assert_eq!(world.audited("delivery.release").await.len(), 0);
    let marked = [
        ("operation", "hold"),
        ("delivery", ids[1].as_str()),
        ("delivery", ids[2].as_str()),
        ("reason", "both"),
    ];
    visit
        .send("/console/deliveries/operations", &marked)
        .await
        .expect(303);
    assert_eq!(world.audited("delivery.hold").await.len(), 3);
    let confirm = format!("/console/deliveries/matching?platform={platform}&operation=release");
    let counted = visit.get(&confirm).await.expect(200);
    assert!(
        counted.body.contains("3 deliveries fit"),
        "{}",
        counted.body
    );
    let number = platform.to_string();
    let all = |expected: &'static str| {
        [
            ("operation", "release"),
            ("platform", number.as_str()),
            ("expected", expected),
            ("reason", "all"),
        ]
    };
    visit
        .send("/console/deliveries/matching", &all("2"))
        .await
        .expect(303);
    assert_eq!(world.audited("delivery.release").await.len(), 0);
    visit
        .send("/console/deliveries/matching", &all("3"))
        .await
        .expect(303);
    assert_eq!(world.audited("delivery.release").await.len(), 3);
    let made = [
        ("name", "night"),
        ("scope", "worker:read"),
        ("scope", "worker:operate"),
        ("reason", "new"),
    ];
    let made = visit.send("/console/keys", &made).await.expect(200);
    let (_, rest) = made.body.split_once("class=\"secret\">").unwrap();
    let key = rest.split('<').next().unwrap();
    world.get(key, "/api/v1/platforms").await.expect(200);
    world
        .post(
            key,
            "/api/v1/deliveries/operations",
            json!({"operation": "hold", "deliveries": [ids[0]], "reason": "x"}),
        )
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_cookie_is_bound_to_its_host() {
    let world = World::with(Http {
        public_url: "https://worker.label.example".into(),
        ..Http::default()
    })
    .await;
    let (_, key) = world.key(&[Scope::Read]).await;
    let answer = world
        .form("/console/login", &[("key", &key)], "")
        .await
        .expect(303);
    let cookie = answer.header(header::SET_COOKIE);
    assert!(
        cookie.starts_with("__Host-tmw_session=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    assert_eq!(
        answer.header(header::STRICT_TRANSPORT_SECURITY),
        "max-age=31536000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_asks_for_itself_as_it_is_looked_at() {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    world.deliveries(1..2, &[platform]).await;
    sqlx::query(
        "insert into worker.deliveries (release_id, platform_id, record_id, kind, revision, state,
             release_title, platform_name, method)
         select release_id, platform_id, record_id, kind, n, state, release_title, platform_name, method
         from worker.deliveries, generate_series(2, 1234) n",
    )
    .execute(world.pool())
    .await
    .unwrap();
    let visit = world.visit(&Scope::ALL).await;
    let first = "/console/deliveries?state=queued&owner=".to_owned() + &world.owner.to_string();
    let page = visit.get(&first).await.expect(200).body;
    let (_, next) = page
        .split_once("rel=\"next\" href=\"")
        .expect("there are more");
    let next = next.split('"').next().unwrap();
    let next = next.replace("&amp;", "&").replace("&#38;", "&");
    assert!(
        next.contains("owner=") && next.contains("cursor="),
        "{next}"
    );
    // The second page stays the second when it goes on by itself.
    let second = visit.get(&next).await.expect(200).body;
    let asks = format!("hx-get=\"{}\"", next.replace('&', "&#38;"));
    assert!(second.contains(&asks), "{asks} in {second}");
    assert!(second.contains("data-live=\"deliveries\""), "{second}");
    // What is counted is read back by the form, however many it is.
    let count = visit
        .get("/console/deliveries/matching?operation=hold&state=queued")
        .await
        .expect(200)
        .body;
    assert!(count.contains("1,234 deliveries fit"), "{count}");
    assert!(
        count.contains("name=\"expected\" value=\"1234\""),
        "{count}"
    );
    let schedules = visit.get("/console/schedules").await.expect(200).body;
    assert!(
        schedules.contains("data-live=\"deliveries schedules\""),
        "{schedules}"
    );
}
