//! A delivery's row, and the distribution record: what the web application shows of a release on a
//! platform. Both are written at once.

use chrono::{DateTime, Utc};
use platform_adapters::{Fault, Kind, Receipt, release::Release};
use serde_json::{Value, json};
use sqlx::{PgConnection, types::Json};

use super::{
    RecordStatus, State, record_status,
    row::{Delivery, Unknown},
};
use crate::database::storable;

/// The longest texts that the record's columns take.
const PLATFORM_RELEASE_ID_CHARS: usize = 100;
const PLATFORM_URL_CHARS: usize = 255;

/// What is written of a delivery.
#[derive(Default)]
pub(super) struct Written<'a> {
    /// When an attempt begins: which kind it is of, since when, and what is not known of those before.
    pub(super) begun: Option<Begins<'a>>,
    /// What the partner says now; `None`: what was known stands.
    pub(super) receipt: Option<&'a Receipt>,
    pub(super) fault: Option<&'a Fault>,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    /// An attempt has ended: it goes into `submission_history`.
    pub(super) attempt: Option<i32>,
    pub(super) fingerprint: Option<&'a str>,
    /// The release as it was packaged.
    pub(super) snapshot: Option<&'a Release>,
    /// It is known what became of every attempt before the one that ended.
    pub(super) is_answered: bool,
    /// The last step that is certain.
    pub(super) last_step: Option<&'a str>,
    /// When it is given up, where that is not fixed yet.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// The beginning of an attempt. The fault of the one before stands until this one has ended.
pub(super) struct Begins<'a> {
    pub(super) kind: Kind,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) unknown: Option<&'a Unknown>,
}

