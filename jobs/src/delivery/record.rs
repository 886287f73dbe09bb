//! The distribution record: what the web application shows of a release on a platform. Written in
//! the transaction that changes the delivery.

use chrono::{DateTime, Utc};
use platform_adapters::{Fault, Receipt};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{State, record_status, row::Delivery};
use crate::database::storable;

/// The longest texts that the record's columns take.
const PLATFORM_RELEASE_ID_CHARS: usize = 100;
const PLATFORM_URL_CHARS: usize = 255;

/// What the record is told of a delivery.
pub(super) struct Shown<'a> {
    pub(super) state: State,
    pub(super) receipt: Option<&'a Receipt>,
    pub(super) fault: Option<&'a Fault>,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    /// An attempt has ended: it goes into `submission_history`.
    pub(super) attempt: Option<i32>,
}

/// Brings the record up to date. A record that is gone (its release was deleted) is no error. The
/// answer is whether this is known to be the newest delivery of its release and platform.
pub(super) async fn show(
    conn: &mut PgConnection,
    delivery: &Delivery,
    shown: &Shown<'_>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let status = record_status(delivery.kind, shown.state, delivery.is_live());
    let error = shown.fault.map(|fault| sentence(delivery, fault));
    let details = json!({
        "delivery": delivery.id,
        "kind": delivery.kind,
        "revision": delivery.revision,
        "state": shown.state.as_str(),
        "attempts": delivery.attempts,
        "next_attempt_at": shown.next_attempt_at,
        "fault": shown.fault.map(|fault| fault.code.as_str()),
        "confirmed": shown.receipt.map(|receipt| receipt.confirmed.as_str()),
    });
    let entry: Option<Value> = shown.attempt.map(|attempt| {
        json!({
            "at": now,
            "delivery": delivery.id,
            "kind": delivery.kind,
            "attempt": attempt,
            "state": shown.state.as_str(),
            "code": shown.fault.map(|fault| fault.code.as_str()),
            "message": shown.fault.map(|fault| storable(&fault.message)),
        })
    });
    let fits = |text: Option<&String>, limit: usize| {
        text.filter(|text| text.chars().count() <= limit && !text.contains('\0'))
            .cloned()
    };
    let partner_id = fits(
        shown
            .receipt
            .and_then(|receipt| receipt.partner_release_id.as_ref()),
        PLATFORM_RELEASE_ID_CHARS,
    );
    let url = fits(
        shown.receipt.and_then(|receipt| receipt.url.as_ref()),
        PLATFORM_URL_CHARS,
    );
    // A late word on an earlier delivery goes into the history: the record shows the newest one.
    let is_newest = sqlx::query_scalar!(
        r#"with newest as (
               select not exists (select from worker.deliveries later
                                  where later.release_id = $10 and later.platform_id = $11
                                    and later.revision > $12) as it
           )
           update public.distribution_records set
               status = case when newest.it then ($2::text)::public.distribution_status else status end,
               distribution_date = case when $3 and newest.it then $4 else distribution_date end,
               platform_release_id = coalesce($5, platform_release_id),
               platform_url = coalesce($6, platform_url),
               error_details = case when newest.it then $7 else error_details end,
               processing_details = case when newest.it then
                   case jsonb_typeof(processing_details) when 'object'
                   then processing_details else '{}' end || jsonb_build_object('worker', $8::jsonb)
                   else processing_details end,
               submission_history = case when $9::jsonb is null then submission_history
                   else (coalesce(submission_history, '{}') || $9::jsonb)
                       [greatest(1, coalesce(cardinality(submission_history), 0) - 48):] end,
               last_status_update = case when newest.it and status::text is distinct from $2 then $4
                   else last_status_update end,
               updated_at = $4
           from newest
           where id = $1
           returning newest.it as "is_newest!""#,
        delivery.record_id,
        status.as_str(),
        shown.state == State::Accepted,
        now.naive_utc(),
        partner_id,
        url,
        error,
        details,
        entry,
        delivery.release_id,
        delivery.platform_id,
        i32::try_from(delivery.revision).unwrap_or(i32::MAX),
    )
    .fetch_optional(conn)
    .await?;
    Ok(is_newest.unwrap_or(false))
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
