//! What an attempt works on: the platform's row, and the release as it is to be sent.

use platform_adapters::{Code, Fault, Kind, release::Release, settings::PlatformRow};
use sqlx::{PgConnection, types::Json};

use super::{Services, row::Delivery};
use crate::catalog::{self, CatalogError, Terms};

/// The platform's row.
pub(super) async fn platform_row(
    conn: &mut PgConnection,
    delivery: &Delivery,
) -> Result<PlatformRow, Fault> {
    let id = delivery.platform_id;
    catalog::platform_row(conn, id)
        .await
        .map_err(unreadable)?
        .ok_or_else(|| {
            Fault::new(
                Code::SettingsInvalid,
                format!("platform {id} is not there any more"),
            )
        })
}

/// The database did not answer: a fault of ours that passes.
pub(super) fn unreadable(error: sqlx::Error) -> Fault {
    Fault::new(
        Code::WorkerFault,
        format!("the catalogue could not be read: {error}"),
    )
}

/// Reads platform and release. A takedown takes the release as the platform was given it, so that
/// nothing that happened to the release's row since, not even its end, stands in its way.
pub(super) async fn load(
    services: &Services,
    conn: &mut PgConnection,
    delivery: &Delivery,
) -> Result<(PlatformRow, Release), Fault> {
    let platform = platform_row(conn, delivery).await?;
    let terms = match delivery.kind {
        Kind::Takedown => {
            if let Some(release) = snapshot(conn, delivery).await.map_err(unreadable)? {
                return Ok((platform, release));
            }
            None
        }
        Kind::Insert | Kind::Update => Some(Terms {
            withholding: &services.withholding,
            restrictions: platform
                .territory_restrictions
                .as_deref()
                .unwrap_or_default(),
            now: (services.clock)(),
        }),
    };
    let (id, platform_id) = (delivery.release_id, delivery.platform_id);
    let release =
        catalog::load(conn, id, platform_id, terms)
            .await
            .map_err(|error| match error {
                CatalogError::Fault(fault) => fault,
                CatalogError::Database(error) => unreadable(error),
            })?;
    Ok((platform, release))
}

/// The release as it was last handed over to this platform.
async fn snapshot(
    conn: &mut PgConnection,
    delivery: &Delivery,
) -> Result<Option<Release>, sqlx::Error> {
    let kept = sqlx::query_scalar!(
        r#"select snapshot as "snapshot!: Json<Release>" from worker.deliveries
           where release_id = $1 and platform_id = $2 and revision < $3 and snapshot is not null
           -- What the platform has, before what it may have been offered.
           order by state in ('accepted', 'sent') or was_accepted desc, revision desc
           limit 1"#,
        delivery.release_id,
        delivery.platform_id,
        i32::try_from(delivery.revision).unwrap_or(i32::MAX),
    )
    .fetch_optional(conn)
    .await?;
    Ok(kept.map(|Json(release)| release))
}
