//! What an operator sees of the outbox and does to it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::outbox;
use crate::{
    audit::{self, By, Change},
    database::storable,
};

/// Which notifications are listed: all that fit every condition given, the newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `worker.notifications.state`.
    pub state: Option<String>,
    /// The event's word.
    pub event: Option<String>,
    /// What they tell of: `schedule/12`, `delivery/<id>`, `platform/3`.
    pub subject: Option<String>,
    /// Only those before this one in the list's order.
    pub after: Option<Uuid>,
    /// At most so many.
    pub limit: i64,
}

/// A notification as lists show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
pub struct Listed {
    /// The id that receivers see.
    pub id: Uuid,
    /// What it is.
    pub event: String,
    /// What it tells of.
    pub subject: String,
    /// `pending`, `delivered`, `failed`, `unaddressed`, `dismissed`.
    pub state: String,
    /// When it came to be (UTC).
    pub created_at: DateTime<Utc>,
    /// When it was settled (UTC).
    pub settled_at: Option<DateTime<Utc>>,
    /// Channels that have taken it.
    pub taken: i64,
    /// What the others said, with their names.
    pub problems: Option<String>,
}

/// Lists notifications.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, filter: &Filter) -> Result<Vec<Listed>, sqlx::Error> {
    let text = |value: &Option<String>| value.as_deref().map(|text| storable(text).into_owned());
    sqlx::query_as!(
        Listed,
        r#"select n.id, n.event, n.subject, n.state, n.created_at, n.settled_at,
               (select count(*) from worker.notification_sends s
                where s.notification_id = n.id and s.delivered_at is not null) as "taken!",
               (select string_agg(s.channel || ': ' || s.problem, '; ' order by s.channel)
                from worker.notification_sends s
                where s.notification_id = n.id and s.delivered_at is null) as problems
           from worker.notifications n
           where ($1::text is null or n.state = $1) and ($2::text is null or n.event = $2)
             and ($3::text is null or n.subject = $3) and ($5::uuid is null or n.id < $5)
           order by n.id desc limit $4"#,
        text(&filter.state),
        text(&filter.event),
        text(&filter.subject),
        filter.limit,
        filter.after,
    )
    .fetch_all(pool)
    .await
}

/// All that is known of a notification.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NotificationStory)]
pub struct Story {
    /// The notification itself.
    #[serde(flatten)]
    pub notification: Listed,
    /// The details, as receivers get them.
    pub payload: Value,
    /// When its job tries again (UTC).
    pub next_try_at: Option<DateTime<Utc>>,
    /// What each channel said.
    pub sends: Vec<Send>,
}

/// What a channel said of a notification.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NotificationSend)]
#[expect(missing_docs, reason = "the columns of worker.notification_sends")]
pub struct Send {
    pub channel: String,
    pub tries: i32,
    pub delivered_at: Option<DateTime<Utc>>,
    pub given_up_at: Option<DateTime<Utc>>,
    pub problem: Option<String>,
}

/// Reads the story of a notification; `None` when there is no such notification.
///
/// # Errors
/// The database's.
pub async fn story(pool: &PgPool, id: Uuid) -> Result<Option<Story>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select n.event, n.subject, n.state, n.created_at, n.settled_at, n.payload,
               (select min(j.run_at) from worker.jobs j
                where j.unique_key = 'notify/' || n.id and j.state = 'available') as next_try_at
           from worker.notifications n where n.id = $1"#,
        id
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let sends = sqlx::query_as!(
        Send,
        r#"select channel, tries, delivered_at, given_up_at, problem
           from worker.notification_sends where notification_id = $1 order by channel"#,
        id
    )
    .fetch_all(pool)
    .await?;
    let (taken, others): (Vec<&Send>, Vec<&Send>) =
        sends.iter().partition(|send| send.delivered_at.is_some());
    let problems: Vec<String> = others
        .iter()
        .filter_map(|send| Some(format!("{}: {}", send.channel, send.problem.as_ref()?)))
        .collect();
    Ok(Some(Story {
        notification: Listed {
            id,
            event: row.event,
            subject: row.subject,
            state: row.state,
            created_at: row.created_at,
            settled_at: row.settled_at,
            taken: i64::try_from(taken.len()).unwrap_or(i64::MAX),
            problems: Some(problems.join("; ")).filter(|text| !text.is_empty()),
        },
        payload: row.payload,
        next_try_at: row.next_try_at,
        sends,
    }))
}

/// What an operator can do to a notification that did not reach everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Send it again to the channels that have not taken it, or to those that are configured now.
    Retry,
    /// Let it be: it is no longer listed as failed, and goes with age.
    Dismiss,
}

impl Remedy {
    fn action(self) -> &'static str {
        match self {
            Self::Retry => "notification.retry",
            Self::Dismiss => "notification.dismiss",
        }
    }

    fn states(self) -> &'static [&'static str] {
        match self {
            Self::Retry => &["failed", "unaddressed", "dismissed"],
            Self::Dismiss => &["failed"],
        }
    }

    fn leads_to(self) -> &'static str {
        match self {
            Self::Retry => "pending",
            Self::Dismiss => "dismissed",
        }
    }
}

/// What a remedy came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedied {
    /// Done.
    Done,
    /// The notification is in this state, in which it cannot be done.
    Refused(String),
    /// There is no such notification.
    Missing,
}

/// Does something about a notification, with its row in the audit.
///
/// # Errors
/// The database's; then nothing has changed.
pub async fn remedy(
    pool: &PgPool,
    id: Uuid,
    remedy: Remedy,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Remedied, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let state = sqlx::query_scalar!(
        "select state from worker.notifications where id = $1 for update",
        id
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(state) = state else {
        return Ok(Remedied::Missing);
    };
    if !remedy.states().contains(&state.as_str()) {
        return Ok(Remedied::Refused(state));
    }
    sqlx::query!(
        r#"update worker.notifications
           set state = $2, settled_at = case when $2 <> 'pending' then $3::timestamptz end
           where id = $1"#,
        id,
        remedy.leads_to(),
        now,
    )
    .execute(&mut *tx)
    .await?;
    if remedy == Remedy::Retry {
        sqlx::query!(
            "update worker.notification_sends set given_up_at = null where notification_id = $1",
            id
        )
        .execute(&mut *tx)
        .await?;
        outbox::enqueue(&mut tx, &[id], now).await?;
    }
    let change = Change {
        action: remedy.action(),
        object_kind: "notification",
        object_id: id.to_string(),
        before: Some(json!({"state": state})),
        after: Some(json!({"state": remedy.leads_to()})),
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    Ok(Remedied::Done)
}
