//! Following a delivery that was sent: ask the partner until it has decided.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use platform_adapters::{Code, Fault, Receipt, Status, Wanted};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, Transaction};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::{
    Event, Services, State,
    adapters::Known,
    load::{platform_row, unreadable},
    notices,
    outcome::{self, Happened, OutcomeError, after},
    partner, record, resend,
    row::{self, Delivery},
    trace,
};
use crate::queue::{self, Done, Job, JobFault, Lease, Outcome};

/// When a partner is asked about what it was sent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfirmPolicy {
    /// Seconds: the shortest wait, and the wait before the first question.
    pub first_s: u64,
    /// Seconds: the longest wait. Between the two, a wait is half the time since it was sent.
    pub max_s: u64,
    /// How often a delivery is sent at the most where the partner asks for it again and again.
    pub max_transmissions: u32,
    /// Seconds after which a partner that has not decided is told to operators, where the
    /// platform's `processing_time` says nothing that can be read.
    pub silent_after_s: u64,
}

impl Default for ConfirmPolicy {
    fn default() -> Self {
        Self {
            first_s: 15,
            max_s: 3600,
            max_transmissions: 5,
            silent_after_s: 5 * 24 * 3600,
        }
    }
}

impl ConfirmPolicy {
    /// The wait before the first question.
    #[must_use]
    pub fn first_wait(&self) -> Duration {
        Duration::from_secs(self.first_s)
    }

    /// The wait before the next question, this long after it was sent.
    #[must_use]
    pub fn wait(&self, since_sent: Duration) -> Duration {
        let longest = Duration::from_secs(self.max_s.max(self.first_s));
        (since_sent / 2).clamp(Duration::from_secs(self.first_s), longest)
    }

    /// How long a partner may be silent.
    fn patience(&self, processing_time: Option<TimeDelta>) -> Duration {
        processing_time
            .and_then(|time| time.to_std().ok())
            .unwrap_or(Duration::from_secs(self.silent_after_s))
    }
}

/// The job that asks: arguments of kind `confirm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Confirm {
    /// `worker.deliveries.id`.
    pub delivery: Uuid,
}

impl Job for Confirm {
    type Context = Arc<Services>;
    const KIND: &'static str = "confirm";
    /// Questions go on for as long as the partner takes; they give their attempt back.
    const MAX_ATTEMPTS: i16 = i16::MAX;
    const TIMEOUT: Duration = Duration::from_secs(300);
    const PREFETCH: bool = false;
    const BEGINS_ITSELF: bool = true;

    async fn run(self, services: Arc<Services>, lease: Lease) -> Result<Done, JobFault> {
        let Some(delivery) = begin(&services, self.delivery, &lease).await? else {
            return Ok(Done::Settled);
        };
        let mut patience = services.confirm.patience(None);
        let span = trace::question(&delivery);
        let work = async {
            let answer = ask(&services, &delivery, &mut patience)
                .instrument(trace::phase("ask"))
                .await;
            if let Err(fault) = &answer {
                trace::faulted(&Span::current(), fault);
            }
            record_answer(&services, &delivery, &lease, answer, patience)
                .instrument(trace::phase("record"))
                .await
        };
        work.instrument(span).await
    }
}

/// Counts the question. `None`: the lease is lost, or the delivery waits for no word any more.
async fn begin(services: &Services, id: Uuid, lease: &Lease) -> Result<Option<Delivery>, JobFault> {
    let now = (services.clock)();
    let mut tx = super::begin(&services.pool).await?;
    if queue::begin(&mut tx, lease, Some(id), now).await?.is_none() {
        return Ok(None);
    }
    let delivery = row::lock(&mut tx, id)
        .await?
        .filter(|delivery| delivery.state == State::Sent);
    if delivery.is_none() {
        queue::settle(&mut tx, lease, &Outcome::Completed, now).await?;
    }
    tx.commit().await?;
    Ok(delivery)
}

/// Asks the partner; `patience` becomes what its settings say.
async fn ask(
    services: &Services,
    delivery: &Delivery,
    patience: &mut Duration,
) -> Result<Status, Fault> {
    let mut conn = services.pool.acquire().await.map_err(unreadable)?;
    let row = platform_row(&mut conn, delivery).await?;
    drop(conn);
    let Known {
        platform, adapter, ..
    } = services.adapters.get(&row)?;
    *patience = services.confirm.patience(platform.processing_time);
    let receipt = delivery.receipt.clone().unwrap_or_default();
    adapter.status(&delivery.handover(), &receipt).await
}

async fn record_answer(
    services: &Services,
    asked: &Delivery,
    lease: &Lease,
    answer: Result<Status, Fault>,
    patience: Duration,
) -> Result<Done, JobFault> {
    let now = (services.clock)();
    let mut tx = super::begin(&services.pool).await?;
    let fault = answer.as_ref().err();
    let recorded = partner::record_question(&mut tx, services, asked, fault, now).await?;
    let delivery = row::lock(&mut tx, asked.id).await?;
    let done = match delivery {
        Some(delivery) => heard(tx, services, delivery, lease, answer, patience, now).await?,
        None => Done::Complete,
    };
    partner::log_question(&recorded, asked);
    Ok(done)
}

