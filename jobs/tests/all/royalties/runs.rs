//! Runs: what they settle, what they leave, and that they add up.

use chrono::TimeDelta;
use jobs::royalty::{self, Refused, State};
use rust_decimal::Decimal;

use super::harness::{House, by, number, period};

#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_shared_out_to_the_last_unit() {
    let house = House::build().await;
    house
        .split(
            1,
            &[
                (2, "33.33", "active"),
                (3, "33.33", "accepted"),
                (4, "33.33", "pending"),
            ],
        )
        .await;
    house.sql("insert into revenue_shares (release_id, user_id, percentage, role, name, status, split_type)
               values (1, 5, 50, 'label', 'User 5', 'active', 'royalty'), (1, 6, 80, 'writer', 'User 6', 'active', 'publishing')").await;
    house.usage(1, 1, "2026-10-01", "DE", 1000, "4.0001").await;
    house.usage(1, 2, "2026-10-31", "de ", 500, "1.7500").await;
    house.usage(2, 1, "2026-10-15", "US", 10, "0.0401").await;
    house.usage(4, 1, "2026-10-15", "US", 10, "0.0400").await;
    // Not of this month.
    house.usage(1, 1, "2026-09-30", "DE", 1, "9").await;
    house.usage(1, 1, "2026-11-01", "DE", 1, "9").await;
    let run = house.run("2026-10").await;
    let totals = run.totals.clone().unwrap();
    assert_eq!(
        (totals.tracks, totals.set_aside, totals.calculations),
        (3, 0, 4)
    );
    assert_eq!((totals.revenue, totals.streams), (number("5.8302"), 1520));
    // Track 1: 5.7501 = 1.9165 + 1.9165 + 1.9165 and 0.0006 for the owner; its release's shares
    // do not count. Track 2: half of 0.0401, the odd unit to the smaller id. Track 4: all the owner's.
    assert_eq!(
        house.entries(run.id).await,
        [
            "1 residual 0.0607",
            "2 share 1.9165",
            "3 share 1.9165",
            "4 share_held 1.9165",
            "5 share 0.02",
        ]
    );
    let shown: Vec<(Option<i32>, String, i32, Decimal, String)> = sqlx::query_as(
        "select distribution_id, territory, streams, revenue, status from royalty_calculations
         where track_id = 1 order by platform_id, territory",
    )
    .fetch_all(house.pool())
    .await
    .unwrap();
    assert_eq!(
        shown,
        [
            (
                Some(1),
                "DE".to_owned(),
                1000,
                number("4.0001"),
                "pending".to_owned()
            ),
            (
                Some(2),
                "DE".to_owned(),
                500,
                number("1.75"),
                "pending".to_owned()
            ),
        ]
    );
    assert!(
        house.unsettled().await.len() > 1,
        "nothing is in the ledger yet"
    );
    house.finalise(run.id).await;
    let left = house.unsettled().await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(
        left.iter().all(|line| !line.starts_with("2026-10")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_input_gives_the_same_digests() {
    let house = House::build().await;
    for track in 1..=6 {
        house
            .split(track, &[(track, "12.34", "active"), (9, "50", "pending")])
            .await;
        house
            .usage(
                track,
                1,
                "2026-10-02",
                "DE",
                track * 17,
                &format!("{track}.00{track}7"),
            )
            .await;
    }
    let first = house.run("2026-10").await;
    // Usage changes meanwhile; the stored input does not.
    house.usage(1, 1, "2026-10-03", "DE", 3, "1").await;
    let again = |keep_input| {
        let house = &house;
        async move {
            royalty::recompute(
                house.pool(),
                first.id,
                keep_input,
                &house.settings,
                &by(),
                house.now(),
            )
            .await
            .unwrap();
            house.compute(first.id).await
        }
    };
    let kept = again(true).await;
    assert_eq!(kept.output_digest, first.output_digest);
    assert_eq!(kept.input_digest, first.input_digest);
    let read_again = again(false).await;
    assert_ne!(read_again.input_digest, first.input_digest);
    assert_eq!(
        read_again.totals.unwrap().revenue - number("1"),
        first.totals.unwrap().revenue
    );
    let rows: i64 = sqlx::query_scalar("select count(*) from royalty_calculations")
        .fetch_one(house.pool())
        .await
        .unwrap();
    assert_eq!(rows, 6, "the rows of earlier computations are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_corrected_and_deleted_usage_goes_into_the_next_run() {
    let house = House::build().await;
    house.split(1, &[(2, "50", "active")]).await;
    house.usage(1, 1, "2026-09-10", "DE", 100, "1.0001").await;
    house.usage(1, 2, "2026-09-11", "FR", 100, "2").await;
    house.usage(2, 1, "2026-09-12", "DE", 100, "3").await;
    house.settle("2026-09").await;
    assert_eq!(house.unsettled().await, [""; 0]);
    house.usage(1, 1, "2026-10-10", "DE", 100, "10").await;
    house.usage(1, 1, "2026-09-30", "SE", 7, "0.0003").await;
    house.sql("update analytics set revenue = 1.5 where track_id = 1 and platform_id = 2 and date = '2026-09-11';
               delete from analytics where track_id = 2").await;
    let run = house.run("2026-10").await;
    assert_eq!(run.totals.as_ref().unwrap().late_revenue, number("-3.4997"));
    let late: Vec<String> = sqlx::query_scalar(
        "select period || ' ' || track_id || ' ' || territory || ' ' || streams || ' ' || revenue
         from royalty_calculations where status = 'pending' order by 1",
    )
    .fetch_all(house.pool())
    .await
    .unwrap();
    assert_eq!(
        late,
        [
            "2026-09 1 FR 0 -0.5000",
            "2026-09 1 SE 7 0.0003",
            "2026-09 2 DE -100 -3.0000",
            "2026-10 1 DE 100 10.0000",
        ]
    );
    house.finalise(run.id).await;
    assert_eq!(house.unsettled().await, [""; 0]);
    // Nothing is left for a third.
    let third = house.settle("2026-11").await;
    assert_eq!(third.totals.unwrap().tracks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_shares_does_not_rewrite_the_past_and_may_fall_within_a_month() {
    let house = House::build().await;
    house.split(1, &[(2, "100", "active")]).await;
    house.usage(1, 1, "2026-09-10", "DE", 100, "1").await;
    house.usage(1, 1, "2026-10-10", "DE", 100, "2").await;
    house.usage(1, 1, "2026-10-20", "DE", 100, "4").await;
    // As the web application did it in the middle of October.
    house.sql("update worker.split_versions set captured_at = '2026-01-01';
               update revenue_shares set user_id = 3 where track_id = 1;
               update worker.split_versions set valid_from = '2026-10-15', captured_at = '2026-10-15' where valid_from > '2026-10-15'").await;
    house.settle("2026-09").await;
    let october = house.settle("2026-10").await;
    assert_eq!(
        (house.earned(2, 1).await, house.earned(3, 1).await),
        (number("3"), number("4"))
    );
    let rows = october.totals.unwrap().calculations;
    assert_eq!(rows, 1, "the web application shows both parts in one row");
    // Dated back: what is settled stays as it is until somebody asks for a revision.
    house.sql(r#"update revenue_shares set custom_terms = '{"valid_from": "2026-10-01"}', percentage = 99 where track_id = 1;
               update worker.split_versions set captured_at = '2027-01-01' where valid_from = '2026-10-01'"#).await;
    house.settle("2026-11").await;
    assert_eq!(
        (house.earned(2, 1).await, house.earned(3, 1).await),
        (number("3"), number("4"))
    );
    let revision = house.revise("2026-10").await;
    assert_eq!(revision.revision, 2);
    house.finalise(revision.id).await;
    assert_eq!(
        (
            house.earned(2, 1).await,
            house.earned(3, 1).await,
            house.earned(1, 1).await
        ),
        (number("1"), number("5.94"), number("0.06"))
    );
    assert_eq!(house.unsettled().await, [""; 0]);
    // A second revision finds nothing to share out; what user 2 had too much stays a debt.
    let again = house.revise("2026-10").await;
    assert_eq!(
        house.entries(again.id).await,
        ["2 carried_in -2", "2 carried_out 2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_cannot_be_settled_is_set_aside_and_settled_later() {
    let house = House::build().await;
    house
        .split(1, &[(2, "60", "active"), (3, "40.01", "pending")])
        .await;
    house.usage(1, 1, "2026-10-10", "DE", 100, "1").await;
    house.usage(2, 1, "2026-10-10", "DE", 100, "2").await;
    house
        .usage(3, 1, "2026-10-10", "DE", 2_000_000_000, "3")
        .await;
    house
        .usage(3, 1, "2026-10-11", "DE", 2_000_000_000, "3")
        .await;
    house.sql("with row as (insert into analytics (track_id, platform_id, date, revenue) values (4, 1, '2026-10-10', 0) returning id)
               insert into worker.usage_lines (file_id, record, analytics_id, currency, amount) select 0, id, id, 'XAU', 5 from row").await;
    let run = house.run("2026-10").await;
    let mut conn = house.pool().acquire().await.unwrap();
    let aside = royalty::set_aside(&mut conn, run.id, None, 10)
        .await
        .unwrap();
    let codes: Vec<(i32, &str)> = aside
        .iter()
        .map(|one| (one.track_id, one.code.as_str()))
        .collect();
    assert_eq!(
        codes,
        [(3, "too_large"), (1, "shares_over_100"), (4, "no_rate")]
    );
    assert!(aside[1].why.contains("100.01 percent"), "{}", aside[1].why);
    assert_eq!(run.totals.as_ref().unwrap().revenue, number("2"));
    let refused = royalty::finalise(house.pool(), run.id, false, &by(), house.now()).await;
    assert!(
        matches!(refused, Err(Refused::SetAside { count: 3, .. })),
        "{refused:?}"
    );
    house.finalise(run.id).await;
    house
        .split(1, &[(2, "60", "active"), (3, "40", "active")])
        .await;
    house
        .sql("delete from analytics where track_id = 3 and date = '2026-10-11'")
        .await;
    house
        .sql(
            "update worker.usage_lines set rate = 2, rate_source = 'ECB', rate_date = '2026-10-09';
               update analytics set revenue = 10 where track_id = 4",
        )
        .await;
    // A correction holds from its day on unless it says otherwise.
    house
        .sql(r#"update revenue_shares set custom_terms = '{"valid_from": "2026-10-01"}'"#)
        .await;
    let next = house.settle("2026-11").await;
    assert_eq!(next.totals.unwrap().set_aside, 0);
    assert_eq!(house.unsettled().await, [""; 0]);
    let gold: (String, Option<Decimal>, serde_json::Value) = sqlx::query_as(
        "select currency, exchange_rate, details from royalty_calculations where track_id = 4",
    )
    .fetch_one(house.pool())
    .await
    .unwrap();
    assert_eq!((gold.0.as_str(), gold.1), ("XAU", Some(number("2"))));
    assert_eq!(gold.2["original_amount"], "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_be_asked_for_again_and_goes_through_its_states() {
    let house = House::build().await;
    house.usage(1, 1, "2026-10-10", "DE", 100, "1").await;
    let early = royalty::start(
        house.pool(),
        period("2026-12"),
        &house.settings,
        &by(),
        house.now(),
    )
    .await;
    assert!(matches!(early, Err(Refused::NotOver(_))), "{early:?}");
    let (one, other) = tokio::join!(house.start("2026-10"), house.start("2026-10"));
    assert_eq!(one.run.id, other.run.id);
    assert!(one.is_new != other.is_new);
    let run = house.compute(one.run.id).await;
    let again = house.start("2026-10").await;
    assert_eq!((again.run.id, again.is_new), (run.id, false));
    let void = royalty::void(house.pool(), run.id, &by(), house.now())
        .await
        .unwrap();
    assert_eq!(void.state, State::Void);
    let status: String = sqlx::query_scalar("select status from royalty_calculations")
        .fetch_one(house.pool())
        .await
        .unwrap();
    assert_eq!(status, "void");
    let second = house.run("2026-10").await;
    assert_ne!(second.id, run.id);
    house.finalise(second.id).await;
    let refused = royalty::void(house.pool(), second.id, &by(), house.now()).await;
    assert!(matches!(refused, Err(Refused::State { .. })), "{refused:?}");
    let refused = royalty::recompute(
        house.pool(),
        second.id,
        true,
        &house.settings,
        &by(),
        house.now(),
    )
    .await;
    assert!(matches!(refused, Err(Refused::State { .. })), "{refused:?}");
    let error = sqlx::query("update worker.ledger_entries set amount = 2")
        .execute(house.pool())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("append-only"), "{error}");
    let audited: i64 =
        sqlx::query_scalar("select count(*) from worker.audit where object_kind = 'royalty_run'")
            .fetch_one(house.pool())
            .await
            .unwrap();
    assert_eq!(audited, 4, "two starts, one void, one final");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_a_report_are_estimated_and_trued_up() {
    let house = House::build().await;
    house.sql(r#"update distribution_platforms set format_specs = '{"reporting": "streams_only"}' where id = 2"#).await;
    house.usage(1, 2, "2026-10-10", "DE", 333, "0").await;
    house.usage(1, 1, "2026-10-10", "DE", 333, "0").await;
    let run = house.settle("2026-10").await;
    assert_eq!(run.totals.unwrap().revenue, number("1.1655"));
    let estimated: Vec<(i32, serde_json::Value)> =
        sqlx::query_as("select platform_id, details from royalty_calculations order by 1")
            .fetch_all(house.pool())
            .await
            .unwrap();
    assert_eq!(estimated[0].1.get("estimated"), None);
    assert_eq!(estimated[1].1["estimated"], true);
    house
        .sql("update analytics set revenue = 1 where platform_id = 2")
        .await;
    house.settle("2026-11").await;
    assert_eq!(house.unsettled().await, [""; 0]);
    assert_eq!(house.earned(1, 1).await, number("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_keeps_nothing() {
    let house = House::build().await;
    house.usage(1, 1, "2026-12-10", "DE", 100, "1.5").await;
    let (run, aside) = royalty::rehearse(
        house.pool(),
        period("2026-12"),
        &house.settings,
        &house.clock(),
    )
    .await
    .unwrap();
    assert_eq!(run.totals.unwrap().revenue, number("1.5"));
    assert_eq!(aside, []);
    for table in [
        "worker.royalty_runs",
        "worker.royalty_lines",
        "royalty_calculations",
    ] {
        let query = format!("select count(*) from {table}");
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(house.pool())
            .await
            .unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    house.pass(TimeDelta::days(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_is_deleted_keeps_what_it_earned() {
    let house = House::build().await;
    house.usage(1, 1, "2026-10-10", "DE", 100, "1").await;
    house.usage(2, 1, "2026-10-10", "DE", 100, "2").await;
    let run = house.run("2026-10").await;
    // Between what was read and what comes of it.
    royalty::recompute(
        house.pool(),
        run.id,
        true,
        &house.settings,
        &by(),
        house.now(),
    )
    .await
    .unwrap();
    house.sql("delete from tracks where id = 1").await;
    let run = house.compute(run.id).await;
    let totals = run.totals.unwrap();
    assert_eq!((totals.revenue, totals.calculations), (number("3"), 1));
    house.finalise(run.id).await;
    house.sql("delete from tracks where id = 2").await;
    house.settle("2026-11").await;
    let earned: Decimal = sqlx::query_scalar("select sum(amount) from worker.ledger_entries")
        .fetch_one(house.pool())
        .await
        .unwrap();
    assert_eq!(earned, number("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_usage_shows_what_it_was_reported_as() {
    let house = House::build().await;
    house.sql("with row as (insert into analytics (track_id, platform_id, date, revenue) values (4, 1, '2026-10-10', 10) returning id)
               insert into worker.usage_lines (file_id, record, analytics_id, amount, currency, rate, rate_date, rate_source)
               select 1, 1, id, 8, 'EUR', 1.25, '2026-10-09', 'ECB' from row").await;
    house.settle("2026-10").await;
    let shown: (String, Option<Decimal>, serde_json::Value) = sqlx::query_as(
        "select currency, exchange_rate, details from royalty_calculations where track_id = 4",
    )
    .fetch_one(house.pool())
    .await
    .unwrap();
    assert_eq!((shown.0.as_str(), shown.1), ("EUR", Some(number("1.25"))));
    assert_eq!(shown.2["original_amount"], "8");
}

/// What the second connection of a computation leaves where the first one's commit never came.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_broken_computation_left_counts_for_nothing() {
    let house = House::build().await;
    house.usage(1, 1, "2026-09-10", "DE", 100, "1").await;
    let september = house.settle("2026-09").await;
    house.usage(1, 1, "2026-09-11", "DE", 100, "2").await;
    let revision = royalty::revise(
        house.pool(),
        period("2026-09"),
        &house.settings,
        &by(),
        house.now(),
    )
    .await
    .unwrap();
    let (id, settled) = (revision.run.id, september.id);
    house
        .sql(&format!(
            r#"insert into worker.royalty_lines select (jsonb_populate_record(l, '{{"run_id": "{id}", "revenue": 2}}')).*
                   from worker.royalty_lines l where run_id = '{settled}';
               update worker.royalty_runs set calculation_ids = '[2,)' where id = '{id}';
               insert into royalty_calculations (track_id, period, royalty_type, calculation_date, revenue, details)
                   values (1, '2026-09', 'digital', now(), 2, '{{"run": "{id}"}}')"#
        ))
        .await;
    // The next month takes the late usage: nobody has settled it yet.
    let october = house.run("2026-10").await;
    assert_eq!(october.totals.unwrap().late_revenue, number("2"));
    royalty::void(house.pool(), october.id, &by(), house.now())
        .await
        .unwrap();
    let revision = house.compute(id).await;
    assert_eq!(revision.totals.unwrap().revenue, number("2"));
    let shown: Vec<Decimal> = sqlx::query_scalar(
        "select revenue from royalty_calculations where details ->> 'run' = $1::text and status = 'pending'",
    )
    .bind(id.to_string())
    .fetch_all(house.pool())
    .await
    .unwrap();
    assert_eq!(shown, [number("2")]);
    house.finalise(id).await;
    assert_eq!(house.unsettled().await, [""; 0]);
}

/// A computation that was cut off may have a transaction that is about to commit.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_computation_that_was_cut_off_still_commits_is_waited_for() {
    let house = House::build().await;
    house.usage(1, 1, "2026-10-01", "DE", 1000, "4").await;
    let run = house.start("2026-10").await.run.id;
    let mut left = house.pool().begin().await.unwrap();
    sqlx::raw_sql(
        "select pg_advisory_xact_lock_shared(hashtextextended('worker.royalty_lanes', 0))",
    )
    .execute(&mut *left)
    .await
    .unwrap();
    let (pool, clock) = (house.pool().clone(), house.clock());
    let computing = tokio::spawn(async move { royalty::compute(&pool, run, &clock).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!computing.is_finished());
    left.commit().await.unwrap();
    let computed = computing.await.unwrap().unwrap();
    assert_eq!(computed.totals.unwrap().revenue, number("4"));
}
