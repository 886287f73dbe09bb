//! Lines that were not imported, and are when the catalogue or the rates have changed.

use std::sync::Arc;

use jobs::{
    audit, clock,
    queue::{Registry, cron::Schedule},
    usage::{self, Rematched, Settings},
};

use super::{Import, by, file, reasons, rows, site};
use crate::cron::run_once;
use crate::statistics::{
    expected::assert_right,
    site::{Site, now},
};

const REPORT: &str = "\
date,isrc,upc,territory,streams,downloads,revenue,currency,note
2026-05-04,DEA012600001,,de,100,0,1.00,EUR,matched
2026-05-05,DE-A01-26-99999,,fr,7,1,2.50,EUR,\"no, track\"
2026-05-06,,842600000099,,3,0,0.004,,no release
2026-04-01,DEA012600001,,DE,5,0,1,EUR,no rate
2026-05-04,DEA012688888,,DE,9,0,1,USD,never
2026-05-04,DEA012600001,,DE,many,0,1,EUR,unreadable
";

async fn rematch(site: &Site, file: Option<i32>, batch_lines: u32) -> Rematched {
    let settings = Settings {
        batch_lines,
        ..Settings::default()
    };
    let royalties = Default::default();
    usage::rematch(site.pool(), file, &settings, &royalties, &by(), now())
        .await
        .unwrap()
}

async fn origins(site: &Site) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', record, amount, currency, rate, rate_date, rate_source)
         from worker.usage_lines join analytics on analytics.id = analytics_id order by record",
    )
    .fetch_all(site.pool())
    .await
    .unwrap()
}

/// The catalogue gets the recording and the release, and rates of the month before come.
async fn complete(site: &Site) {
    site.sql(
        "update tracks set isrc = 'DEA012699999' where id = 4;
         update releases set upc = '0842600000099' where id = 2;
         insert into worker.exchange_rates (base, quote, date, rate, source, imported_at)
             values ('EUR', 'USD', '2026-03-31', 1.1, 'ECB', now())",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_night_somebody_looks_again() {
    let site = site().await;
    let report = file(REPORT);
    Import::of(report.path()).run(&site).await.unwrap();
    complete(&site).await;
    let before = rows(&site).await.len();
    let services = usage::Services {
        pool: site.pool().clone(),
        clock: clock::system(),
        settings: Arc::default(),
        royalties: Arc::default(),
    };
    let registry = Registry::new().with::<usage::Rematch>(services).unwrap();
    let entry = usage::entry(Schedule::new("50 3 * * *").unwrap());
    run_once(site.pool(), registry, &entry).await;
    assert!(rows(&site).await.len() > before);
    let actor: String =
        sqlx::query_scalar("select actor from worker.audit where action = 'usage.rematch'")
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_eq!(actor, "cron:usage_rematch");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_imported_as_they_would_have_been() {
    for batch_lines in [1, 2, 20_000] {
        let site = site().await;
        let report = file(REPORT);
        let imported = Import::of(report.path()).run(&site).await.unwrap();
        site.recompute().await;
        assert_eq!((imported.lines, imported.unmatched), (1, 5));
        let nothing = rematch(&site, None, batch_lines).await;
        assert_eq!(
            (nothing.looked_at, nothing.lines, nothing.unmatched),
            (4, 0, 5)
        );
        complete(&site).await;
        let found = rematch(&site, imported.file, batch_lines).await;
        assert_eq!((found.looked_at, found.lines, found.unmatched), (4, 3, 2));
        assert_eq!((found.streams, found.downloads), (15, 1));
        assert_eq!(found.files, [imported.file.unwrap()]);
        let left = [(6, "unknown_recording"), (7, "unreadable")];
        assert_eq!(
            reasons(&site).await,
            left.map(|(line, reason)| (line, reason.to_owned()))
        );
        assert_eq!(
            audit::list(site.pool(), None, 9).await.unwrap()[0].action,
            "usage.rematch"
        );
        site.recompute().await;
        assert_right(site.pool()).await;

        // The same as if the file came only now.
        let whole = super::site().await;
        complete(&whole).await;
        let at_once = Import::of(report.path()).run(&whole).await.unwrap();
        let sorted = async |site: &Site| {
            let mut rows = rows(site).await;
            rows.sort();
            rows
        };
        assert_eq!(sorted(&site).await, sorted(&whole).await);
        assert_eq!(origins(&site).await, origins(&whole).await);
        let kept = usage::files(site.pool(), None, 1).await.unwrap().remove(0);
        assert_eq!(
            (kept.lines_imported, kept.lines_aside, kept.records_done),
            (at_once.lines, at_once.unmatched, 6)
        );
        assert_eq!(
            (kept.streams, kept.revenue, kept.first_day),
            (at_once.streams, at_once.revenue, at_once.first_day)
        );
        usage::void(site.pool(), kept.id, &by(), now())
            .await
            .unwrap();
        assert!(rows(&site).await.is_empty(), "all of it can be taken back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_and_by_however_many_each_line_is_imported_once() {
    let site = site().await;
    let mut content = String::from("date,isrc,streams\n");
    for number in 0..400 {
        content += &format!("2026-05-{:02},DEA012699999,{number}\n", 1 + number % 14);
    }
    let report = file(content);
    Import::of(report.path()).run(&site).await.unwrap();
    complete(&site).await;
    // Cut off amid its work.
    {
        let settings = Settings {
            batch_lines: 20,
            ..Settings::default()
        };
        let royalties = Default::default();
        let by = by();
        tokio::select! {
            _ = usage::rematch(site.pool(), None, &settings, &royalties, &by, now()) => {
                panic!("it was to be cut off")
            }
            () = async {
                while rows(&site).await.len() < 40 {}
            } => {}
        }
    }
    let (one, other) = tokio::join!(rematch(&site, None, 30), rematch(&site, None, 30));
    assert_eq!(rows(&site).await.len(), 400);
    assert!(one.lines + other.lines <= 360);
    assert_eq!(rematch(&site, None, 30).await, Rematched::default());
    let kept = usage::files(site.pool(), None, 1).await.unwrap().remove(0);
    assert_eq!((kept.lines_imported, kept.lines_aside), (400, 0));
    let told: i64 = sqlx::query_scalar(
        "select sum((after ->> 'lines')::bigint)::bigint from worker.audit where action = 'usage.rematch'",
    )
    .fetch_one(site.pool())
    .await
    .unwrap();
    assert_eq!(told, 400);
    site.recompute().await;
    assert_right(site.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voided_file_stays_voided() {
    let site = site().await;
    let report = file(REPORT);
    let imported = Import::of(report.path()).run(&site).await.unwrap();
    let id = imported.file.unwrap();
    usage::void(site.pool(), id, &by(), now()).await.unwrap();
    complete(&site).await;
    assert_eq!(rematch(&site, Some(id), 10).await, Rematched::default());
    assert!(rows(&site).await.is_empty());
}
