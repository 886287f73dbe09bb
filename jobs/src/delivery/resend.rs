//! A partner asks for the same once more: a further transmission of the delivery, under names of its
//! own. How often it may ask is bounded, so that a partner that never takes it ends.

use chrono::{DateTime, Utc};
use platform_adapters::{Code, Evidence, Fault, Wanted};
use sqlx::PgConnection;

use super::{
    Event, State, operate,
    outcome::{Happened, OutcomeError, keep_evidence},
    row::Delivery,
};
use crate::queue::{self, Lease, Outcome};

/// What a partner asked, as a fault of the transmission before.
pub(super) fn asked(reason: &str, evidence: Vec<Evidence>) -> Fault {
    let mut fault = Fault::new(
        Code::PartnerRefused,
        format!("the partner says: {reason}; it is sent once more"),
    );
    fault.evidence = evidence;
    fault
}

/// Why a delivery is not sent once more.
pub(super) fn refused(reason: &str, transmissions: u32, evidence: Vec<Evidence>) -> Fault {
    let mut fault = Fault::new(
        Code::PartnerRefused,
        format!("the partner says: {reason}; it has been sent {transmissions} times already"),
    )
    .with_remedy("Ask the partner what it lacks, then redeliver.");
    fault.evidence = evidence;
    fault
}

/// Sets the delivery going again, and ends the job that asked, where one did. Its caller has locked
/// the delivery.
pub(super) async fn begin(
    conn: &mut PgConnection,
    delivery: &mut Delivery,
    lease: Option<&Lease>,
    wanted: Wanted,
    mut fault: Fault,
    now: DateTime<Utc>,
) -> Result<State, OutcomeError> {
    if let Some(lease) = lease
        && !queue::settle(conn, lease, &Outcome::Completed, now).await?
    {
        return Err(OutcomeError::LeaseLost);
    }
    // The word belongs to the transmission that it is about.
    let evidence = std::mem::take(&mut fault.evidence);
    keep_evidence(conn, delivery, &evidence, now).await?;
    operate::retransmit(conn, delivery, wanted, now).await?;
    let happened = Happened {
        fault: Some(&fault),
        ..Happened::default()
    };
    operate::apply(conn, delivery, Event::ResendAsked, &happened, now).await
}
