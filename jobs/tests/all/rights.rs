//! What keeps a release from being sent: its status, its owner, its approval, its rights.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    catalog::{self, CatalogError, Terms, Withheld, Withholding},
    delivery,
};
use platform_adapters::{Code, Fault, release::Territories};
use sqlx::PgPool;
use test_support::{TestDatabase, catalogue};

use crate::deliveries::harness::World;

/// A database with one release of one track.
struct Shelf {
    database: TestDatabase,
    release: i32,
    withholding: Withholding,
    restrictions: Vec<String>,
    now: DateTime<Utc>,
}

impl Shelf {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let assets = tempfile::tempdir().unwrap();
        let release = catalogue::release(database.pool(), assets.path(), 1).await;
        Self {
            database,
            release,
            withholding: Withholding::default(),
            restrictions: Vec::new(),
            now: "2026-05-01T12:00:00Z".parse().unwrap(),
        }
    }

    async fn sql(&self, sql: &str) {
        run(self.database.pool(), sql).await;
    }

    /// A row of rights; `of` is `release` or `track`, `territories` an array in SQL.
    async fn right(&self, of: &str, status: &str, expires: &str, territories: &str) {
        self.sql(&format!(
            "insert into rights_management
                 (release_id, track_id, user_id, ownership_type, verification_status,
                  expiration_date, territories)
             select case when '{of}' = 'release' then r.id end,
                 case when '{of}' = 'track' then t.id end,
                 r.user_id, 'original', '{status}', {expires}, {territories}
             from releases r join tracks t on t.release_id = r.id"
        ))
        .await;
    }

    async fn load(&self) -> Result<Territories, Fault> {
        let terms = Terms {
            withholding: &self.withholding,
            restrictions: &self.restrictions,
            now: self.now,
        };
        self.load_on(Some(terms)).await
    }

    async fn load_on(&self, terms: Option<Terms<'_>>) -> Result<Territories, Fault> {
        let mut conn = self.database.pool().acquire().await.unwrap();
        match catalog::load(&mut conn, self.release, 1, terms).await {
            Ok(release) => Ok(release.territories),
            Err(CatalogError::Fault(fault)) => {
                assert_eq!(fault.code, Code::ReleaseWithheld, "{fault}");
                Err(fault)
            }
            Err(CatalogError::Database(error)) => panic!("{error}"),
        }
    }

    async fn refused(&self, words: &[&str]) -> Fault {
        let fault = self.load().await.unwrap_err();
        for word in words {
            assert!(fault.message.contains(word), "{word}: {fault}");
        }
        fault
    }
}

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}

