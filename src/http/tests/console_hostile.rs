//! The console's pages: nothing that anybody wrote becomes markup or a header.

use axum::http::header;
use jobs::{access::Scope, royalty};

use super::{
    console::PAGES,
    finance::{compute, use_tracks},
    harness::{World, by},
};

/// What would run, or break out, if anything were not escaped.
const HOSTILE: &str =
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\r\nSet-Cookie: a=b";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_anybody_wrote_becomes_markup_or_a_header() {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    world.deliveries(1..3, &[platform]).await;
    let (delivery, document) = fill_with_hostility(&world).await;
    let (run, notification) = hostile_upkeep(&world).await;
    let visit = world.visit(&Scope::ALL).await;
    sqlx::query("update api_keys set name = left($1, 50)")
        .bind(HOSTILE)
        .execute(world.pool())
        .await
        .unwrap();
    let paused = [("reason", HOSTILE)];
    visit
        .send(&format!("/console/platforms/{platform}/pause"), &paused)
        .await
        .expect(303);
    let quoted = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect::<String>();
    let mut pages: Vec<String> = PAGES
        .into_iter()
        .map(|page| page.replace("/1", &format!("/{platform}")))
        .collect();
    pages.extend([
        format!("/console/deliveries/{delivery}"),
        format!("/console/deliveries/{delivery}/evidence/{document}"),
        format!("/console/deliveries?q={quoted}&state={quoted}&fault={quoted}&platform={quoted}"),
        format!("/console/deliveries/matching?operation=hold&q={quoted}"),
        format!("/console/audit?actor={quoted}&action={quoted}&id={quoted}&kind={quoted}"),
        format!("/console/schedules?status={quoted}&day={quoted}"),
        format!("/console/royalties?state={quoted}"),
        format!("/console/royalties/balances?payee={quoted}"),
        format!("/console/royalties/{run}"),
        format!("/console/notifications?state={quoted}"),
        format!("/console/notifications/{notification}"),
        format!("/console/jobs?state={quoted}"),
        format!("/console/deliveries/{delivery}?{quoted}"),
        format!("/console/{quoted}"),
    ]);
    let mut seen = 0;
    for page in pages {
        let answer = visit.get(&page).await;
        assert!(matches!(answer.status, 200 | 404), "{page}: {answer:?}");
        let policy = answer.header(header::CONTENT_SECURITY_POLICY);
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{page}"
        );
        for raw in [
            "<script>alert",
            "<img src=x",
            "onerror=alert(2)>",
            "'><",
            ">49<",
        ] {
            assert!(
                !answer.body.contains(raw),
                "{raw} in {page}: {}",
                answer.body
            );
        }
        assert!(
            !answer.body.contains("style="),
            "a style that the policy refuses in {page}"
        );
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            assert!(cookie.to_str().unwrap().starts_with("tmw_"), "{cookie:?}");
        }
        seen += answer.body.matches("&#60;script&#62;alert(1)").count();
    }
    assert!(seen > 40, "the pages show what they were given: {seen}");
    let file = format!("/console/deliveries/{delivery}/evidence/{document}/file");
    let file = visit.get(&file).await.expect(200);
    let name = file.header(header::CONTENT_DISPOSITION);
    assert!(
        name.starts_with("attachment; filename*=UTF-8''%22%27%3E%3Cscript%3E") && name.is_ascii(),
        "{name}"
    );
    assert_eq!(file.headers.get_all(header::SET_COOKIE).iter().count(), 0);
    assert!(
        file.header(header::CONTENT_SECURITY_POLICY)
            .contains("sandbox")
    );
    let login = world
        .get("", &format!("/console/login?next={quoted}"))
        .await
        .expect(200);
    assert!(!login.body.contains("<script>"), "{}", login.body);
}

