//! A partner that takes batches: two daemons on one database fill and close them.

use platform_adapters::sandbox::SftpKind;
use serde_json::json;

use super::{
    processes::until,
    site::{Site, assert_received_once, sftp_credentials},
};

#[tokio::test(flavor = "multi_thread")]
async fn ten_releases_in_batches_of_four_are_taken_once_each() {
    let site = Site::new().await;
    let partner = site.sftp("batches", SftpKind::Ddex).await;
    let specs = json!({"confirmation": "folder", "ddex": {
        "choreography": "batch",
        "batch": {"releases": 4, "age_s": 8},
        "sender_dpid": "PADPIDA2026112301T",
        "recipient_dpid": "PADPIDA2026112302L",
    }});
    let credentials = sftp_credentials(&partner, partner.host_key());
    let platform = site
        .platform("Batches", "ddex", &partner.endpoint(), credentials, specs)
        .await;
    let releases = site.scheduled(1..11, &[platform]).await;
    let daemons = [site.daemon("one.log"), site.daemon("two.log")];

    // The last two wait for nobody: their batch is closed by its age.
    until("a delivery waits for its batch", || async {
        let waiting = site
            .cli(&["deliveries", "list", "--state", "batched"])
            .await;
        waiting.stdout.contains("batched").then_some(())
    })
    .await;
    site.until_accepted(10).await;
    assert_received_once(partner.ledger(), 10);
    let batches: Vec<(String, i64)> = sqlx::query_as(
        "select b.state, count(*) from worker.batches b
         join worker.batch_releases s on s.batch_id = b.id and s.left_at is null
         group by b.id order by b.opened_at",
    )
    .fetch_all(site.pool())
    .await
    .unwrap();
    let closed = |releases| ("closed".to_owned(), releases);
    assert_eq!(batches, [closed(4), closed(4), closed(2)]);

    let id: String =
        sqlx::query_scalar("select id::text from worker.deliveries where release_id = $1")
            .bind(releases[0])
            .fetch_one(site.pool())
            .await
            .unwrap();
    let name: String = sqlx::query_scalar("select min(name) from worker.batches")
        .fetch_one(site.pool())
        .await
        .unwrap();
    let shown = site.cli(&["deliveries", "show", &id]).await;
    shown.expect(0, &["batch ", "closed with 4 releases"]);
    let manifest = format!("BatchComplete_{name}.xml");
    assert!(
        partner
            .incoming()
            .join(format!("N_{name}/{manifest}"))
            .is_file()
    );
    for daemon in daemons {
        site.stop(daemon).await;
    }
    partner.stop();
}
