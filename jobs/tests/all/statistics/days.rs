//! What a day says, and what makes it say something else.

use std::sync::Arc;

use chrono::NaiveDate;
use jobs::statistics::{self, Range, Settings, Written};
use serde_json::json;

use super::{
    expected::{assert_right, expected},
    site::{Site, day, now},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_day_says_where_its_usage_came_from() {
    let site = Site::create().await;
    site.usage(1, 9, 40, "0.1200").await;
    site.usage(1, 10, 100, "0.3456").await;
    site.usage(2, 10, 50, "0.1").await;
    site.usage(3, 10, 7, "0.02").await;
    site.recompute().await;
    let row: (
        i32,
        String,
        serde_json::Value,
        serde_json::Value,
        serde_json::Value,
    ) = sqlx::query_as(
        "select total_streams, total_revenue::text, platform_breakdown, release_performance,
                 trend_data from daily_stats where user_id = 1 and date = $1",
    )
    .bind(day(10))
    .fetch_one(site.pool())
    .await
    .unwrap();
    assert_eq!((row.0, row.1.as_str()), (150, "0.4456"));
    let all = json!({"streams": 150, "downloads": 2, "revenue": "0.4456"});
    let mut platform = all.clone();
    platform["name"] = json!("Nordlys");
    assert_eq!(row.2, json!({"1": platform}));
    let mut release = all.clone();
    release["name"] = json!("First \\ release");
    assert_eq!(row.3, json!({"1": release}));
    assert_eq!(
        row.4,
        json!({
            "totals": all,
            "day_before": {"streams": 110, "downloads": 1, "revenue": "0.3256",
                "streams_percent": "275.00", "revenue_percent": "271.33"},
            "same_weekday": {"streams": 150, "downloads": 2, "revenue": "0.4456",
                "streams_percent": null, "revenue_percent": null},
            "average_7_days": {"streams": "27.1429", "downloads": "0.4286", "revenue": "0.0808"},
            "average_28_days": {"streams": "6.7857", "downloads": "0.1071", "revenue": "0.0202"},
            "with_sub_labels": {"streams": 157, "downloads": 3, "revenue": "0.4656"},
            "sub_labels": {"2": {"name": "Two", "streams": 7, "downloads": 1, "revenue": "0.0200"}},
        })
    );
    assert_right(site.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_column_cannot_hold_is_in_the_totals() {
    let site = Site::create().await;
    for track in [1, 2] {
        site.usage(track, 3, 2_000_000_000, "99999999.9999").await;
    }
    site.usage(6, 3, 1, "'NaN'").await;
    site.recompute().await;
    let days = statistics::days(site.pool(), 1, Range::ALL).await.unwrap();
    assert_eq!((days[0].total_streams, days[0].total_revenue), (None, None));
    assert_eq!(days[0].trend_data.totals.streams, 4_000_000_000);
    assert_eq!(
        days[0].trend_data.totals.revenue.to_string(),
        "199999999.9998"
    );
    assert_right(site.pool()).await;
}

/// Each change is found by the triggers alone, and without them by a scan.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_follows_whatever_changes_it() {
    for has_triggers in [true, false] {
        let site = Site::create().await;
        if !has_triggers {
            site.without_triggers().await;
        }
        for number in 0..40 {
            site.usage(1 + (number % 6) as i32, number, 10 + number as i32, "1.5")
                .await;
        }
        let changes = [
            "select 1",
            "update analytics set streams = streams + 5 where id = 3",
            "update analytics set territory = 'US' where id = 4",
            "update analytics set platform_id = 2 where id = 5",
            // Between two lines of one user and day, so that no sum changes.
            "insert into analytics (track_id, platform_id, date, streams, territory)
                 values (1, 1, '2026-01-20', 5, 'DE'), (2, 1, '2026-01-20', 5, 'FR')",
            "update analytics set territory = case territory when 'DE' then 'FR' else 'DE' end
                 where date = '2026-01-20' and revenue is null",
            "update analytics set date = '2026-01-02', track_id = 3 where id = 6",
            "delete from analytics where id in (7, 8)",
            "update tracks set user_id = 4 where id = 1",
            "update tracks set title = 'Anders' where id = 2",
            "update users set parent_label_id = 4 where id = 2",
            "update users set parent_label_id = null where id = 3",
            "delete from tracks where id = 5",
            "truncate analytics",
        ];
        for change in changes {
            site.sql(change).await;
            if has_triggers {
                site.recompute().await;
            } else {
                site.scan().await;
            }
            println!("{change} (triggers: {has_triggers})");
            assert_right(site.pool()).await;
        }
        assert!(expected(site.pool()).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_finds_what_no_trigger_tells() {
    let site = Site::create().await;
    for number in 0..10 {
        site.usage(1 + (number % 6) as i32, number, 10, "1.5").await;
    }
    site.scan().await;
    assert_right(site.pool()).await;
    let changes = [
        "update distribution_platforms set name = 'Südlys' where id = 1",
        "update releases set title = 'Erste' where id = 1",
        "update daily_stats set total_streams = 1 where user_id = 1",
        "delete from daily_stats where user_id = 2",
        // A restore, or replication, for which no trigger fires.
        "set session_replication_role = replica; delete from analytics where id < 4;
         reset session_replication_role",
    ];
    for change in changes {
        site.sql(change).await;
        assert_ne!(site.scan().await, Written::default(), "{change}");
        println!("{change}");
        assert_right(site.pool()).await;
        let again = site.scan().await;
        assert_eq!(again.looked_at, 0, "nothing more to find after {change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_twice() {
    let site = Site::create().await;
    for number in 0..10 {
        site.usage(1, number, 10, "1.5").await;
    }
    let first = site.recompute().await;
    assert_eq!((first.inserted, first.updated), (10, 0));
    // Marked, and the same as before.
    site.sql("update analytics set demographic_data = '{}'")
        .await;
    let second = site.recompute().await;
    assert_eq!(
        (second.looked_at, second.inserted, second.updated),
        (10, 0, 0)
    );
    assert_eq!(site.recompute().await, Written::default());
    let ids: i64 = sqlx::query_scalar("select last_value from daily_stats_id_seq")
        .fetch_one(site.pool())
        .await
        .unwrap();
    assert_eq!(ids, 10, "no ids were used up");
}

/// A late line changes the trends of the 28 days after, and nothing else there.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_day_changes_the_trends_after_it() {
    let site = Site::create().await;
    for number in 10..80 {
        site.usage(1, number, 10, "1.5").await;
    }
    site.recompute().await;
    site.usage(2, 20, 1000, "50").await;
    let written = site.recompute().await;
    assert_eq!(
        (written.looked_at, written.updated, written.trends),
        (1, 1, 27)
    );
    assert_right(site.pool()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_out_of_reach_stand_in_nobodys_way() {
    let site = Site::create().await;
    site.sql(
        "insert into analytics (track_id, date, streams) values
             (1, 'infinity', 1), (1, '-infinity', 1), (1, '20000-01-01', 1), (1, '0044-03-15 BC', 1)",
    )
    .await;
    site.usage(1, 3, 5, "1").await;
    site.recompute().await;
    site.scan().await;
    let dates: Vec<NaiveDate> = sqlx::query_scalar("select date from daily_stats")
        .fetch_all(site.pool())
        .await
        .unwrap();
    assert_eq!(dates, [day(3)]);
}

/// Recomputing takes nothing from writers that are not done yet: what they mark stays marked.
#[tokio::test(flavor = "multi_thread")]
async fn writers_and_several_recomputing_daemons_lose_nothing() {
    let site = Arc::new(Site::create().await);
    let writers = (0..4).map(|writer: i32| {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            for number in 0..40 {
                let mut tx = site.pool().begin().await.unwrap();
                for track in [1, 3, 6] {
                    sqlx::query(
                        "insert into analytics (track_id, platform_id, date, streams, revenue)
                         values ($1, $2, $3, 3, 0.25)",
                    )
                    .bind(track)
                    .bind(1 + writer % 3)
                    .bind(day(number % 5))
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                    tokio::task::yield_now().await;
                }
                tx.commit().await.unwrap();
            }
        })
    });
    let daemons = (0..2).map(|_| {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            for _ in 0..30 {
                statistics::recompute(site.pool(), &Settings::default(), now())
                    .await
                    .unwrap();
            }
        })
    });
    for task in writers.chain(daemons).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    site.recompute().await;
    assert_right(site.pool()).await;
}

/// More users on a day than one statement takes, labels among them.
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_no_limit() {
    let site = Site::create().await;
    for number in 0..12 {
        for track in 1..=6 {
            site.usage(track, number, 10 + track, "0.5").await;
        }
    }
    let small = Settings {
        batch_user_days: 2,
        ..Settings::default()
    };
    statistics::recompute(site.pool(), &small, now())
        .await
        .unwrap();
    assert_right(site.pool()).await;
    site.sql("update analytics set streams = 1").await;
    statistics::scan(site.pool(), now()).await.unwrap();
    statistics::recompute(site.pool(), &small, now())
        .await
        .unwrap();
    assert_right(site.pool()).await;
}

/// A trigger that cannot do its part keeps nobody from writing.
#[tokio::test(flavor = "multi_thread")]
async fn the_web_application_writes_on_though_marks_cannot_be_kept() {
    let site = Site::create().await;
    site.sql("alter table worker.dirty_days rename to elsewhere")
        .await;
    site.usage(1, 3, 5, "1").await;
    site.sql("update tracks set user_id = 4 where id = 1; update users set parent_label_id = null; delete from analytics; truncate analytics")
        .await;
    assert!(expected(site.pool()).await.is_empty());
}
