//! A database in which the web application made its tables: compared, taken over, delivered from.

use platform_adapters::sandbox::Misbehaviours;
use sqlx::raw_sql;
use test_support::TestDatabase;

use super::site::{Site, assert_received_once};

/// What `drizzle-kit push` makes of the web application's schema.
const PUSHED: &str = include_str!("../drizzle/pushed.sql");

/// A site whose database is as the web application left it.
async fn pushed() -> Site {
    let database = TestDatabase::empty().await;
    raw_sql(PUSHED).execute(database.pool()).await.unwrap();
    Site::with(database).await
}

/// Every column in `public`, with all that is to be known of it.
async fn columns(site: &Site) -> Vec<String> {
    sqlx::query_scalar(
        "select to_jsonb(c)::text from information_schema.columns c
         where table_schema = 'public' order by table_name, ordinal_position",
    )
    .fetch_all(site.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_drizzle_pushed_are_adopted_and_delivered_from() {
    let site = pushed().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let platform = site.api_platform("Fjordwave", partner.url()).await;
    let releases = site.scheduled(1..3, &[platform]).await;
    let before = columns(&site).await;

    let refused = site.cli(&["run"]).await;
    refused.expect(78, &["run `tunemantra-worker migrate`"]);
    let migrated = site.cli(&["migrate"]).await;
    migrated.expect(0, &["nothing was changed", "worker: applied 0001"]);
    let again = site.cli(&["migrate"]).await;
    again.expect(0, &["nothing was changed", "worker: up to date"]);
    assert_eq!(columns(&site).await, before);

    let daemon = site.daemon("daemon.log");
    for release in releases {
        site.until_state(release, platform, "accepted").await;
    }
    site.stop(daemon).await;
    assert_received_once(partner.ledger(), 2);
    let statuses: Vec<String> =
        sqlx::query_scalar("select distinct status::text from distribution_records")
            .fetch_all(site.pool())
            .await
            .unwrap();
    assert_eq!(statuses, ["distributed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_do_not_fit_are_refused_with_the_whole_list() {
    let site = pushed().await;
    raw_sql(
        "alter table releases drop column upc;
         alter table tracks alter column duration type text;
         drop table distribution_records cascade;",
    )
    .execute(site.pool())
    .await
    .unwrap();
    let before = columns(&site).await;
    let refused = site.cli(&["migrate"]).await;
    refused.expect(
        78,
        &["releases.upc", "tracks.duration", "distribution_records"],
    );
    assert_eq!(columns(&site).await, before);
    site.cli(&["run"]).await.expect(78, &["migrate"]);
}