/// Writes a delivery's row and its record, which is one statement because each attempt does it twice. A
/// record that is gone (its release was deleted) is no error. The answer is whether this is known to
/// be the newest delivery of its release and platform.
pub(super) async fn write(
    conn: &mut PgConnection,
    delivery: &Delivery,
    state: State,
    written: &Written<'_>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let fault = written.fault;
    let message = fault.map(|fault| storable(&fault.message));
    let remedy = fault.map(|fault| storable(fault.remedy()));
    let last_step = written.last_step.map(storable).or_else(|| message.clone());
    let begun = written.begun.as_ref();
    let unknown = begun.and_then(|begun| begun.unknown);
    let receipt = written
        .receipt
        .or(delivery.receipt.as_ref())
        .filter(|_| begun.is_none());
    let shown = Shown::new(delivery, state, receipt, written, now);
    // A late word on an earlier delivery goes into the history: the record shows the newest one.
    let is_newest = sqlx::query_scalar!(
        r#"with written as (
               update worker.deliveries set
                   state = $2,
                   attempts = $3,
                   kind = case when $16 then $17 else kind end,
                   started_at = case when $16 then $18 else started_at end,
                   next_attempt_at = $4,
                   receipt = coalesce($5, receipt),
                   fingerprint = coalesce($6, fingerprint),
                   snapshot = coalesce($12, snapshot),
                   fault_code = case when $16 then fault_code else $7 end,
                   fault_message = case when $16 then fault_message else $8 end,
                   fault_remedy = case when $16 then fault_remedy else $9 end,
                   sent_at = case when $2 in ('sent', 'accepted') then coalesce(sent_at, $10) else sent_at end,
                   decided_at = case when $11 then $10 end,
                   -- $13: it is known what became of every attempt before the one that ended.
                   unknown_since = case
                       when $16 then $19
                       when $2 = 'unknown' then case when $13 then $10 else coalesce(unknown_since, $10) end
                       when $13 or $2 in ('sent', 'accepted', 'rejected') then null
                       else unknown_since end,
                   unknown_reason = case
                       when $16 then $20
                       when $2 = 'unknown' then case when $13 then $14 else coalesce(unknown_reason, $14) end
                       when $13 or $2 in ('sent', 'accepted', 'rejected') then null
                       else unknown_reason end,
                   expires_at = coalesce(expires_at, $15),
                   updated_at = $10
               where id = $1
           ), newest as (
               select not exists (select from worker.deliveries later
                                  where later.release_id = $28 and later.platform_id = $29
                                    and later.revision > $30) as it
           )
           update public.distribution_records set
               status = case when newest.it then ($22::text)::public.distribution_status else status end,
               distribution_date = case when $2 = 'accepted' and newest.it then $31 else distribution_date end,
               platform_release_id = coalesce($23, platform_release_id),
               platform_url = coalesce($24, platform_url),
               error_details = case when newest.it then $25 else error_details end,
               processing_details = case when newest.it then
                   case jsonb_typeof(processing_details) when 'object'
                   then processing_details else '{}' end || jsonb_build_object('worker', $26::jsonb)
                   else processing_details end,
               submission_history = case when $27::jsonb is null then submission_history
                   else (coalesce(submission_history, '{}') || $27::jsonb)
                       [greatest(1, coalesce(cardinality(submission_history), 0) - 48):] end,
               last_status_update = case when newest.it and status::text is distinct from $22 then $31
                   else last_status_update end,
               updated_at = $31
           from newest
           where id = $21
           returning newest.it as "is_newest!""#,
        delivery.id,
        state.as_str(),
        delivery.attempts,
        written.next_attempt_at,
        written.receipt.map(Json) as Option<Json<&Receipt>>,
        written.fingerprint,
        fault.map(|fault| fault.code.as_str()),
        message.as_deref(),
        remedy.as_deref(),
        now,
        state.is_decided(),
        written.snapshot.map(Json) as Option<Json<&Release>>,
        written.is_answered,
        last_step.as_deref(),
        written.expires_at,
        begun.is_some(),
        begun.map(|begun| begun.kind.as_str()),
        begun.and_then(|begun| begun.started_at),
        unknown.map(|unknown| unknown.since),
        unknown.map(|unknown| unknown.reason.as_str()),
        delivery.record_id,
        shown.status.as_str(),
        shown.partner_id,
        shown.url,
        shown.error,
        shown.details,
        shown.entry,
        delivery.release_id,
        delivery.platform_id,
        i32::try_from(delivery.revision).unwrap_or(i32::MAX),
        now.naive_utc(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(is_newest.unwrap_or(false))
}

/// What the record shows of a delivery.
struct Shown {
    status: RecordStatus,
    partner_id: Option<String>,
    url: Option<String>,
    error: Option<String>,
    details: Value,
    entry: Option<Value>,
}

impl Shown {
    fn new(
        delivery: &Delivery,
        state: State,
        receipt: Option<&Receipt>,
        written: &Written<'_>,
        now: DateTime<Utc>,
    ) -> Self {
        let fault = written.fault;
        let details = json!({
            "delivery": delivery.id,
            "kind": delivery.kind,
            "revision": delivery.revision,
            "state": state.as_str(),
            "attempts": delivery.attempts,
            "next_attempt_at": written.next_attempt_at,
            "fault": fault.map(|fault| fault.code.as_str()),
            "confirmed": receipt.map(|receipt| receipt.confirmed.as_str()),
        });
        let entry = written.attempt.map(|attempt| {
            json!({
                "at": now,
                "delivery": delivery.id,
                "kind": delivery.kind,
                "attempt": attempt,
                "state": state.as_str(),
                "code": fault.map(|fault| fault.code.as_str()),
                "message": fault.map(|fault| storable(&fault.message)),
            })
        });
        let fits = |text: Option<&String>, limit: usize| {
            text.filter(|text| text.chars().count() <= limit && !text.contains('\0'))
                .cloned()
        };
        let partner_id = receipt.and_then(|receipt| receipt.partner_release_id.as_ref());
        let url = receipt.and_then(|receipt| receipt.url.as_ref());
        Self {
            status: record_status(delivery.kind, state, delivery.is_live()),
            partner_id: fits(partner_id, PLATFORM_RELEASE_ID_CHARS),
            url: fits(url, PLATFORM_URL_CHARS),
            error: fault.map(|fault| sentence(delivery, fault)),
            details,
            entry,
        }
    }
}

/// The sentence a person reads: what happened, to which release and platform, what to do.
pub(super) fn sentence(delivery: &Delivery, fault: &Fault) -> String {
    let message = fault.message.trim_end_matches('.');
    storable(&format!(
        "{}: {message}. {}",
        delivery.name(),
        fault.remedy()
    ))
    .into_owned()
}
