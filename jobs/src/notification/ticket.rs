//! Support tickets: a schedule that ends with platforms failed opens one for the release's owner, with an
//! internal message that holds the evidence for whoever takes it up.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Event, letter, notify::Told};

/// The length of `support_tickets.subject`.
const SUBJECT_CHARS: usize = 255;
/// Attempts listed of each delivery; the others are in `deliveries show`.
const ATTEMPTS: i64 = 20;

pub(super) const CHANNEL: &str = "ticket";

/// Whether an event opens a ticket.
pub(super) fn wants(event: Event) -> bool {
    matches!(event, Event::SchedulePartial | Event::ScheduleFailed)
}

/// Opens the ticket. False: there is no owner to open it for any more.
pub(super) async fn open(
    conn: &mut PgConnection,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let Some((schedule, owner)) = told.schedule() else {
        return Ok(false);
    };
    let subject: String = letter::subject(told).chars().take(SUBJECT_CHARS).collect();
    let priority = match told.event {
        Event::ScheduleFailed => "high",
        _ => "medium",
    };
    let ticket = sqlx::query_scalar!(
        r#"insert into public.support_tickets
               (user_id, subject, description, priority, category, created_at, updated_at)
           select id, $2, $3, $4, 'distribution', $5, $5 from public.users where id = $1
           returning id"#,
        owner,
        subject,
        letter::body(told, &[]),
        priority,
        now.naive_utc(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(ticket) = ticket else {
        return Ok(false);
    };
    let evidence = evidence(conn, schedule).await?;
    sqlx::query!(
        r#"insert into public.support_ticket_messages
               (ticket_id, user_id, message, attachments, is_internal, created_at)
           values ($1, $2, $3, $4, true, $5)"#,
        ticket,
        owner,
        evidence.text,
        json!(evidence.documents),
        now.naive_utc(),
    )
    .execute(conn)
    .await?;
    Ok(true)
}

struct Evidence {
    text: String,
    documents: Vec<serde_json::Value>,
}

/// What is known of the deliveries that failed: the fault, each attempt, the documents kept.
async fn evidence(conn: &mut PgConnection, schedule: i32) -> Result<Evidence, sqlx::Error> {
    let failed = sqlx::query!(
        r#"select t.platform_id, t.failure->>'code' as code, t.failure->>'message' as message,
               t.delivery_id, d.method as "method?", d.revision as "revision?"
           from worker.schedule_targets t
           left join worker.deliveries d on d.id = t.delivery_id
           where t.schedule_id = $1 and t.state = 'failed' order by t.platform_id"#,
        schedule
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut told = Evidence {
        text: String::new(),
        documents: Vec::new(),
    };
    for one in failed {
        // Writing to a String cannot fail.
        let _ = writeln!(
            told.text,
            "Platform {}: {}: {}",
            one.platform_id,
            one.code.unwrap_or_default(),
            one.message.unwrap_or_default()
        );
        let (Some(delivery), Some(method), Some(revision)) =
            (one.delivery_id, one.method, one.revision)
        else {
            continue;
        };
        let _ = writeln!(
            told.text,
            "Delivery {delivery}, revision {revision}, by {method}."
        );
        attempts(conn, delivery, &mut told.text).await?;
        documents(conn, delivery, &mut told).await?;
        told.text.push('\n');
    }
    Ok(told)
}

async fn attempts(
    conn: &mut PgConnection,
    delivery: Uuid,
    text: &mut String,
) -> Result<(), sqlx::Error> {
    let attempts = sqlx::query!(
        r#"select started_at, outcome, fault_code, fault_message from worker.attempts
           where delivery_id = $1 order by started_at desc, id desc limit $2"#,
        delivery,
        ATTEMPTS,
    )
    .fetch_all(conn)
    .await?;
    for attempt in attempts.iter().rev() {
        let _ = writeln!(
            text,
            "- {} {} {}: {}",
            attempt.started_at.format("%F %T UTC"),
            attempt.outcome.as_deref().unwrap_or("under way"),
            attempt.fault_code.as_deref().unwrap_or(""),
            attempt.fault_message.as_deref().unwrap_or(""),
        );
    }
    Ok(())
}

async fn documents(
    conn: &mut PgConnection,
    delivery: Uuid,
    told: &mut Evidence,
) -> Result<(), sqlx::Error> {
    let kept = sqlx::query!(
        r#"select name, media_type, length(body) as "bytes!",
               encode(sha256(body), 'hex') as "sha256!"
           from worker.evidence where delivery_id = $1 order by id"#,
        delivery
    )
    .fetch_all(conn)
    .await?;
    for document in kept {
        let _ = writeln!(
            told.text,
            "Kept: {} ({} bytes); print it with `tunemantra-worker deliveries evidence {delivery} {}`.",
            document.name, document.bytes, document.name
        );
        told.documents.push(json!({
            "delivery": delivery, "name": document.name, "media_type": document.media_type,
            "bytes": document.bytes, "sha256": document.sha256,
        }));
    }
    Ok(())
}
