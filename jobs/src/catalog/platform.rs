//! A platform's row, as its settings read it.

use chrono::{DateTime, Utc};
use platform_adapters::settings::{PlatformRow, Secretive};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

use crate::audit::{self, By, Change};

/// The row of a platform; `None` when it is gone.
///
/// # Errors
/// The database's.
pub async fn platform_row(
    conn: &mut PgConnection,
    platform_id: i32,
) -> Result<Option<PlatformRow>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, name, api_endpoint, api_credentials, delivery_method, requirements,
               format_specs, supported_content, territory_restrictions, processing_time
           from public.distribution_platforms where id = $1"#,
        platform_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(PlatformRow::from))
}

/// The rows of these platforms, as far as they are there.
///
/// # Errors
/// The database's.
pub(crate) async fn platform_rows(
    conn: &mut PgConnection,
    ids: &[i32],
) -> Result<Vec<PlatformRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, name, api_endpoint, api_credentials, delivery_method, requirements,
               format_specs, supported_content, territory_restrictions, processing_time
           from public.distribution_platforms where id = any($1)"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(PlatformRow::from).collect())
}

/// The rows of all platforms that are delivered to.
///
/// # Errors
/// The database's.
pub async fn active_platform_rows(pool: &PgPool) -> Result<Vec<PlatformRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, name, api_endpoint, api_credentials, delivery_method, requirements,
               format_specs, supported_content, territory_restrictions, processing_time
           from public.distribution_platforms
           where coalesce(status, 'active') = 'active'
           order by id"#
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(PlatformRow::from).collect())
}

/// Puts sealed secrets in the place of others, unless `api_credentials` have changed since they were
/// read. Answers whether they were replaced. `names` are the secrets, for the audit; their values
/// are nowhere but in the column.
///
/// # Errors
/// The database's.
pub async fn replace_credentials(
    conn: &mut PgConnection,
    platform_id: i32,
    (seen, sealed): (&Value, &Value),
    names: &[String],
    by: &By,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update public.distribution_platforms set api_credentials = $3, updated_at = $4
         where id = $1 and api_credentials = $2",
        platform_id,
        seen,
        sealed,
        now.naive_utc(),
    )
    .execute(&mut *conn)
    .await?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    let change = Change {
        action: "platform.seal",
        object_kind: "platform",
        object_id: platform_id.to_string(),
        before: None,
        after: Some(json!({"sealed": names})),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(true)
}

/// Pins a host key for a platform (`api_credentials.host_key`), with its row of the audit. Nothing
/// happens where the platform is gone.
///
/// # Errors
/// The database's.
pub async fn pin_host_key(
    conn: &mut PgConnection,
    platform_id: i32,
    fingerprint: &str,
    by: &By,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let Some(before) = sqlx::query_scalar!(
        r#"update public.distribution_platforms p
           set api_credentials = case jsonb_typeof(p.api_credentials)
                   when 'object' then p.api_credentials else '{}' end
                   || jsonb_build_object('host_key', $2::text),
               updated_at = $3
           from public.distribution_platforms before
           where p.id = $1 and before.id = p.id
           returning before.api_credentials ->> 'host_key' as host_key"#,
        platform_id,
        fingerprint,
        now.naive_utc(),
    )
    .fetch_optional(&mut *conn)
    .await?
    else {
        return Ok(());
    };
    let change = Change {
        action: "platform.host-key",
        object_kind: "platform",
        object_id: platform_id.to_string(),
        before: before.map(|key| json!({"host_key": key})),
        after: Some(json!({"host_key": fingerprint})),
    };
    audit::record(conn, by, &change, now).await
}

/// The columns, before what may be secret in them is guarded.
struct Row {
    id: i32,
    name: String,
    api_endpoint: Option<String>,
    api_credentials: Option<Value>,
    delivery_method: String,
    requirements: Option<Value>,
    format_specs: Option<Value>,
    supported_content: Option<Vec<String>>,
    territory_restrictions: Option<Vec<String>>,
    processing_time: Option<String>,
}

impl From<Row> for PlatformRow {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            api_endpoint: row.api_endpoint,
            api_credentials: row.api_credentials.map(Secretive),
            delivery_method: row.delivery_method,
            requirements: row.requirements,
            format_specs: row.format_specs,
            supported_content: row.supported_content,
            territory_restrictions: row.territory_restrictions,
            processing_time: row.processing_time,
        }
    }
}
