//! Several rows for one user and day.

use jobs::{
    audit::{self, By},
    statistics::{self, Settings},
};

use super::{
    expected::assert_right,
    site::{Site, day, now},
};

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_reported_and_merged_only_on_request() {
    let site = Site::create().await;
    site.sql(
        "insert into daily_stats (user_id, date, total_streams) values
             (1, '2026-01-04', 11), (1, '2026-01-04', 12), (1, '2026-01-04', 13), (4, '2026-01-04', 1)",
    )
    .await;
    site.usage(1, 3, 5, "1").await;
    site.recompute().await;
    let rows: Vec<(i32, i32)> =
        sqlx::query_as("select id, total_streams from daily_stats where user_id = 1 order by id")
            .fetch_all(site.pool())
            .await
            .unwrap();
    assert_eq!(rows, [(1, 11), (2, 12), (3, 5)], "the newest is right");
    let found = statistics::duplicates(site.pool(), 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].user_id, found[0].date), (1, day(3)));
    assert_eq!((found[0].newest, &found[0].others), (3, &vec![1, 2]));
    let status = statistics::status(site.pool()).await.unwrap();
    assert_eq!((status.duplicates, status.foreign_rows), (1, 1));

    let by = By::new("cli:ada", "they were added up").unwrap();
    let merged =
        statistics::merge_duplicates(site.pool(), &Settings::default(), &found, &by, now()).await;
    assert_eq!(merged.unwrap(), 1);
    let again =
        statistics::merge_duplicates(site.pool(), &Settings::default(), &found, &by, now()).await;
    assert_eq!(again.unwrap(), 0);
    site.sql("delete from daily_stats where user_id = 4").await;
    site.recompute().await;
    assert_right(site.pool()).await;
    let audit = audit::list(site.pool(), None, 10).await.unwrap();
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0].action, "statistics.merge_duplicates");
    let before = audit[0].before.as_ref().unwrap();
    assert_eq!(before[0]["total_streams"], 11);
}
