//! Royalty runs through the API: from the start to the payment, with nothing decided unseen.

use std::sync::Arc;

use axum::http::header;
use chrono::TimeDelta;
use jobs::{
    access::Scope,
    clock,
    queue::{Job as _, Lease},
    royalty::{self, WriteStatements},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::harness::World;

/// A month that is long over.
const MONTH: &str = "2024-10";

/// Usage of three tracks in [`MONTH`], the last of which is shared out beyond the whole; a key.
pub(super) async fn world_with_usage() -> (World, i32, String) {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    world.deliveries(1..4, &[platform]).await;
    use_tracks(&world).await;
    let (id, key) = world.key(&[Scope::Finance]).await;
    (world, id, key)
}

/// Usage of every track in [`MONTH`], the last of which is shared out beyond the whole.
pub(super) async fn use_tracks(world: &World) {
    for statement in [
        "insert into analytics (track_id, platform_id, date, territory, streams, revenue)
         select t.id, p.id, '2024-10-05', 'DE', 100, 10.5 from tracks t, distribution_platforms p",
        "insert into revenue_shares (track_id, user_id, percentage, role, name, status)
         select max(t.id), max(u.id), share, 'artist', 'Ada', 'active'
         from tracks t, users u, unnest('{60, 61}'::numeric[]) as share group by share",
    ] {
        sqlx::query(statement).execute(world.pool()).await.unwrap();
    }
}

/// What a daemon does.
pub(super) async fn compute(world: &World, id: &str) {
    let id: Uuid = id.parse().unwrap();
    royalty::compute(world.pool(), id, &clock::system())
        .await
        .unwrap();
}

fn id_of(answer: &Value) -> String {
    answer["run"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_once_seen_made_final_and_paid() {
    let (world, key_id, key) = world_with_usage().await;
    let runs = "/api/v1/royalties/runs";
    let begin = json!({"period": MONTH, "reason": "the month is over"});
    let first = world.post(&key, runs, begin.clone()).await.expect(201);
    let request = first.header("x-request-id".parse().unwrap()).to_owned();
    let started = first.json();
    let again = world.post(&key, runs, begin).await.expect(200).json();
    assert_eq!(
        (&again["is_new"], &again["run"]["id"]),
        (&json!(false), &started["run"]["id"])
    );
    let id = id_of(&started);
    let path = format!("{runs}/{id}");
    let why = json!({"reason": "looked at"});
    let early = world
        .post(&key, &format!("{path}/finalise"), why.clone())
        .await
        .expect(409);
    assert!(early.body.contains("is running"), "{early:?}");
    compute(&world, &id).await;

    let seen = world.get(&key, &path).await.expect(200);
    let tag = seen.header(header::ETAG).to_owned();
    let run = seen.json();
    assert_eq!(run["state"], "pending");
    assert_eq!(
        (&run["totals"]["revenue"], &run["totals"]["set_aside"]),
        (&json!("21.0000"), &json!(1))
    );
    let aside = world
        .get(&key, &format!("{path}/set-aside"))
        .await
        .expect(200);
    let aside = aside.json();
    assert_eq!(aside["items"][0]["revenue"], "10.5000");
    assert!(
        aside["items"][0]["why"].as_str().unwrap().contains("121"),
        "{aside}"
    );

    let finalise = format!("{path}/finalise");
    let refused = world.post(&key, &finalise, why.clone()).await.expect(409);
    assert!(refused.body.contains("set aside"), "{refused:?}");
    world
        .post(&key, &format!("{path}/recompute"), why.clone())
        .await
        .expect(200);
    compute(&world, &id).await;
    let accept = json!({"reason": "the label knows", "accept_set_aside": true});
    let stale = world
        .post_with(&key, &finalise, accept.clone(), &[("if-match", &tag)])
        .await
        .expect(412);
    assert_eq!(stale.problem(), "precondition-failed");
    let seen = world.get(&key, &path).await.expect(200);
    let tag = seen.header(header::ETAG).to_owned();
    let done = world
        .post_with(&key, &finalise, accept, &[("if-match", &tag)])
        .await
        .expect(200);
    assert_eq!(done.json()["state"], "final");
    world
        .post(&key, &format!("{path}/void"), why.clone())
        .await
        .expect(409);

    let owner = world.owner;
    let balances = world
        .get(&key, "/api/v1/royalties/balances")
        .await
        .expect(200)
        .json();
    assert_eq!(balances["items"][0]["payee"], owner);
    assert_eq!(balances["items"][0]["payable"], "21.0000");
    let pay = json!({"reason": "transferred", "reference": "SEPA \u{0} 7"});
    let paid = world
        .post(&key, &format!("{path}/pay"), pay)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&paid["run"]["state"], &paid["payments"][0]["paid"]),
        (&json!("paid"), &json!("21.0000"))
    );
    let entry = &world.audited("royalty_run.start").await[0];
    assert_eq!(
        entry,
        &(format!("key:{key_id}"), id, "the month is over".to_owned())
    );
    let traced: i64 = sqlx::query_scalar(
        "select count(*) from worker.audit where request_id = $1 and action = 'royalty_run.start'",
    )
    .bind(request)
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!(traced, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_listed_read_and_downloaded() {
    let (world, _, key) = world_with_usage().await;
    sqlx::query("update users set full_name = '=Ada,\"Quell\"'")
        .execute(world.pool())
        .await
        .unwrap();
    let runs = "/api/v1/royalties/runs";
    let begin = json!({"period": MONTH, "reason": "over"});
    let id = id_of(&world.post(&key, runs, begin).await.expect(201).json());
    compute(&world, &id).await;
    let path = format!("{runs}/{id}/statements");
    let listed = world.get(&key, &path).await.expect(200).json();
    let owner = world.owner;
    assert_eq!(
        listed["items"],
        json!([{"payee": owner, "name": "=Ada,\"Quell\"", "payable": "21.0000", "paid_at": null}])
    );
    let one = world
        .get(&key, &format!("{path}/{owner}"))
        .await
        .expect(200)
        .json();
    assert_eq!(one["tracks"].as_array().unwrap().len(), 2);
    let file = world
        .get(&key, &format!("{path}/{owner}/csv"))
        .await
        .expect(200);
    assert_eq!(file.header(header::CONTENT_TYPE), "text/csv");
    assert_eq!(
        file.header(header::CONTENT_DISPOSITION),
        format!("attachment; filename*=UTF-8''{MONTH}-1-{owner}.csv")
    );
    assert!(
        file.body.contains("\"'=Ada,\"\"Quell\"\"\""),
        "{}",
        file.body
    );
    let file = world
        .get(&key, &format!("{path}/{owner}/pdf"))
        .await
        .expect(200);
    assert_eq!(file.header(header::CONTENT_TYPE), "application/pdf");
    assert_eq!(
        file.header(header::CONTENT_DISPOSITION),
        format!("attachment; filename*=UTF-8''{MONTH}-1-{owner}.pdf")
    );
    assert!(file.body.starts_with("%PDF-"), "{}", file.body.len());
    for layout in ["csv", "pdf"] {
        let nobody = world
            .get(&key, &format!("{path}/4711/{layout}"))
            .await
            .expect(404);
        assert!(nobody.body.contains("user 4711 has nothing"), "{nobody:?}");
    }
    // Money is for keys of finance, however much else a key may.
    let (_, other) = world
        .key(&[Scope::Read, Scope::Operate, Scope::Admin])
        .await;
    let sets = format!("{runs}/{id}/statement-sets");
    for path in [runs, &path, &sets, "/api/v1/royalties/balances"] {
        world.get(&other, path).await.expect(403);
    }
}

/// What a daemon does.
pub(super) async fn write_statements(world: &World, set: Uuid) {
    let services = royalty::Services {
        pool: world.pool().clone(),
        clock: clock::system(),
        settings: Arc::default(),
    };
    let lease = Lease {
        job: Uuid::nil(),
        token: Uuid::nil(),
        queue: royalty::sets::QUEUE.to_owned(),
        kind: WriteStatements::KIND.to_owned(),
        attempt: 1,
        max_attempts: 1,
        crashes: 0,
        worker: "test".to_owned(),
    };
    let job = WriteStatements { set };
    job.run(services, lease).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_of_all_payees_are_one_archive() {
    let (world, _, key) = world_with_usage().await;
    let runs = "/api/v1/royalties/runs";
    let begin = json!({"period": MONTH, "reason": "over"});
    let id = id_of(&world.post(&key, runs, begin).await.expect(201).json());
    let path = format!("{runs}/{id}/statement-sets");
    let order = json!({"layout": "pdf", "reason": "to be sent"});
    world.post(&key, &path, order.clone()).await.expect(409);
    compute(&world, &id).await;
    let ordered = world.post(&key, &path, order.clone()).await.expect(201);
    let ordered = ordered.json();
    assert_eq!(
        (&ordered["set"]["done"], &ordered["set"]["total"]),
        (&json!(0), &json!(1))
    );
    let again = world.post(&key, &path, order).await.expect(200).json();
    assert_eq!(again["set"]["id"], ordered["set"]["id"]);
    let set = ordered["set"]["id"].as_str().unwrap();
    let zip = format!("/api/v1/royalties/statement-sets/{set}/zip");
    let early = world.get(&key, &zip).await.expect(409);
    assert!(early.body.contains("0 of 1"), "{early:?}");
    write_statements(&world, set.parse().unwrap()).await;
    let one = format!("/api/v1/royalties/statement-sets/{set}");
    let one = world.get(&key, &one).await.expect(200).json();
    assert_eq!(
        (&one["state"], &one["done"]),
        (&json!("completed"), &json!(1))
    );
    let listed = world.get(&key, &path).await.expect(200).json();
    assert_eq!(listed["items"], json!([one]));
    let file = world.get(&key, &zip).await.expect(200);
    assert_eq!(file.header(header::CONTENT_TYPE), "application/zip");
    assert_eq!(
        file.header(header::CONTENT_DISPOSITION),
        format!("attachment; filename*=UTF-8''{MONTH}-1-pdf.zip")
    );
    let name = format!("{MONTH}-1-{}.pdf", world.owner);
    for part in ["PK", &name, "%PDF-"] {
        assert!(file.body.contains(part), "{part}");
    }
    assert_eq!(world.audited("royalty_run.statements").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_what_they_set_aside_come_in_pages() {
    let (world, _, key) = world_with_usage().await;
    let runs = "/api/v1/royalties/runs";
    let mut made = Vec::new();
    for month in ["2024-08", "2024-10", "2024-09"] {
        let begin = json!({"period": month, "reason": "over"});
        made.push(id_of(
            &world.post(&key, runs, begin).await.expect(201).json(),
        ));
    }
    let mut path = format!("{runs}?limit=1");
    let mut months = Vec::new();
    loop {
        let page = world.get(&key, &path).await.expect(200).json();
        months.push(page["items"][0]["period"].as_str().unwrap().to_owned());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("{runs}?limit=1&cursor={next}");
    }
    assert_eq!(months, ["2024-10", "2024-09", "2024-08"]);
    let october = world
        .get(&key, &format!("{runs}?period=2024-10&state=running"))
        .await
        .expect(200)
        .json();
    assert_eq!(october["items"].as_array().unwrap().len(), 1);
    for wrong in ["period=2024", "state=done", "cursor=x", "limit=0"] {
        world
            .get(&key, &format!("{runs}?{wrong}"))
            .await
            .expect(400);
    }
    // Two tracks that are set aside, of which the second page begins after the dearer.
    for statement in [
        "insert into revenue_shares (track_id, user_id, percentage, role, name, status)
         select min(t.id), max(u.id), 101, 'artist', 'Ada', 'active' from tracks t, users u",
        "update analytics set revenue = 99 where track_id = (select min(id) from tracks)",
    ] {
        sqlx::query(statement).execute(world.pool()).await.unwrap();
    }
    compute(&world, &made[1]).await;
    let aside = format!("{runs}/{}/set-aside?limit=1", made[1]);
    let first = world.get(&key, &aside).await.expect(200).json();
    let next = first["next"].as_str().unwrap();
    let second = world
        .get(&key, &format!("{aside}&cursor={next}"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (
            &first["items"][0]["revenue"],
            &second["items"][0]["revenue"]
        ),
        (&json!("99.0000"), &json!("10.5000"))
    );
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_rehearsed_and_a_final_one_corrected() {
    let (world, _, key) = world_with_usage().await;
    let rehearsals = "/api/v1/royalties/rehearsals";
    let month = json!({"period": MONTH});
    let rehearsed = world.post(&key, rehearsals, month).await.expect(200).json();
    assert_eq!(rehearsed["run"]["totals"]["payable"], "21.0000");
    assert_eq!(rehearsed["set_aside"].as_array().unwrap().len(), 1);
    let runs = "/api/v1/royalties/runs";
    let listed = world.get(&key, runs).await.expect(200).json();
    assert_eq!(listed["items"], json!([]));
    let month = world.now() + TimeDelta::days(40);
    let month = month.format("%Y-%m").to_string();
    let early = json!({"period": month, "reason": "too early"});
    let early = world.post(&key, runs, early).await.expect(409);
    assert_eq!(early.problem(), "refused");
    for body in [
        json!({"period": "2024-13", "reason": "x"}),
        json!({"period": MONTH}),
        json!({"period": MONTH, "reason": " "}),
    ] {
        world.post(&key, runs, body).await.expect(422);
    }

    let begin = json!({"period": MONTH, "reason": "over"});
    let headers = [("idempotency-key", "october")];
    let started = world.post_with(&key, runs, begin.clone(), &headers).await;
    let id = id_of(&started.expect(201).json());
    let repeated = world.post_with(&key, runs, begin, &headers).await;
    assert_eq!(id_of(&repeated.expect(201).json()), id, "the first answer");
    let open = json!({"period": MONTH});
    let open = world.post(&key, rehearsals, open).await.expect(409);
    assert!(open.body.contains("it shows what it comes to"), "{open:?}");
    let why = json!({"reason": "the terms changed", "accept_set_aside": true});
    compute(&world, &id).await;
    let path = format!("{runs}/{id}");
    let open = json!({"reason": "too early"});
    let revise = format!("{path}/revise");
    world.post(&key, &revise, open.clone()).await.expect(409);
    world
        .post(&key, &format!("{path}/finalise"), why)
        .await
        .expect(200);
    let revision = world
        .post(&key, &revise, open.clone())
        .await
        .expect(201)
        .json();
    assert_eq!(revision["run"]["revision"], 2);
    let again = world.post(&key, &revise, open.clone()).await.expect(200);
    assert_eq!(id_of(&again.json()), id_of(&revision));
    let void = format!("{runs}/{}/void", id_of(&revision));
    let void = world.post(&key, &void, open).await.expect(200);
    assert_eq!(void.json()["state"], "void");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_tells_amounts_to_finance_alone() {
    let (world, _, key) = world_with_usage().await;
    let runs = "/api/v1/royalties/runs";
    let begin = json!({"period": MONTH, "reason": "over"});
    let id = id_of(&world.post(&key, runs, begin).await.expect(201).json());
    compute(&world, &id).await;
    let accept = json!({"reason": "the label knows", "accept_set_aside": true});
    world
        .post(&key, &format!("{runs}/{id}/finalise"), accept)
        .await
        .expect(200);
    let entries = "/api/v1/audit?kind=royalty_run&action=royalty_run.finalise";
    let page = "/console/audit?kind=royalty_run";
    for (scopes, sees) in [
        (&[Scope::Read, Scope::Operate][..], false),
        (&[Scope::Read, Scope::Finance], true),
        (&[Scope::Read, Scope::Admin], true),
    ] {
        let (_, reader) = world.key(scopes).await;
        let listed = world.get(&reader, entries).await.expect(200);
        assert_eq!(listed.body.contains("21.0000"), sees, "{listed:?}");
        let entry = &listed.json()["items"][0];
        assert_eq!(entry["reason"], "the label knows");
        assert_eq!(entry["after"].get("withheld").is_none(), sees, "{entry}");
        let shown = world.visit(scopes).await.get(page).await.expect(200).body;
        assert!(shown.contains("the label knows"), "{shown}");
        assert_eq!(shown.contains("21.0000"), sees, "{shown}");
    }
}
