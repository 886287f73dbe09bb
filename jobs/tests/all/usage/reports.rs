//! Ordinary reports.

use jobs::{
    audit, statistics,
    usage::{self, FileState, UsageError},
};
use rust_decimal::Decimal;

use super::{Import, by, file, gzip, reasons, rows, site};
use crate::statistics::{expected::assert_right, site::now};

const REPORT: &str = "\
date,isrc,upc,territory,streams,downloads,revenue,currency
2026-05-04,DEA012600001,,de,100,0,1.00,EUR
2026-05-09,DE-A01-26-00005,,US,7,1,2.5,USD
2026-05-09,,842600000012,,3,,0.004,
2026-05-04,DEA012699999,,DE,1,0,1,EUR
2026-05-04,,842600000011,DE,1,0,1,EUR
2026-04-01,DEA012600001,,DE,1,0,1,EUR
2026-05-04,DEA012600001,,DE,1,0,99999999,EUR
2026-05-04,DEA012600001,,DE,many,0,1,EUR
";

#[tokio::test(flavor = "multi_thread")]
async fn lines_become_usage_at_the_rate_of_their_day() {
    let site = site().await;
    let report = file(REPORT);
    let import = Import::of(report.path());
    let rehearsed = usage::dry_run(site.pool(), &import.order(), now())
        .await
        .unwrap();
    assert!(rows(&site).await.is_empty(), "a dry run changes nothing");
    assert_eq!(rehearsed.problems.len(), 5);
    assert!(usage::files(site.pool(), None, 9).await.unwrap().is_empty());

    let imported = import.run(&site).await.unwrap();
    assert_eq!(
        rows(&site).await,
        [
            "1 1 2026-05-04 100 0 1.2500 DE",
            "5 1 2026-05-09 7 1 2.5000 US",
            "3 1 2026-05-09 3 0 0.0040 -",
        ]
    );
    let expected = [
        (5, "unknown_recording"),
        (6, "ambiguous_recording"),
        (7, "no_rate"),
        (8, "out_of_range"),
        (9, "unreadable"),
    ];
    assert_eq!(
        reasons(&site).await,
        expected.map(|(line, reason)| (line, reason.to_owned()))
    );
    assert_eq!(
        (imported.lines, imported.unmatched, imported.records),
        (3, 5, 8)
    );
    assert_eq!((imported.streams, imported.downloads), (110, 1));
    assert_eq!(imported.revenue, Decimal::new(37540, 4));
    assert_eq!(
        (imported.lines, imported.revenue),
        (rehearsed.lines, rehearsed.revenue)
    );
    let origins: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', record, amount, currency, rate, rate_date, rate_source)
         from worker.usage_lines join analytics on analytics.id = analytics_id order by record",
    )
    .fetch_all(site.pool())
    .await
    .unwrap();
    assert_eq!(
        origins,
        ["1 1.00 EUR 1.25 2026-05-01 ECB", "2 2.5 USD", "3 0.004"]
    );
    let audit = audit::list(site.pool(), None, 9).await.unwrap();
    assert_eq!(audit[0].action, "usage.import");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_days_of_a_report_are_recomputed_and_taken_back() {
    let site = site().await;
    let report = file(REPORT);
    let import = Import::of(report.path());
    let imported = import.run(&site).await.unwrap();
    let marks: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', date, user_id, source) from worker.dirty_days order by 1",
    )
    .fetch_all(site.pool())
    .await
    .unwrap();
    assert_eq!(
        marks,
        [
            "2026-05-04 1 import",
            "2026-05-09 2 import",
            "2026-05-09 3 import"
        ]
    );
    site.recompute().await;
    assert_right(site.pool()).await;
    let jobs: i64 =
        sqlx::query_scalar("select count(*) from worker.jobs where kind = 'statistics'")
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_eq!(jobs, 1);

    let again = import.run(&site).await;
    assert!(matches!(again, Err(UsageError::Known { .. })), "{again:?}");
    let packed = file(gzip(REPORT));
    let again = Import::of(packed.path()).run(&site).await;
    assert!(matches!(again, Err(UsageError::Known { .. })), "{again:?}");
    site.usage(1, 100, 5, "1").await;
    let id = imported.file.unwrap();
    let voided = usage::void(site.pool(), id, &by(), now()).await.unwrap();
    assert_eq!(voided.state, FileState::Voided);
    assert_eq!(rows(&site).await.len(), 1, "what came otherwise stays");
    site.recompute().await;
    assert_right(site.pool()).await;
    usage::void(site.pool(), id, &by(), now()).await.unwrap();

    let anew = Import::of(packed.path()).run(&site).await.unwrap();
    assert_ne!(anew.file, Some(id));
    site.recompute().await;
    assert_right(site.pool()).await;
    assert_eq!(statistics::status(site.pool()).await.unwrap().marks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_two_tracks_have_is_told_by_its_release() {
    let site = site().await;
    site.sql("update tracks set isrc = 'DEA0-12600001' where id = 3")
        .await;
    let report = file(
        "date,isrc,upc,streams\n2026-05-04,DEA012600001,0842600000012,5\n2026-05-04,DEA012600001,,5\n",
    );
    Import::of(report.path()).run(&site).await.unwrap();
    assert_eq!(rows(&site).await, ["3 1 2026-05-04 5 0 0.0000 -"]);
    assert_eq!(
        reasons(&site).await,
        [(3, "ambiguous_recording".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_not_there_is_refused() {
    let site = site().await;
    let report = file(REPORT);
    let mut import = Import::of(report.path());
    import.platform = 99;
    let refused = import.run(&site).await;
    assert!(
        matches!(refused, Err(UsageError::Platform(99))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_made_up_is_imported_whole() {
    let site = site().await;
    let isrcs = usage::isrcs(site.pool()).await.unwrap();
    let day = |text: &str| text.parse::<chrono::NaiveDate>().unwrap();
    let made = |seed| {
        let mut bytes = Vec::new();
        let plan = usage::Plan {
            isrcs: &isrcs,
            first_day: day("2026-04-01"),
            last_day: day("2026-04-30"),
            lines: 3000,
            seed,
        };
        usage::generate(&mut bytes, &plan).unwrap();
        bytes
    };
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
    let report = file(made(7));
    let imported = Import::of(report.path()).run(&site).await.unwrap();
    assert_eq!((imported.lines, imported.unmatched), (3000, 0));
    let (most, least, late, corrected, territories): (i64, i64, i64, i64, i64) = sqlx::query_as(
        "select count(*) filter (where track_id = 1), count(*) filter (where track_id = 6),
             count(*) filter (where date < '2026-04-01'), count(*) filter (where streams < 0),
             count(distinct territory) from analytics",
    )
    .fetch_one(site.pool())
    .await
    .unwrap();
    assert!(most > 5 * least && least > 0, "{most} and {least}");
    assert!(late > 5 && corrected > 5, "{late} and {corrected}");
    assert_eq!(territories, 11);
    statistics::recompute(site.pool(), &statistics::Settings::default(), now())
        .await
        .unwrap();
    assert_right(site.pool()).await;
}
