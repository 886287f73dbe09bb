//! Acknowledgements: a partner's word that was not the answer to a question of the worker. It may
//! come late, twice, out of order, for what nobody knows, or contradict an earlier one.

use chrono::{DateTime, Utc};
use platform_adapters::{Code, Evidence, Fault, Receipt};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Event, State,
    confirm::merged,
    job, operate,
    outcome::{self, Happened, OutcomeError},
    row,
};
use crate::audit::{self, By, Change};

/// What a partner says of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It has taken it; what it added is in the receipt.
    Accepted(Box<Receipt>),
    /// Its no, with the reason as it gave it.
    Rejected(String),
    /// It never got it: it is sent again, or called off where that was asked for. Only an outcome
    /// that is unknown can be settled so.
    Absent,
}

impl Word {
    /// That the partner has accepted it, as an operator heard; with its id of the release and where
    /// it can be seen, if it named them.
    #[must_use]
    pub fn accepted_says(by: &By, partner_id: Option<String>, url: Option<String>) -> Self {
        Self::Accepted(Box::new(Receipt {
            partner_release_id: partner_id,
            url,
            confirmed: format!("accepted, as recorded by {}: {}", by.actor(), by.reason()),
            is_final: true,
            ..Receipt::default()
        }))
    }
}

/// A word with what it refers to and what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The transmission that it speaks of; `None`: the newest.
    pub transmission: Option<u32>,
    /// What it says.
    pub word: Word,
    /// The document as it came.
    pub evidence: Vec<Evidence>,
}

/// What a word came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The delivery is in this state now.
    Changed(State),
    /// It said what is known already.
    Repeated,
    /// It speaks of an earlier transmission than the one on its way; only the document is kept.
    Outdated,
    /// The delivery is in a state in which such a word means nothing; only the document is kept.
    OutOfPlace(State),
    /// Nobody knows a delivery of that id.
    NoSuchDelivery,
}

/// Hears an acknowledgement. Delivery, record, schedules and notices follow in the caller's
/// transaction; a schedule that is completed is not reopened.
///
/// # Errors
/// The database's.
pub async fn acknowledge(
    conn: &mut PgConnection,
    id: Uuid,
    acknowledgement: Acknowledgement,
    now: DateTime<Utc>,
) -> Result<Heard, sqlx::Error> {
    let Acknowledgement {
        transmission,
        word,
        evidence,
    } = acknowledgement;
    // The job before the delivery, as an attempt locks them.
    job::lock(conn, id).await?;
    let Some(mut delivery) = row::lock(conn, id).await? else {
        return Ok(Heard::NoSuchDelivery);
    };
    outcome::keep_evidence(conn, &delivery, &evidence, now).await?;
    if transmission.is_some_and(|spoken_of| spoken_of != delivery.transmission) {
        return Ok(Heard::Outdated);
    }
    let state = delivery.state;
    let (event, receipt, fault) = match word {
        // An attempt that is under way writes down its own end; then the partner is asked.
        _ if state == State::Sending => return Ok(Heard::OutOfPlace(state)),
        Word::Accepted(_) if state == State::Accepted => return Ok(Heard::Repeated),
        Word::Rejected(_) if state == State::Rejected => return Ok(Heard::Repeated),
        Word::Absent if state != State::Unknown => return Ok(Heard::OutOfPlace(state)),
        Word::Absent if delivery.is_called_off => (Event::Cancel, None, None),
        Word::Absent => (Event::RetryNow, None, None),
        Word::Accepted(said) => (
            Event::Accepted,
            Some(merged(delivery.receipt.clone(), *said)),
            None,
        ),
        Word::Rejected(reason) => {
            let fault = Fault::new(Code::PartnerRefused, format!("the partner says: {reason}"));
            (Event::Rejected, None, Some(fault))
        }
    };
    let happened = Happened {
        receipt: receipt.as_ref(),
        fault: fault.as_ref(),
        is_answered: true,
        ..Happened::default()
    };
    match outcome::apply(conn, &mut delivery, event, &happened, None, now).await {
        Ok(state) => {
            if state == State::Queued {
                operate::begin_anew(conn, id).await?;
            }
            Ok(Heard::Changed(state))
        }
        Err(OutcomeError::Refused(_) | OutcomeError::LeaseLost) => Ok(Heard::OutOfPlace(state)),
        Err(OutcomeError::Database(error)) => Err(error),
    }
}

/// Hears an operator who has asked the partner, with a row of the audit. The reason is kept as
/// evidence.
///
/// # Errors
/// The database's; then nothing has changed.
pub async fn acknowledge_by_operator(
    pool: &PgPool,
    id: Uuid,
    word: Word,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Heard, sqlx::Error> {
    let said = match &word {
        Word::Accepted(_) => "accepted",
        Word::Rejected(_) => "rejected",
        Word::Absent => "absent",
    };
    let document =
        json!({"answer": said, "reason": by.reason(), "actor": by.actor(), "recorded_at": now});
    let acknowledgement = Acknowledgement {
        transmission: None,
        word,
        evidence: vec![Evidence {
            name: "operator-acknowledgement.json".into(),
            media_type: "application/json".into(),
            body: document.to_string().into_bytes(),
        }],
    };
    let mut tx = pool.begin().await?;
    job::lock(&mut tx, id).await?;
    let Some(before) = row::lock(&mut tx, id).await? else {
        return Ok(Heard::NoSuchDelivery);
    };
    let heard = acknowledge(&mut tx, id, acknowledgement, now).await?;
    let after = match heard {
        Heard::Changed(state) => state,
        _ => before.state,
    };
    let change = Change {
        action: "delivery.acknowledge",
        object_kind: "delivery",
        object_id: id.to_string(),
        before: Some(json!({
            "state": before.state.as_str(), "transmission": before.transmission,
            "unknown_since": before.unknown.map(|unknown| unknown.since),
        })),
        after: Some(json!({
            "state": after.as_str(), "transmission": before.transmission, "answer": said,
        })),
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    Ok(heard)
}
