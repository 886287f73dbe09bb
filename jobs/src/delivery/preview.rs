//! The DDEX message that a platform would get of a release now, without sending anything.

use chrono::{DateTime, Utc};
use platform_adapters::{
    Code, Fault, Handover, Kind, Receipt,
    ddex::{self, Message},
    package::{AssetStore, assemble},
    settings::{Method, Platform},
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::catalog::{self, CatalogError, Terms, Withholding};

/// What a preview is of.
#[derive(Clone, Copy, Debug)]
pub struct PreviewOf {
    /// `releases.id`.
    pub release_id: i32,
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// A takedown instead of what would be delivered.
    pub takedown: bool,
}

/// Builds the message of an insert, of an update where the platform has the release, or of a
/// takedown. Its message id is one that is never sent.
///
/// # Errors
/// [`CatalogError::Fault`] when the platform takes no DDEX, or with what stands against the delivery
/// itself: the release is withheld, or its package is not in order.
pub async fn preview(
    conn: &mut PgConnection,
    assets: &AssetStore,
    withholding: &Withholding,
    of: PreviewOf,
    now: DateTime<Utc>,
) -> Result<Message, CatalogError> {
    let id = of.platform_id;
    let row = catalog::platform_row(conn, id)
        .await?
        .ok_or_else(|| Fault::new(Code::SettingsInvalid, format!("there is no platform {id}")))?;
    let platform = Platform::from_row(&row)?;
    if platform.method != Method::Ddex {
        return Err(Fault::new(
            Code::Unsupported,
            format!(
                "platform {id} ({:?}) is delivered to by {}, not by ddex",
                platform.name,
                platform.method.as_str()
            ),
        )
        .into());
    }
    let last = sqlx::query!(
        r#"select kind, revision, receipt as "receipt: Json<Receipt>" from worker.deliveries
           where release_id = $1 and platform_id = $2 and (state = 'accepted' or was_accepted)
           order by revision desc limit 1"#,
        of.release_id,
        id,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let is_live = last.as_ref().is_some_and(|last| last.kind != "takedown");
    let kind = match (of.takedown, is_live) {
        (true, _) => Kind::Takedown,
        (false, true) => Kind::Update,
        (false, false) => Kind::Insert,
    };
    let terms = Terms {
        withholding,
        restrictions: &platform.territory_restrictions,
        now,
    };
    let terms = (!of.takedown).then_some(terms);
    let release = catalog::load(conn, of.release_id, id, terms).await?;
    let package = assemble(&release, &platform, kind, assets).await?;
    let handover = Handover {
        delivery: Uuid::nil(),
        kind,
        revision: last
            .as_ref()
            .map_or(1, |last| last.revision.unsigned_abs().saturating_add(1)),
        transmission: 1,
        started_at: now,
        // No message says it.
        partner_release_id: None,
        batch: None,
        last_stated: last
            .filter(|_| is_live)
            .and_then(|last| last.receipt?.0.stated),
        resend_of: None,
        purges: false,
    };
    Ok(ddex::build(&platform, &handover, &package)?)
}
