//! A platform's row, as its settings read it.

use platform_adapters::settings::{PlatformRow, Secretive};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

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
