//! Rebuilds and scans over many days.

use jobs::{
    audit::By,
    queue::cron::Schedule,
    statistics::{self, Range, RunKind, RunState, Settings},
};

use super::{
    expected::{assert_right, found},
    site::{Site, day, now},
};

fn by() -> By {
    By::new("cli:ada", "after the restore").unwrap()
}

async fn filled() -> Site {
    let site = Site::create().await;
    site.without_triggers().await;
    for number in 0..30 {
        for track in [1, 3, 5, 6] {
            site.usage(track, number, 10 + track, "0.5").await;
        }
    }
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_writes_the_days_of_its_range() {
    let site = filled().await;
    let range = Range {
        first: day(10),
        last: day(19),
    };
    let run = statistics::rebuild(site.pool(), range, false, &by(), now())
        .await
        .unwrap();
    assert_eq!(
        (run.days_total, run.days_done, run.state),
        (10, 0, RunState::Running)
    );
    let jobs: i64 =
        sqlx::query_scalar("select count(*) from worker.jobs where kind = 'statistics'")
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_eq!(jobs, 1, "it begins at once");
    site.recompute().await;
    let run = statistics::run(site.pool(), run.id).await.unwrap();
    assert_eq!((run.days_done, run.state), (10, RunState::Completed));
    assert_eq!((run.looked_at, run.written), (40, 40));
    assert!(
        found(site.pool())
            .await
            .keys()
            .all(|(_, date)| (day(10)..=day(19)).contains(date))
    );
    statistics::rebuild(site.pool(), Range::ALL, false, &by(), now())
        .await
        .unwrap();
    site.recompute().await;
    assert_right(site.pool()).await;
    // What a rebuild of everything finds right it leaves alone.
    let run = statistics::rebuild(site.pool(), Range::ALL, false, &by(), now())
        .await
        .unwrap();
    let written = site.recompute().await;
    assert_eq!(
        (written.looked_at, written.inserted, written.updated),
        (120, 0, 0)
    );
    assert_eq!(
        statistics::run(site.pool(), run.id).await.unwrap().written,
        0
    );
}

/// Whatever had been done when it was killed is done, the rest is marked still.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_killed_goes_on() {
    let site = filled().await;
    let run = statistics::rebuild(site.pool(), Range::ALL, false, &by(), now())
        .await
        .unwrap();
    let mut kills = 0;
    loop {
        let progress = statistics::run(site.pool(), run.id).await.unwrap();
        if progress.state == RunState::Completed {
            break;
        }
        let pool = site.pool().clone();
        let working =
            tokio::spawn(
                async move { statistics::recompute(&pool, &Settings::default(), now()).await },
            );
        // Let it come one day further, and end its connection in the middle of another.
        loop {
            let now_done = statistics::run(site.pool(), run.id)
                .await
                .unwrap()
                .days_done;
            if now_done > progress.days_done || working.is_finished() {
                break;
            }
            tokio::task::yield_now().await;
        }
        kills += i32::from(!working.is_finished());
        site.sql(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'",
        )
        .await;
        working.abort();
    }
    assert!(kills > 0);
    site.recompute().await;
    assert_right(site.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_all_that_is_left_stay_unless_pruned() {
    let site = filled().await;
    site.sql("insert into daily_stats (user_id, date, total_streams) values (4, '2025-01-01', 77)")
        .await;
    statistics::rebuild(site.pool(), Range::ALL, false, &by(), now())
        .await
        .unwrap();
    site.recompute().await;
    assert_eq!(
        statistics::status(site.pool()).await.unwrap().foreign_rows,
        1
    );
    statistics::rebuild(site.pool(), Range::ALL, true, &by(), now())
        .await
        .unwrap();
    site.recompute().await;
    assert_eq!(
        statistics::status(site.pool()).await.unwrap().foreign_rows,
        0
    );
    assert_right(site.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_canceled_marks_nothing_more() {
    let site = filled().await;
    let run = statistics::rebuild(site.pool(), Range::ALL, false, &by(), now())
        .await
        .unwrap();
    assert!(
        statistics::cancel(site.pool(), run.id, &by(), now())
            .await
            .unwrap()
    );
    assert!(
        !statistics::cancel(site.pool(), run.id, &by(), now())
            .await
            .unwrap()
    );
    assert_eq!(site.recompute().await.looked_at, 0);
    let run = statistics::run(site.pool(), run.id).await.unwrap();
    assert_eq!(run.state, RunState::Canceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_scan_at_a_time_and_an_empty_one_ends_at_once() {
    let site = Site::create().await;
    let empty = statistics::scan(site.pool(), now()).await.unwrap();
    assert_eq!((empty.state, empty.days_total), (RunState::Completed, 0));
    site.usage(1, 3, 5, "1").await;
    let first = statistics::scan(site.pool(), now()).await.unwrap();
    let second = statistics::scan(site.pool(), now()).await.unwrap();
    assert_eq!((first.id, first.kind), (second.id, RunKind::Scan));
    site.recompute().await;
    let runs = statistics::runs(site.pool(), None, 10).await.unwrap();
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run.state == RunState::Completed));
}

#[test]
fn both_jobs_have_a_cron_entry() {
    let schedule = || Schedule::new("* * * * *").unwrap();
    for (entry, kind) in [
        (statistics::entry(schedule()), "statistics"),
        (statistics::scan_entry(schedule()), "statistics_scan"),
    ] {
        let job = (entry.job)(now()).unwrap();
        assert_eq!(
            (entry.name, job.kind, job.queue.as_str()),
            (kind, kind, "statistics")
        );
    }
}