/// Hostile words wherever somebody outside may write.
async fn fill_with_hostility(world: &World) -> (String, String) {
    for statement in [
        "update releases set title = left($1, 255), artist_names = left($1, 255)",
        "update distribution_platforms set name = left($1, 100), delivery_method = left($1, 50)",
        "update worker.deliveries set release_title = $1, platform_name = $1, upc = $1, method = $1,
             state = 'held', fault_code = $1, fault_message = $1, fault_remedy = $1,
             receipt = jsonb_build_object('confirmed', $1::text, $1, $1::text)",
        "update worker.jobs set fault_code = $1, fault_message = $1, state = 'dead', finished_at = now()",
        "insert into worker.attempts (id, job_id, delivery_id, number, started_at, ended_at, outcome,
             fault_code, fault_message, worker)
         select worker.uuid_v7(), j.id, d.id, 1, now(), now(), 'retry', $1, $1, $1
         from worker.jobs j, worker.deliveries d",
        "insert into worker.delivery_files (delivery_id, transmission, position, name, path, size, sha256, md5)
         select id, 1, 1, $1, $1, 1, $1, $1 from worker.deliveries",
        "insert into worker.evidence (delivery_id, transmission, attempt, name, media_type, body)
         select id, 1, 1, $1, 'application/xml' || $1, convert_to($1, 'UTF8') from worker.deliveries",
        "update scheduled_distributions set failed_platforms =
             jsonb_build_object($1, jsonb_build_object('message', $1::text))",
        "insert into worker.audit (at, actor, action, object_kind, object_id, before, after, reason)
         select now(), $1, $1, 'delivery', id::text, to_jsonb($1::text), to_jsonb($1::text), $1
         from worker.deliveries",
        "insert into worker.daemons (name, version, host, process, started_at, seen_at)
         values ($1, $1, $1, 1, now(), now())",
        "update users set username = left($1, 50), full_name = left($1, 100)",
        "update tracks set title = left($1, 255)",
        "insert into worker.cron_entries (name, expression, handled_until, paused_at, reason)
         values ('retention', $1, now(), now(), $1)",
        "insert into worker.cron_runs (name, tick, started_at, job_id, reason)
         select 'retention', now(), now(), id, $1 from worker.jobs limit 1",
    ] {
        sqlx::query(statement).bind(HOSTILE).execute(world.pool()).await.unwrap();
    }
    sqlx::query_as("select delivery_id::text, id::text from worker.evidence")
        .fetch_one(world.pool())
        .await
        .unwrap()
}

/// Royalty runs and a notification with hostile words in all that their pages show: a run that is
/// final, with balances, and one that cannot be computed.
async fn hostile_upkeep(world: &World) -> (String, String) {
    use_tracks(world).await;
    let settings = royalty::Settings::default();
    let (period, now) = ("2024-10".parse().unwrap(), world.now());
    let started = royalty::start(world.pool(), period, &settings, &by(), now).await;
    let run = started.unwrap().run.id;
    compute(world, &run.to_string()).await;
    royalty::finalise(world.pool(), run, true, &by(), now)
        .await
        .unwrap();
    for statement in [
        "update worker.royalty_tracks set isrc = $1, release_title = $1, set_aside_why = $1
         where set_aside is not null",
        "insert into worker.royalty_runs (period, revision, state, currency, rules, fault, created_at)
         values ('2024-09', 1, 'running', $1, '{}', $1, now())",
        "insert into worker.royalty_progress (run_id, phase, done, total, updated_at)
         select id, $1, 1, 2, now() from worker.royalty_runs where period = '2024-09'",
        "insert into worker.notifications (event, subject, topic, payload, state, created_at, settled_at)
         values ($1, 'delivery/' || $1, $1, jsonb_build_object($1, $1::text), 'failed', now(), now())",
        "insert into worker.notification_sends (notification_id, channel, problem)
         select id, $1, $1 from worker.notifications",
    ] {
        sqlx::query(statement).bind(HOSTILE).execute(world.pool()).await.unwrap();
    }
    let notification = sqlx::query_scalar("select id::text from worker.notifications")
        .fetch_one(world.pool())
        .await
        .unwrap();
    (run.to_string(), notification)
}