fn only(codes: &[&str]) -> Territories {
    Territories::Only(codes.iter().map(ToString::to_string).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_reasons_are_told_at_once() {
    let shelf = Shelf::new().await;
    assert_eq!(shelf.load().await, Ok(Territories::Worldwide));
    shelf.right("release", "rejected", "null", "null").await;
    shelf
        .right("track", "verified", "'2026-05-01 12:00:00'", "null")
        .await;
    shelf
        .sql(
            "update releases set status = 'draft'; update users set status = 'suspended';
             insert into release_approvals (release_id, status) select id, 'under_review' from releases",
        )
        .await;
    let fault = shelf
        .refused(&[
            "has status \"draft\"",
            "belongs to \"Nordlicht Records\", whose account is suspended",
            "still open (under_review)",
            "(rights_management 1) that were rejected",
            "(rights_management 2 of track 1) that have expired on 2026-05-01",
        ])
        .await;
    assert_eq!(
        fault.remedy(),
        "Approve the release. Settle the account's state. Clear the rights. Renew the rights. \
         Then schedule the release again."
    );
    // What may not be sold may be taken down.
    assert_eq!(shelf.load_on(None).await, Ok(Territories::Worldwide));
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_without_an_end_and_without_a_beginning_can_be_read() {
    let shelf = Shelf::new().await;
    shelf
        .right("release", "verified", "'infinity'", "array['de', null]")
        .await;
    assert_eq!(shelf.load().await, Ok(only(&["DE"])));
    shelf
        .right("track", "verified", "'-infinity'", "null")
        .await;
    shelf
        .refused(&["(rights_management 2 of track 1) that have expired"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_end_at_the_time_that_is_passed_in() {
    let mut shelf = Shelf::new().await;
    shelf
        .right("release", "pending", "'2026-06-01 00:00:00'", "null")
        .await;
    shelf.load().await.unwrap();
    shelf.now = "2026-05-31T23:59:59Z".parse().unwrap();
    shelf.load().await.unwrap();
    shelf.now += TimeDelta::seconds(1);
    shelf.refused(&["have expired on 2026-06-01"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_must_be_there_and_verified_where_that_is_required() {
    let mut shelf = Shelf::new().await;
    shelf.withholding.require_verified_rights = true;
    shelf.refused(&["has no rights recorded"]).await;
    shelf.right("track", "pending", "null", "null").await;
    shelf
        .refused(&["(rights_management 1 of track 1) that are not verified but pending"])
        .await;
    shelf
        .sql("update rights_management set verification_status = ' Verified '")
        .await;
    shelf.load().await.unwrap();
    shelf
        .sql(
            "insert into tracks (release_id, user_id, title, artist, duration, track_number)
             select id, user_id, 'Two', 'Ada Quell', 1, 2 from releases",
        )
        .await;
    shelf
        .refused(&["no rights recorded for its tracks 2"])
        .await;
    // A row of the release covers all its tracks.
    shelf
        .sql("update rights_management set release_id = (select id from releases), track_id = null")
        .await;
    shelf.load().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn territories_of_release_and_tracks_narrow_the_release() {
    let mut shelf = Shelf::new().await;
    shelf
        .right("release", "verified", "null", "array['worldwide', 'DE']")
        .await;
    assert_eq!(shelf.load().await, Ok(Territories::Worldwide));
    shelf
        .right("release", "verified", "null", "array['de ', 'AT', 'CH']")
        .await;
    shelf
        .right("track", "verified", "null", "array['CH', 'DE', 'FR']")
        .await;
    assert_eq!(shelf.load().await, Ok(only(&["DE", "CH"])));
    // The platform's own restrictions are the package's matter, until nothing is left.
    shelf.restrictions = vec!["DE".into(), "US".into()];
    assert_eq!(shelf.load().await, Ok(only(&["DE", "CH"])));
    shelf.restrictions = vec!["ch".into(), " de".into()];
    shelf
        .refused(&["may be sold only in DE, CH, where the platform must not sell"])
        .await;
    shelf.restrictions.clear();
    shelf
        .right("track", "verified", "null", "array['JP']")
        .await;
    shelf
        .refused(&["nothing to sell", "rights_management 4 of track 1: JP"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_approval_decides() {
    let mut shelf = Shelf::new().await;
    let approve = |status: &str, day: u32| {
        format!(
            "insert into release_approvals (release_id, status, created_at)
             select id, '{status}', '2026-04-{day:02}' from releases"
        )
    };
    shelf.withholding.require_approval = true;
    shelf.refused(&["has no approval"]).await;
    shelf.sql(&approve("pending", 1)).await;
    shelf
        .refused(&["an approval that is still open (pending)"])
        .await;
    shelf.sql(&approve("approved", 3)).await;
    shelf.load().await.unwrap();
    shelf.sql(&approve("rejected", 2)).await;
    shelf.load().await.unwrap();
    shelf.sql(&approve("rejected", 3)).await;
    shelf.refused(&["an approval that was refused"]).await;
    shelf.withholding.require_approval = false;
    shelf.refused(&["an approval that was refused"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_approvals_that_is_absent_or_different_is_left_alone() {
    let mut shelf = Shelf::new().await;
    // As somebody else may have made it: other columns, other types, no id.
    shelf
        .sql(
            "drop table release_approvals;
             create table release_approvals (release_id bigint, status text)",
        )
        .await;
    shelf.load().await.unwrap();
    shelf
        .sql("insert into release_approvals select id, 'Rejected' from releases")
        .await;
    shelf.refused(&["an approval that was refused"]).await;
    for other in [
        "alter table release_approvals rename column status to verdict",
        "alter table release_approvals drop column verdict",
        "drop table release_approvals",
    ] {
        shelf.sql(other).await;
        shelf.load().await.unwrap();
    }
    shelf.withholding.require_approval = true;
    shelf.refused(&["has no approval"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_delivery_waits_and_goes_on_when_released() {
    let mut world = World::new().await;
    world.withholding.withheld = Withheld::Hold;
    let (stays, goes) = (world.release(1).await, world.release(2).await);
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    run(
        world.pool(),
        &format!("update releases set status = 'draft' where id = {stays}"),
    )
    .await;
    let held = catalogue::schedule(world.pool(), stays, &[platform]).await;
    let other = catalogue::schedule(world.pool(), goes, &[platform]).await;
    world.start();
    assert_eq!(
        world.decided(other).await,
        "completed",
        "the platform goes on"
    );
    until_state(world.pool(), stays, "held").await;
    let (fault, remedy, error): (String, String, String) = sqlx::query_as(
        "select fault_code, fault_remedy, error_details
         from worker.deliveries d join distribution_records r on r.id = d.record_id
         where d.release_id = $1",
    )
    .bind(stays)
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!(fault, "release_withheld");
    assert!(remedy.ends_with("Then release the delivery."), "{remedy}");
    assert!(error.contains("has status \"draft\""), "{error}");
    assert_eq!(world.partner.deliveries(), 1);

    // Released too early it waits again; released in order it is sent.
    for status in ["draft", "approved"] {
        run(
            world.pool(),
            &format!("update releases set status = '{status}'"),
        )
        .await;
        let mut tx = world.pool().begin().await.unwrap();
        let by = jobs::audit::By::new("test", "put in order").unwrap();
        let resumed = delivery::resume_platform(&mut tx, platform, &by, Utc::now()).await;
        assert_eq!(resumed.unwrap().released, 1);
        tx.commit().await.unwrap();
        let then = if status == "draft" {
            "held"
        } else {
            "accepted"
        };
        until_state(world.pool(), stays, then).await;
    }
    assert_eq!(world.decided(held).await, "completed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 2);
}

async fn until_state(pool: &PgPool, release: i32, state: &str) {
    crate::deliveries::harness::until(|| async {
        let found: Option<String> =
            sqlx::query_scalar("select state from worker.deliveries where release_id = $1")
                .bind(release)
                .fetch_optional(pool)
                .await
                .unwrap();
        (found.as_deref() == Some(state)).then_some(())
    })
    .await;
}
