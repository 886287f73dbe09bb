//! Imports that are cut off, and two at once.

use std::sync::atomic::{AtomicU64, Ordering};

use jobs::usage::{self, FileState, UsageError};

use super::{Import, by, file, rows, site};
use crate::statistics::{expected::assert_right, site::now};

fn report(lines: usize) -> String {
    let mut report = String::from("date,isrc,streams,revenue,currency\n");
    for number in 0..lines {
        report += &format!(
            "2026-05-{:02},DEA01260000{},{number},0.01,EUR\n",
            1 + number % 14,
            1 + number % 7
        );
    }
    report
}

async fn state(site: &crate::statistics::site::Site) -> (FileState, i64, i64, i64) {
    let file = usage::files(site.pool(), None, 1).await.unwrap().remove(0);
    (
        file.state,
        file.records_done,
        file.lines_imported,
        file.lines_aside,
    )
}

/// Its connections end at any moment, and the next call goes on: every line is there once.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_goes_on() {
    let site = site().await;
    let report = file(report(2000));
    let mut import = Import::of(report.path());
    import.settings.batch_lines = 50;
    let mut kills = 0;
    for limit in [3, 7, 12, 20, 31] {
        let batches = AtomicU64::new(0);
        let order = import.order();
        let by = by();
        let importing = usage::import(site.pool(), &order, &by, now(), |_, _| {
            batches.fetch_add(1, Ordering::Relaxed);
        });
        // Dropped in the middle of a batch, or its connection is ended there.
        tokio::select! {
            ended = importing => {
                assert!(ended.is_err() || limit > 30);
                kills += i32::from(ended.is_err());
            }
            () = async {
                while batches.load(Ordering::Relaxed) < limit % 8 + 1 {
                    tokio::task::yield_now().await;
                }
                if limit % 2 == 0 {
                    site.sql("select pg_terminate_backend(pid, 5000) from pg_stat_activity
                              where datname = current_database() and pid <> pg_backend_pid()").await;
                }
            } => kills += 1,
        }
        let (state, done, lines, aside) = state(&site).await;
        assert_eq!((state, done), (FileState::Importing, lines + aside));
        assert_eq!(rows(&site).await.len(), usize::try_from(lines).unwrap());
    }
    assert!(kills > 3);
    let other = Import {
        platform: 2,
        ..Import::of(report.path())
    };
    let refused = other.run(&site).await;
    assert!(
        matches!(refused, Err(UsageError::Otherwise { .. })),
        "{refused:?}"
    );
    let done = import.run(&site).await.unwrap();
    // The seventh ISRC is nobody's.
    assert_eq!((done.lines, done.unmatched), (1715, 285));
    assert_eq!(rows(&site).await.len(), 1715);
    assert_eq!(state(&site).await.0, FileState::Imported);
    let origins: i64 =
        sqlx::query_scalar("select count(distinct analytics_id) from worker.usage_lines")
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_eq!(origins, 1715);
    site.recompute().await;
    assert_right(site.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_import_the_same_file_at_once_import_it_once() {
    let site = site().await;
    let report = file(report(700));
    let mut import = Import::of(report.path());
    import.settings.batch_lines = 20;
    let (one, other) = tokio::join!(import.run(&site), import.run(&site));
    let errors = [one, other].into_iter().filter_map(Result::err).count();
    assert!(errors >= 1);
    // Each may have stopped at the other's progress.
    match import.run(&site).await {
        Ok(_) | Err(UsageError::Known { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert_eq!(rows(&site).await.len(), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_import_can_be_voided() {
    let site = site().await;
    let report = file(report(500));
    let mut import = Import::of(report.path());
    import.settings.batch_lines = 20;
    let batches = AtomicU64::new(0);
    let order = import.order();
    let by = by();
    tokio::select! {
        _ = usage::import(site.pool(), &order, &by, now(), |_, _| {
            batches.fetch_add(1, Ordering::Relaxed);
        }) => panic!("it was to be cut off"),
        () = async {
            while batches.load(Ordering::Relaxed) < 5 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    let id = usage::files(site.pool(), None, 1).await.unwrap()[0].id;
    site.sql("delete from analytics where id % 3 = 0").await;
    usage::void(site.pool(), id, &by, now()).await.unwrap();
    assert!(rows(&site).await.is_empty());
    site.recompute().await;
    assert_right(site.pool()).await;
}
