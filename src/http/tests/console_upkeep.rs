//! The console's forms for royalties, statistics and notifications, and for a partner's word.

use axum::http::header;
use jobs::{
    access::Scope,
    statistics::{self, Settings},
};
use uuid::Uuid;

use super::{
    console::Visit,
    finance::{compute, world_with_usage, write_statements},
    harness::World,
    upkeep::notify,
};

/// What follows a form.
async fn told(visit: &Visit<'_>, path: &str, fields: &[(&str, &str)]) -> (String, String) {
    let answer = visit.send(path, fields).await.expect(303);
    let note = answer
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|cookie| cookie.to_str().ok()?.strip_prefix("tmw_note="))
        .map(|note| note.split(';').next().unwrap().to_owned())
        .next()
        .unwrap();
    let note = percent_encoding::percent_decode_str(&note).decode_utf8_lossy();
    (
        answer.header(header::LOCATION).to_owned(),
        note.into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_from_its_start_to_the_ledger() {
    let (world, _, _) = world_with_usage().await;
    let visit = world.visit(&Scope::ALL).await;
    let empty = visit.get("/console/royalties").await.expect(200);
    assert!(empty.body.contains("No royalty runs yet"), "{}", empty.body);
    let month = ("period", "2024-10");
    let rehearsed = visit.send("/console/royalties/rehearsal", &[month]).await;
    let rehearsed = rehearsed.expect(200).body;
    for shown in ["Nothing of it was kept", "21.0000", "121"] {
        assert!(rehearsed.contains(shown), "{shown}: {rehearsed}");
    }
    assert!(!rehearsed.contains("name=\"reason\""), "{rehearsed}");
    let wrong = [("period", "October"), ("reason", "x")];
    visit.send("/console/royalties", &wrong).await.expect(422);
    let early = [("period", "2999-01"), ("reason", "x")];
    let (_, note) = told(&visit, "/console/royalties", &early).await;
    assert!(
        note.starts_with("bNothing was done: 2999-01 is not over"),
        "{note}"
    );

    let why = ("reason", "the month is over");
    let (page, note) = told(&visit, "/console/royalties", &[month, why]).await;
    assert_eq!(note, "gThe run of 2024-10 is started.");
    let (again, note) = told(&visit, "/console/royalties", &[month, why]).await;
    assert_eq!(
        (again, note.as_str()),
        (page.clone(), "g2024-10 has a run already: this one.")
    );
    let waits = visit.get(&page).await.expect(200).body;
    assert!(waits.contains("It waits for a daemon"), "{waits}");
    compute(&world, page.rsplit('/').next().unwrap()).await;
    let shown = visit.get(&page).await.expect(200).body;
    for word in ["pending", "21.0000", "Tracks set aside", "PDF", "drafts"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let (_, rest) = shown.split_once("name=\"version\" value=\"").unwrap();
    let version = rest.split('"').next().unwrap().to_owned();
    let statements = format!("{page}/statements/{}", world.owner);
    for (layout, media_type, begins) in [
        ("csv", "text/csv", "section,period,payee_id"),
        ("pdf", "application/pdf", "%PDF-"),
    ] {
        assert!(shown.contains(&format!("{statements}/{layout}")), "{shown}");
        let file = visit.get(&format!("{statements}/{layout}")).await;
        let file = file.expect(200);
        assert_eq!(file.header(header::CONTENT_TYPE), media_type);
        assert!(file.body.starts_with(begins), "{layout}: {file:?}");
    }
    visit.get(&format!("{statements}/exe")).await.expect(404);

    let all = format!("{page}/statements");
    let odd = [why, ("layout", "exe")];
    visit.send(&all, &odd).await.expect(404);
    let (_, note) = told(&visit, &all, &[why, ("layout", "csv")]).await;
    assert!(
        note.starts_with("gA daemon writes the statements"),
        "{note}"
    );
    let (_, note) = told(&visit, &all, &[why, ("layout", "csv")]).await;
    assert!(note.starts_with("gThey are there already"), "{note}");
    let shown = visit.get(&page).await.expect(200).body;
    assert!(shown.contains("0 of 1</progress>"), "{shown}");
    let set: Uuid = sqlx::query_scalar("select id from worker.statement_sets")
        .fetch_one(world.pool())
        .await
        .unwrap();
    write_statements(&world, set).await;
    let archive = format!("/console/royalties/statements/{set}");
    let shown = visit.get(&page).await.expect(200).body;
    assert!(shown.contains(&archive), "{shown}");
    let archive = visit.get(&archive).await.expect(200);
    assert_eq!(archive.header(header::CONTENT_TYPE), "application/zip");

    let finalise = format!("{page}/finalise");
    let seen = ("version", version.as_str());
    let (_, note) = told(&visit, &finalise, &[why, seen]).await;
    assert!(note.starts_with("bNothing was done: 1 tracks"), "{note}");
    let old = [why, ("version", "pending-0-"), ("accept", "1")];
    let (_, note) = told(&visit, &finalise, &old).await;
    assert!(note.contains("not as you have seen it"), "{note}");
    let (_, note) = told(&visit, &finalise, &[why, seen, ("accept", "1")]).await;
    assert_eq!(note, "gRoyalty run 2024-10 is final and in the ledger.");
    let balances = visit
        .get("/console/royalties/balances")
        .await
        .expect(200)
        .body;
    assert!(balances.contains("21.0000"), "{balances}");
    let (_, note) = told(&visit, &format!("{page}/void"), &[why]).await;
    assert!(
        note.starts_with("bNothing was done: royalty run 2024-10 is final"),
        "{note}"
    );
    let (_, note) = told(
        &visit,
        &format!("{page}/pay"),
        &[why, ("reference", "SEPA 7")],
    )
    .await;
    assert_eq!(note, "gNoted as paid: 1 payees.");
    let (revision, _) = told(&visit, &format!("{page}/revise"), &[why]).await;
    assert_ne!(revision, page);
    let (_, note) = told(&visit, &format!("{revision}/void"), &[why]).await;
    assert!(note.contains("revision 2 is called off"), "{note}");
    let done = visit.get(&page).await.expect(200).body;
    for word in ["paid", "royalty_run.finalise", "the month is over"] {
        assert!(done.contains(word), "{word}: {done}");
    }
    visit
        .send(&format!("{page}/explode"), &[why])
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_rebuilt_and_a_rebuild_is_ended() {
    let (world, _, _) = world_with_usage().await;
    let visit = world.visit(&Scope::ALL).await;
    let page = "/console/statistics";
    let empty = visit.get(page).await.expect(200).body;
    assert!(empty.contains("No rebuilds or scans yet"), "{empty}");
    let why = ("reason", "a new report");
    let backwards = [why, ("first", "2024-11-01"), ("last", "2024-10-01")];
    let (_, note) = told(&visit, page, &backwards).await;
    assert!(
        note.starts_with("bNothing was done: there are no days"),
        "{note}"
    );
    visit
        .send(page, &[why, ("first", "soon")])
        .await
        .expect(422);
    let (_, note) = told(&visit, page, &[why, ("first", "2024-10-01"), ("last", "")]).await;
    assert_eq!(note, "g1 days are rebuilt.");
    let running = visit.get(page).await.expect(200).body;
    assert!(
        running.contains("0 of 1") && running.contains("<progress"),
        "{running}"
    );
    let id: String = sqlx::query_scalar("select id::text from worker.statistics_runs")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let cancel = format!("{page}/{id}/cancel");
    let (_, note) = told(&visit, &cancel, &[why]).await;
    assert!(note.starts_with("gIt is ended"), "{note}");
    let (_, note) = told(&visit, &cancel, &[why]).await;
    assert!(note.starts_with("bIt had ended before"), "{note}");
    told(&visit, page, &[why]).await;
    statistics::recompute(world.pool(), &Settings::default(), world.now())
        .await
        .unwrap();
    let done = visit.get(page).await.expect(200).body;
    assert!(
        done.contains("1 of 1") && done.contains("canceled"),
        "{done}"
    );
    assert_eq!(world.audited("statistics.rebuild").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_arrive_is_sent_again() {
    let world = World::new().await;
    let made = notify(&world, &["failed", "delivered", "failed", "failed"]).await;
    let visit = world.visit(&Scope::ALL).await;
    let list = "/console/notifications";
    let failed = visit.get(list).await.expect(200).body;
    assert_eq!(
        failed.matches("the receiver answered 410").count(),
        3,
        "{failed}"
    );
    let one = format!("{list}/{}", made[0]);
    let shown = visit.get(&one).await.expect(200).body;
    assert!(
        shown.contains("Single 1") && shown.contains("given up"),
        "{shown}"
    );
    let why = ("reason", "the desk is back");
    let (_, note) = told(&visit, &format!("{one}/retry"), &[why]).await;
    assert_eq!(note, "gIt is sent again.");
    let (_, note) = told(&visit, &format!("{one}/dismiss"), &[why]).await;
    assert_eq!(note, "bNothing was done: it is pending.");
    let (_, note) = told(&visit, &format!("{list}/failed/dismiss"), &[why]).await;
    assert_eq!(note, "g2 notifications are dismissed.");
    let none = visit.get(list).await.expect(200).body;
    assert!(none.contains("Everything arrived"), "{none}");
    assert_eq!(world.audited("notification.dismiss").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_word_is_recorded_on_the_deliverys_page() {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    world.deliveries(1..2, &[platform]).await;
    let visit = world.visit(&Scope::ALL).await;
    let id: String = sqlx::query_scalar("select id::text from worker.deliveries")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let page = format!("/console/deliveries/{id}");
    let queued = visit.get(&page).await.expect(200).body;
    assert!(!queued.contains("The partner said"), "{queued}");
    sqlx::query("update worker.deliveries set state = 'sent'")
        .execute(world.pool())
        .await
        .unwrap();
    let sent = visit.get(&page).await.expect(200).body;
    assert!(
        sent.contains("The partner said") && !sent.contains("It never got it"),
        "{sent}"
    );
    let path = format!("{page}/acknowledge");
    let why = ("reason", "mail of Monday");
    visit.send(&path, &[why]).await.expect(422);
    let (_, note) = told(&visit, &path, &[why, ("word", "absent")]).await;
    assert!(
        note.starts_with("bIt is sent: that word means nothing"),
        "{note}"
    );
    let said = [
        why,
        ("word", "accepted"),
        ("partner_id", "NL-77"),
        ("url", ""),
    ];
    let (_, note) = told(&visit, &path, &said).await;
    assert_eq!(note, "gRecorded. It is accepted now.");
    let accepted = visit.get(&page).await.expect(200).body;
    assert!(
        accepted.contains("NL-77") && accepted.contains("mail of Monday"),
        "{accepted}"
    );
    let (_, note) = told(&visit, &path, &said).await;
    assert_eq!(note, "gThat was known already.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_scheduled_on_the_page_of_schedules() {
    let world = World::new().await;
    let platform = world.platform("Nordlys").await;
    world.deliveries(1..2, &[platform]).await;
    let visit = world.visit(&Scope::ALL).await;
    let page = "/console/schedules";
    let release: i32 = sqlx::query_scalar("select id from releases")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let (release, platform) = (release.to_string(), platform.to_string());
    let whole = [
        ("release", release.as_str()),
        ("platform", platform.as_str()),
        ("due", "2999-01-31T06:00"),
        ("reason", "pre-order"),
    ];
    let (_, note) = told(&visit, page, &whole).await;
    assert!(note.starts_with("gSchedule "), "{note}");
    let shown = visit.get("/console/schedules?day=2999-01-31").await;
    let shown = shown.expect(200).body;
    assert!(
        shown.contains("2999-01-31 06:00:00") && shown.contains("Nordlys"),
        "{shown}"
    );
    let without = [whole[0], whole[2], whole[3]];
    let (_, note) = told(&visit, page, &without).await;
    assert!(note.contains("at least one platform"), "{note}");
    let nowhere = [("release", "4711"), whole[1], whole[3]];
    let (_, note) = told(&visit, page, &nowhere).await;
    assert!(note.contains("no release 4711"), "{note}");
    for wrong in [("release", "x"), ("due", "soon")] {
        let fields = [wrong, whole[0], whole[1], whole[3]];
        visit.send(page, &fields).await.expect(422);
    }
    assert_eq!(world.audited("schedule.create").await.len(), 1);
}
