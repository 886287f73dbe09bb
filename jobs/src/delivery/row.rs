//! The row of a delivery as an attempt needs it.

use chrono::{DateTime, Utc};
use platform_adapters::{Handover, Kind, Receipt};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::State;

/// A delivery, locked for the rest of the transaction that read it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: Uuid,
    pub(crate) release_id: i32,
    pub(crate) platform_id: i32,
    pub(crate) record_id: i32,
    pub(crate) kind: Kind,
    /// A takedown by which the partner is to forget the release.
    pub(crate) purges: bool,
    pub(crate) revision: u32,
    pub(crate) transmission: u32,
    pub(crate) state: State,
    pub(crate) release_title: String,
    pub(crate) platform_name: String,
    pub(crate) upc: Option<String>,
    pub(crate) attempts: i32,
    /// The count of attempts when the limit began to count.
    pub(crate) attempts_before: i32,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) sent_at: Option<DateTime<Utc>>,
    pub(crate) receipt: Option<Receipt>,
    /// What the transmission before stated, where the partner wants the message alone once more.
    pub(crate) resend_of: Option<Value>,
    /// Called off while an attempt was under way.
    pub(crate) is_called_off: bool,
    /// An earlier transmission of this delivery was accepted.
    pub(crate) was_accepted: bool,
    /// Since when, and after what, it is not known whether this transmission arrived.
    pub(crate) unknown: Option<Unknown>,
    /// The last delivery that the platform accepted before this one, if it left the release there.
    pub(crate) live: Option<Live>,
    /// An earlier delivery of the same release and platform was not decided when this was read.
    pub(crate) has_earlier: bool,
}

/// A hand-over whose outcome is not known.
#[derive(Clone, Debug)]
pub(crate) struct Unknown {
    pub(crate) since: DateTime<Utc>,
    /// What happened then.
    pub(crate) reason: String,
}

/// What the platform has of a release.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) revision: i32,
    pub(crate) fingerprint: Option<String>,
    pub(crate) receipt: Option<Receipt>,
}

/// Reads and locks a delivery. `None` when it is gone.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Delivery>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select d.id, d.release_id, d.platform_id, d.record_id, d.kind, d.revision, d.transmission,
               d.state, d.release_title, d.platform_name, d.upc, d.attempts, d.started_at,
               d.expires_at, d.sent_at, d.receipt as "receipt: Json<Receipt>", d.attempts_before,
               d.was_accepted, d.cancel_requested_at is not null as "is_called_off!",
               d.unknown_since, d.unknown_reason, d.resend_of, d.purges,
               live.kind as "live_kind?", live.revision as "live_revision?",
               live.fingerprint as live_fingerprint, live.receipt as "live_receipt: Json<Receipt>",
               exists (select from worker.deliveries before
                       where before.release_id = d.release_id and before.platform_id = d.platform_id
                         and before.revision < d.revision
                         and before.state not in ('accepted', 'rejected', 'failed', 'canceled')
                      ) as "has_earlier!"
           from worker.deliveries d
           left join lateral (
               select kind, revision, fingerprint, receipt from worker.deliveries before
               where before.release_id = d.release_id and before.platform_id = d.platform_id
                 and before.revision < d.revision and (before.state = 'accepted' or before.was_accepted)
               order by before.revision desc limit 1
           ) live on true
           where d.id = $1
           for update of d"#,
        id
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let live = match (
        row.live_kind.as_deref().map(kind).transpose()?,
        row.live_revision,
    ) {
        (Some(Kind::Insert | Kind::Update), Some(revision)) => Some(Live {
            revision,
            fingerprint: row.live_fingerprint,
            receipt: row.live_receipt.map(|Json(receipt)| receipt),
        }),
        _ => None,
    };
    Ok(Some(Delivery {
        id: row.id,
        release_id: row.release_id,
        platform_id: row.platform_id,
        record_id: row.record_id,
        kind: kind(&row.kind)?,
        purges: row.purges,
        revision: row.revision.unsigned_abs(),
        transmission: row.transmission.unsigned_abs(),
        state: State::from_word(&row.state).ok_or_else(|| unknown_word("state", &row.state))?,
        release_title: row.release_title,
        platform_name: row.platform_name,
        upc: row.upc,
        attempts: row.attempts,
        attempts_before: row.attempts_before,
        started_at: row.started_at,
        expires_at: row.expires_at,
        sent_at: row.sent_at,
        receipt: row.receipt.map(|Json(receipt)| receipt),
        resend_of: row.resend_of,
        is_called_off: row.is_called_off,
        was_accepted: row.was_accepted,
        unknown: row.unknown_since.map(|since| Unknown {
            since,
            reason: row.unknown_reason.unwrap_or_default(),
        }),
        live,
        has_earlier: row.has_earlier,
    }))
}

/// The kind that stands under this word in the column.
pub(super) fn kind(word: &str) -> Result<Kind, sqlx::Error> {
    [Kind::Insert, Kind::Update, Kind::Takedown]
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .ok_or_else(|| unknown_word("kind", word))
}

/// A newer version of the worker wrote a word that this one does not know.
fn unknown_word(column: &str, word: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("worker.deliveries.{column} holds {word:?}, unknown here").into())
}

impl Delivery {
    /// The identity of the hand-over at the partner, once its first attempt has begun.
    pub(crate) fn handover(&self) -> Handover {
        Handover {
            delivery: self.id,
            kind: self.kind,
            revision: self.revision,
            transmission: self.transmission,
            partner_release_id: self.partner_release_id(),
            started_at: self.started_at.unwrap_or_default(),
            batch: None,
            last_stated: self
                .live
                .as_ref()
                .and_then(|live| live.receipt.as_ref()?.stated.clone()),
            resend_of: self.resend_of.clone(),
            purges: self.purges,
        }
    }

    /// The partner's own id of the release: from what it has, or from an earlier transmission.
    fn partner_release_id(&self) -> Option<String> {
        let live = self.live.as_ref().and_then(|live| live.receipt.as_ref());
        [live, self.receipt.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|receipt| receipt.partner_release_id.clone())
    }

    /// Whether the platform has the release from an earlier hand-over.
    pub(crate) fn is_live(&self) -> bool {
        self.live.is_some() || (self.was_accepted && self.kind != Kind::Takedown)
    }

    /// Release and platform, as every sentence about a delivery names them.
    pub(crate) fn name(&self) -> String {
        let upc = self
            .upc
            .as_deref()
            .map(|upc| format!(" (UPC {upc})"))
            .unwrap_or_default();
        format!("{:?}{upc} to {}", self.release_title, self.platform_name)
    }
}
