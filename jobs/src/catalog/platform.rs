//! A platform's row, as its settings read it.

use platform_adapters::settings::{PlatformRow, Secretive};
use sqlx::PgConnection;

/// The row of a platform; `None` when it is gone.
///
/// # Errors
/// The database's.
pub async fn platform_row(
    conn: &mut PgConnection,
    platform_id: i32,
) -> Result<Option<PlatformRow>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select id, name, api_endpoint, api_credentials, delivery_method, requirements,
               format_specs, supported_content, territory_restrictions, processing_time
           from public.distribution_platforms where id = $1"#,
        platform_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| PlatformRow {
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
    }))
}
