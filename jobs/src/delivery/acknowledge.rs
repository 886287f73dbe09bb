//! Acknowledgements: a partner's word that was not the answer to a question of the worker. It may
//! come late, twice, out of order, for what nobody knows, or contradict an earlier one.

use chrono::{DateTime, Utc};
use platform_adapters::{Code, Evidence, Fault, Receipt};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Event, State,
    confirm::merged,
    outcome::{self, Happened, OutcomeError},
    row,
};

/// What a partner says of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It has taken it; what it added is in the receipt.
    Accepted(Box<Receipt>),
    /// Its no, with the reason as it gave it.
    Rejected(String),
    /// It never got it. Only an outcome that is unknown can be settled so.
    Absent,
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
        Word::Absent => (Event::Release, None, None),
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
            follow_with_jobs(conn, id, state, now).await?;
            Ok(Heard::Changed(state))
        }
        Err(OutcomeError::Refused(_) | OutcomeError::LeaseLost) => Ok(Heard::OutOfPlace(state)),
        Err(OutcomeError::Database(error)) => Err(error),
    }
}

/// The delivery's waiting jobs have nothing left to do, or deliver now. A running one notices by
/// itself when it writes its outcome.
async fn follow_with_jobs(
    conn: &mut PgConnection,
    id: Uuid,
    state: State,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let keys = [format!("deliver/{id}"), format!("confirm/{id}")];
    sqlx::query!(
        r#"update worker.jobs set
               state = case when $2 then 'completed' else 'available' end,
               finished_at = case when $2 then $3::timestamptz end,
               run_at = case when $2 then run_at else $3 end
           where unique_key = any($1) and state in ('available', 'held')"#,
        &keys,
        state.is_decided(),
        now,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("select pg_notify('worker_jobs', '')")
        .execute(conn)
        .await?;
    Ok(())
}
