//! Rows that cannot be delivered: each ends in a clear state, and the others go on.

use test_support::catalogue;

use super::harness::World;

/// Spoils release 1 with `sql`, delivers it and release 2, and gives the sentence in release 1's
/// record.
async fn spoiled(sql: &str) -> String {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let good = world.release(2).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.replace("$1", &release.to_string())))
        .execute(world.pool())
        .await
        .unwrap();
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    let other = catalogue::schedule(world.pool(), good, &[platform]).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "failed", "{sql}");
    assert_eq!(world.decided(other).await, "completed", "{sql}");
    world.stop().await;
    assert_eq!(
        world.partner.deliveries(),
        1,
        "nothing of the spoiled release was sent: {sql}"
    );
    let error: String =
        sqlx::query_scalar("select error_details from distribution_records where release_id = $1")
            .bind(release)
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert!(
        error.contains("Single 1") && error.contains("Nordlys"),
        "{error}"
    );
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_that_cannot_be_sent_say_why() {
    for (sql, words) in [
        ("delete from tracks where release_id = $1", "track"),
        ("update tracks set audio_file = null where release_id = $1", "audio_file"),
        ("update tracks set audio_file = '1/none.wav' where release_id = $1", "1/none.wav"),
        ("update tracks set audio_file = '../../etc/passwd' where release_id = $1", "../../etc/passwd"),
        ("update releases set upc = '842000000019' where id = $1", "check digit"),
        ("update tracks set isrc = 'DE-TOO-SHORT' where release_id = $1", "ISRC"),
        ("update releases set status = 'draft' where id = $1", "has status \"draft\""),
        ("update releases set metadata = '{\"p_line\": 7}' where id = $1", "metadata.p_line"),
        (
            "insert into rights_management (release_id, user_id, ownership_type, verification_status)
             select $1, user_id, 'original', 'rejected' from releases where id = $1",
            "rejected",
        ),
    ] {
        let error = spoiled(sql).await;
        assert!(error.contains(words), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_that_cannot_be_used_are_refused_and_the_others_go_on() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let good = catalogue::platform(world.pool(), "Good").await;
    let inactive = catalogue::platform(world.pool(), "Asleep").await;
    let albums = catalogue::platform(world.pool(), "Albums").await;
    let broken = catalogue::platform(world.pool(), "Broken").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "update distribution_platforms set status = 'inactive' where id = {inactive};
         update distribution_platforms set supported_content = '{{Album}}' where id = {albums};
         update distribution_platforms set delivery_method = 'telex' where id = {broken};"
    )))
    .execute(world.pool())
    .await
    .unwrap();
    let mixed = catalogue::schedule(world.pool(), release, &[good, inactive, albums, 4711]).await;
    let empty = catalogue::schedule(world.pool(), release, &[]).await;
    let unusable = catalogue::schedule(world.pool(), release, &[broken]).await;
    world.start();
    assert_eq!(world.decided(mixed).await, "partial");
    assert_eq!(world.decided(empty).await, "failed");
    world.until_delivery_of(broken, "held").await;
    world.stop().await;

    let failed: serde_json::Value =
        sqlx::query_scalar("select failed_platforms from scheduled_distributions where id = $1")
            .bind(mixed)
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(failed["4711"]["code"], "platform_unknown");
    assert_eq!(failed[inactive.to_string()]["code"], "platform_inactive");
    assert_eq!(failed[albums.to_string()]["code"], "content_unsupported");
    assert!(
        failed[albums.to_string()]["message"]
            .as_str()
            .unwrap()
            .contains("\"Single 1\" to Albums"),
        "{failed}"
    );
    let failed: serde_json::Value =
        sqlx::query_scalar("select failed_platforms from scheduled_distributions where id = $1")
            .bind(empty)
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(failed["0"]["code"], "no_platforms");
    let status: String =
        sqlx::query_scalar("select status from scheduled_distributions where id = $1")
            .bind(unusable)
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(
        status, "processing",
        "it waits for the platform to be mended"
    );
}
