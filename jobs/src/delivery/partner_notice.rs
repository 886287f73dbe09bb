//! Notices that a partner sends on its own account, verified by `platform_adapters::api::webhook`: to
//! which delivery each belongs, and that it counts once.

use chrono::{DateTime, Utc};
use platform_adapters::{Status, api::webhook::Notice};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    State,
    acknowledge::{Acknowledgement, Heard, Word, acknowledge},
};
use crate::database::storable;

/// What a notice came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// The delivery has heard it.
    Heard(Uuid, Heard),
    /// It says that the partner has not decided yet, of this delivery.
    Pending(Uuid),
    /// It was heard before.
    Repeated,
    /// No delivery to this platform waits for it: it names a key or a release that nobody knows.
    Unknown,
    /// The attempt that it speaks of is still under way: it is to be sent again in a moment.
    TooEarly(Uuid),
}

/// Hears a partner's notice, once. Nothing is kept of one that is to be sent again.
///
/// # Errors
/// The database's; then nothing has changed.
pub async fn hear_notice(
    pool: &PgPool,
    platform: i32,
    notice: Notice,
    now: DateTime<Utc>,
) -> Result<Noticed, sqlx::Error> {
    let mut tx = super::begin(pool).await?;
    let is_new = sqlx::query!(
        r#"insert into worker.partner_notices (platform_id, id, heard_at) values ($1, $2, $3)
           on conflict do nothing"#,
        platform,
        &*storable(&notice.id),
        now,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected()
        > 0;
    if !is_new {
        return Ok(Noticed::Repeated);
    }
    let Some((id, transmission)) = spoken_of(&mut tx, platform, &notice).await? else {
        return Ok(Noticed::Unknown);
    };
    let (word, evidence) = match notice.status {
        Status::Accepted(mut receipt) => {
            let evidence = std::mem::take(&mut receipt.evidence);
            (Word::Accepted(receipt), evidence)
        }
        Status::Rejected { reason, evidence } => (Word::Rejected(reason), evidence),
        // A partner of this kind asks for nothing again.
        Status::Pending(_) | Status::Resend { .. } => {
            tx.commit().await?;
            return Ok(Noticed::Pending(id));
        }
    };
    let acknowledgement = Acknowledgement {
        transmission,
        word,
        evidence,
    };
    let heard = acknowledge(&mut tx, id, acknowledgement, now).await?;
    match heard {
        Heard::NoSuchDelivery => return Ok(Noticed::Unknown),
        Heard::OutOfPlace(State::Sending) => return Ok(Noticed::TooEarly(id)),
        _ => {}
    }
    tx.commit().await?;
    Ok(Noticed::Heard(id, heard))
}

/// The delivery that a notice speaks of, with its transmission: by our key where the partner repeats
/// it, and otherwise the newest that waits for a word on the release.
async fn spoken_of(
    conn: &mut PgConnection,
    platform: i32,
    notice: &Notice,
) -> Result<Option<(Uuid, Option<u32>)>, sqlx::Error> {
    if let Some(key) = &notice.key {
        let Some((id, _, transmission)) = platform_adapters::read_key(key) else {
            return Ok(None);
        };
        let of_platform = sqlx::query_scalar!(
            "select platform_id from worker.deliveries where id = $1",
            id
        )
        .fetch_optional(conn)
        .await?;
        return Ok((of_platform == Some(platform)).then_some((id, Some(transmission))));
    }
    let Some(release) = &notice.partner_release_id else {
        return Ok(None);
    };
    let id = sqlx::query_scalar!(
        r#"select id from worker.deliveries
           where platform_id = $1 and state in ('sent', 'unknown')
             -- Said so, these few are found by the index of what is undecided.
             and state not in ('accepted', 'rejected', 'failed', 'canceled')
             and receipt ->> 'partner_release_id' = $2
           order by id desc limit 1"#,
        platform,
        &*storable(release),
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(|id| (id, None)))
}
