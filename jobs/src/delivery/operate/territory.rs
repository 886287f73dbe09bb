//! Takedown in one territory: an exclusion that every package of the release respects from then on,
//! and an update that tells the platforms.

use chrono::{DateTime, Utc};
use platform_adapters::package::is_territory;
use serde_json::json;
use sqlx::PgPool;

use super::revise::{OnPlatform, update};
use crate::audit::{self, By, Change};

/// Takes a release down in a territory, on one platform or on all, present and future. `None`: the
/// territory is not one of ISO 3166-1.
///
/// # Errors
/// The database's. The exclusion holds from the first transaction on; asking again goes on with the
/// platforms that were not told.
pub async fn take_down_territory(
    pool: &PgPool,
    release_id: i32,
    platform_id: Option<i32>,
    territory: &str,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Vec<OnPlatform>>, sqlx::Error> {
    let territory = territory.trim().to_ascii_uppercase();
    if !is_territory(&territory) {
        return Ok(None);
    }
    let mut tx = pool.begin().await?;
    let is_new = sqlx::query!(
        r#"insert into worker.territory_takedowns (release_id, platform_id, territory, created_at)
           values ($1, $2, $3, $4)
           on conflict (release_id, platform_id, territory) do nothing"#,
        release_id,
        platform_id,
        territory,
        now,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected()
        > 0;
    if is_new {
        let change = Change {
            action: "release.take_down_territory",
            object_kind: "release",
            object_id: release_id.to_string(),
            before: None,
            after: Some(json!({"territory": territory, "platform_id": platform_id})),
        };
        audit::record(&mut tx, by, &change, now).await?;
    }
    tx.commit().await?;
    update(pool, release_id, platform_id, by, now)
        .await
        .map(Some)
}

/// Takes an exclusion back, and tells the platforms. `None`: there is no such exclusion.
///
/// # Errors
/// The database's.
pub async fn restore_territory(
    pool: &PgPool,
    release_id: i32,
    platform_id: Option<i32>,
    territory: &str,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Vec<OnPlatform>>, sqlx::Error> {
    let territory = territory.trim().to_ascii_uppercase();
    let mut tx = pool.begin().await?;
    let deleted = sqlx::query!(
        r#"delete from worker.territory_takedowns
           where release_id = $1 and platform_id is not distinct from $2 and territory = $3"#,
        release_id,
        platform_id,
        territory,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if deleted == 0 {
        return Ok(None);
    }
    let change = Change {
        action: "release.restore_territory",
        object_kind: "release",
        object_id: release_id.to_string(),
        before: Some(json!({"territory": territory, "platform_id": platform_id})),
        after: None,
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    update(pool, release_id, platform_id, by, now)
        .await
        .map(Some)
}