async fn heard(
    mut tx: Transaction<'_, Postgres>,
    services: &Services,
    mut delivery: Delivery,
    lease: &Lease,
    answer: Result<Status, Fault>,
    patience: Duration,
    now: DateTime<Utc>,
) -> Result<Done, JobFault> {
    if delivery.state != State::Sent {
        // Somebody else has heard the partner's word in the meantime.
        queue::settle(&mut tx, lease, &Outcome::Completed, now).await?;
        tx.commit().await?;
        return Ok(Done::Settled);
    }
    let since_sent = since_sent(&delivery, now);
    let is_silent = since_sent >= patience;
    let mut wait = services.confirm.wait(since_sent);
    if !is_silent {
        // The end of the partner's time is a moment to ask, too.
        wait = wait.min((patience - since_sent).max(Duration::from_secs(1)));
    }
    let wanted = match &answer {
        Ok(Status::Resend { wanted, .. }) => *wanted,
        _ => Wanted::Everything,
    };
    let (event, receipt, fault) = match word(services, &delivery, answer, wait) {
        Ok(said) => said,
        Err(pending) => {
            let outcome = Outcome::Snooze {
                at: after(now, wait),
                code: "pending".into(),
                message: pending,
            };
            if queue::settle(&mut tx, lease, &outcome, now).await? {
                if is_silent {
                    notices::silent(&mut tx, &delivery, now).await?;
                }
                tx.commit().await?;
            }
            return Ok(Done::Settled);
        }
    };
    if let (Event::ResendAsked, Some(fault)) = (event, &fault) {
        let (lease, fault) = (Some(lease), fault.clone());
        let begun = resend::begin(&mut tx, &mut delivery, lease, wanted, fault, now).await;
        return settled(tx, &delivery, begun).await;
    }
    let happened = Happened {
        receipt: receipt.as_ref(),
        fault: fault.as_ref(),
        is_silent,
        audience: Some(&services.audience),
        ..Happened::default()
    };
    let applied = outcome::apply(&mut tx, &mut delivery, event, &happened, Some(lease), now).await;
    settled(tx, &delivery, applied).await
}

async fn settled(
    tx: Transaction<'_, Postgres>,
    delivery: &Delivery,
    applied: Result<State, OutcomeError>,
) -> Result<Done, JobFault> {
    match applied {
        Ok(state) => {
            tx.commit().await?;
            tracing::info!(delivery.id = %delivery.id, "{}: {state}", delivery.name());
            Ok(Done::Settled)
        }
        Err(OutcomeError::LeaseLost) => Ok(Done::Settled),
        Err(OutcomeError::Refused(refused)) => {
            Err(JobFault::dead("delivery_state", refused.to_string()))
        }
        Err(OutcomeError::Database(error)) => Err(error.into()),
    }
}

/// What an answer means for the delivery: an event with what came with it. `Err`: nothing yet, in
/// these words.
fn word(
    services: &Services,
    delivery: &Delivery,
    answer: Result<Status, Fault>,
    wait: Duration,
) -> Result<(Event, Option<Receipt>, Option<Fault>), String> {
    let (event, receipt, fault) = match answer {
        Ok(Status::Pending(words)) => return Err(words),
        Ok(Status::Accepted(said)) => (
            Event::Accepted,
            Some(merged(delivery.receipt.clone(), *said)),
            None,
        ),
        Ok(Status::Rejected { reason, evidence }) => {
            let mut fault = Fault::new(Code::PartnerRefused, format!("the partner says: {reason}"));
            fault.evidence = evidence;
            (Event::Rejected, None, Some(fault))
        }
        Ok(Status::Resend {
            reason, evidence, ..
        }) => {
            let is_done = delivery.transmission >= services.confirm.max_transmissions;
            let (event, fault) = match is_done {
                true => {
                    let sent = delivery.transmission;
                    (Event::Rejected, resend::refused(&reason, sent, evidence))
                }
                false => (Event::ResendAsked, resend::asked(&reason, evidence)),
            };
            (event, None, Some(fault))
        }
        Err(fault) => {
            let wait = services.retry.asked_wait(fault.retry_after, wait);
            let event = Event::Faulted {
                class: fault.class(),
                wait,
                is_last: false,
                is_open: false,
            };
            (event, None, Some(fault))
        }
    };
    if let Some(fault) = &fault {
        tracing::warn!(
            delivery.id = %delivery.id,
            release.id = delivery.release_id,
            platform.id = delivery.platform_id,
            fault.code = fault.code.as_str(),
            "{}",
            record::sentence(delivery, fault),
        );
    }
    Ok((event, receipt, fault))
}

fn since_sent(delivery: &Delivery, now: DateTime<Utc>) -> Duration {
    delivery
        .sent_at
        .and_then(|sent| (now - sent).to_std().ok())
        .unwrap_or_default()
}

/// What the partner said now, with what was known before where it said nothing.
pub(super) fn merged(known: Option<Receipt>, said: Receipt) -> Receipt {
    let known = known.unwrap_or_default();
    Receipt {
        partner_release_id: said.partner_release_id.or(known.partner_release_id),
        url: said.url.or(known.url),
        message_id: said.message_id.or(known.message_id),
        remote_path: said.remote_path.or(known.remote_path),
        stated: said.stated.or(known.stated),
        ..said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_become_rarer_and_stay_within_bounds() {
        let policy = ConfirmPolicy {
            first_s: 10,
            max_s: 600,
            ..ConfirmPolicy::default()
        };
        assert_eq!(policy.wait(Duration::ZERO), Duration::from_secs(10));
        assert_eq!(
            policy.wait(Duration::from_secs(100)),
            Duration::from_secs(50)
        );
        assert_eq!(
            policy.wait(Duration::from_secs(1_000_000)),
            Duration::from_secs(600)
        );
    }

    #[test]
    fn an_answer_adds_to_the_receipt() {
        let known = Receipt {
            message_id: Some("m".into()),
            ..Receipt::default()
        };
        let said = Receipt {
            url: Some("u".into()),
            confirmed: "live".into(),
            ..Receipt::default()
        };
        let both = merged(Some(known), said);
        assert_eq!(
            (both.message_id.as_deref(), both.url.as_deref()),
            (Some("m"), Some("u"))
        );
        assert_eq!(both.confirmed, "live");
    }
}
