//! What an attempt works on: the platform's row, and the release as it is to be sent.

use std::{collections::HashMap, sync::Arc};

use platform_adapters::{Code, Fault, Kind, release::Release, settings::PlatformRow};
use sqlx::{PgConnection, PgPool, types::Json};

use super::{Services, row::Delivery};
use crate::{
    catalog::{self, Found, Terms},
    gather::{self, Gathering},
    queue::circuit,
};

/// The platform's row.
pub(super) async fn platform_row(
    conn: &mut PgConnection,
    delivery: &Delivery,
) -> Result<PlatformRow, Fault> {
    let id = delivery.platform_id;
    catalog::platform_row(conn, id)
        .await
        .map_err(unreadable)?
        .ok_or_else(|| gone(id))
}

fn gone(platform: i32) -> Fault {
    Fault::new(
        Code::SettingsInvalid,
        format!("platform {platform} is not there any more"),
    )
}

/// The database did not answer: a fault of ours that passes.
pub(super) fn unreadable(error: sqlx::Error) -> Fault {
    Fault::new(
        Code::WorkerFault,
        format!("the catalogue could not be read: {error}"),
    )
}

/// What deliveries ask of the database before and after the work. Those that are under way at the same
/// time ask together.
pub struct Reader {
    catalogue: Gathering<(i32, i32), Result<Read, Fault>>,
    well: Gathering<String, Result<bool, Arc<sqlx::Error>>>,
}

/// A platform's row and a release's, where they are there.
type Read = (Option<Arc<PlatformRow>>, Option<Found>);

impl Reader {
    /// In the database of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        let of_queues = pool.clone();
        Self {
            catalogue: Gathering::new(move |asked| {
                let pool = pool.clone();
                Box::pin(async move {
                    let answered = read(&pool, &asked).await.map_err(unreadable);
                    gather::each(answered, asked.len())
                })
            }),
            well: Gathering::new(move |queues| {
                let pool = of_queues.clone();
                Box::pin(async move {
                    let answered = circuit::are_well(&pool, &queues).await.map_err(Arc::new);
                    gather::each(answered, queues.len())
                })
            }),
        }
    }

    /// Whether a success would change nothing about a queue's circuit. One that is told of a success
    /// before a fault that comes meanwhile is told right: both happened at once.
    pub(super) async fn is_well(&self, queue: String) -> Result<bool, sqlx::Error> {
        match self.well.ask(queue).await {
            Some(Ok(is_well)) => Ok(is_well),
            Some(Err(error)) => Err(sqlx::Error::Protocol(error.to_string())),
            None => Ok(false),
        }
    }
}

/// Reads the rows of releases and platforms, in the order in which they are asked for.
async fn read(pool: &PgPool, asked: &[(i32, i32)]) -> Result<Vec<Read>, sqlx::Error> {
    let ids: Vec<i32> = asked.iter().map(|(_, platform)| *platform).collect();
    let mut tx = super::begin(pool).await?;
    let platforms: HashMap<i32, Arc<PlatformRow>> = catalog::platform_rows(&mut tx, &ids)
        .await?
        .into_iter()
        .map(|row| (row.id, Arc::new(row)))
        .collect();
    let releases = catalog::read(&mut tx, asked).await?;
    tx.commit().await?;
    let platforms = ids.iter().map(|id| platforms.get(id).cloned());
    Ok(platforms.zip(releases).collect())
}

/// Reads platform and release. A takedown takes the release as the platform was given it, so that
/// nothing that happened to the release's row since, not even its end, stands in its way.
pub(super) async fn load(
    services: &Services,
    delivery: &Delivery,
) -> Result<(Arc<PlatformRow>, Release), Fault> {
    let (id, platform_id) = (delivery.release_id, delivery.platform_id);
    let asked = services.reader.catalogue.ask((id, platform_id)).await;
    let (platform, found) = asked.unwrap_or_else(|| {
        Err(Fault::new(
            Code::WorkerStopped,
            "the worker ended before the release was read",
        ))
    })?;
    let platform = platform.ok_or_else(|| gone(platform_id))?;
    let terms = match delivery.kind {
        Kind::Takedown => {
            let mut conn = services.pool.acquire().await.map_err(unreadable)?;
            if let Some(release) = snapshot(&mut conn, delivery).await.map_err(unreadable)? {
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
    let release = catalog::release(id, found, terms)?;
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
