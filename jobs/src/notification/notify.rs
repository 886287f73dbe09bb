//! The job that sends a notification to every channel that wants it, each until it has been taken.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Event, Settings,
    mail::{Mail, To},
    ticket,
    webhook::Webhook,
};
use crate::{
    clock::Clock,
    queue::{Done, Job, JobFault, Lease, Outcome},
};

/// The queue of all notifications.
pub(super) const QUEUE: &str = "notify";

/// What notifications need to be sent.
pub struct Services {
    /// The database.
    pub pool: PgPool,
    /// Tells the time.
    pub clock: Clock,
    /// Who is told what.
    pub channels: Channels,
}

/// Who is told what, as configured.
pub struct Channels {
    webhooks: Vec<Webhook>,
    mail: Option<Mail>,
    tickets: bool,
}

impl Channels {
    /// The channels of the configuration.
    ///
    /// # Errors
    /// A sentence that names the channel that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        settings.validate().map_err(|error| error.to_string())?;
        let timeout = Duration::from_secs(settings.timeout_s);
        let webhook = |webhook: &super::WebhookSettings| {
            Webhook::new(webhook.clone(), settings.allow_private_addresses, timeout)
        };
        Ok(Self {
            webhooks: settings
                .webhooks
                .iter()
                .map(webhook)
                .collect::<Result<_, _>>()?,
            mail: Mail::new(&settings.mail, timeout)?,
            tickets: settings.support_tickets,
        })
    }

    fn of(&self, event: Event) -> Vec<Channel<'_>> {
        let mut channels: Vec<_> = self
            .webhooks
            .iter()
            .filter(|webhook| webhook.wants(event))
            .map(Channel::Webhook)
            .collect();
        if let Some(mail) = &self.mail {
            channels.extend(
                mail.recipients_of(event)
                    .into_iter()
                    .map(|to| Channel::Mail(mail, to)),
            );
        }
        if self.tickets && ticket::wants(event) {
            channels.push(Channel::Ticket);
        }
        channels
    }
}

enum Channel<'a> {
    Webhook(&'a Webhook),
    Mail(&'a Mail, To),
    Ticket,
}

impl Channel<'_> {
    fn name(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.channel(),
            Self::Mail(_, to) => to.channel(),
            Self::Ticket => ticket::CHANNEL.to_owned(),
        }
    }
}

/// A notification as it stands in the outbox.
pub(super) struct Told {
    pub(super) id: Uuid,
    pub(super) event: Event,
    pub(super) subject: String,
    pub(super) payload: Value,
    pub(super) created_at: DateTime<Utc>,
}

impl Told {
    /// What webhooks carry.
    pub(super) fn document(&self) -> Value {
        json!({
            "type": self.event,
            "timestamp": self.created_at,
            "data": self.payload,
        })
    }

    /// The schedule that it tells of, and its user.
    pub(super) fn schedule(&self) -> Option<(i32, i32)> {
        let number = |key: &str| i32::try_from(self.payload.get(key)?.as_i64()?).ok();
        Some((number("schedule")?, number("user")?))
    }
}

/// Why a channel did not take a notification.
pub(super) struct Problem {
    pub(super) text: String,
    /// Trying again would change nothing.
    pub(super) is_lasting: bool,
}

impl Problem {
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_lasting: false,
        }
    }

    pub(super) fn lasting(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_lasting: true,
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::passing(format!("the database refused or was away: {error}"))
    }
}

/// The job that sends: arguments of kind `notify`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notify {
    /// `worker.notifications.id`.
    pub notification: Uuid,
}

impl Job for Notify {
    type Context = Arc<Services>;
    const KIND: &'static str = "notify";
    /// With the queue's waits of an hour at most, about a day.
    const MAX_ATTEMPTS: i16 = 60;
    const TIMEOUT: Duration = Duration::from_secs(300);
    const PREFETCH: bool = true;

    async fn run(self, services: Arc<Services>, _lease: Lease) -> Result<Done, JobFault> {
        let Some(told) = load(&services.pool, self.notification).await? else {
            return Ok(Done::Complete);
        };
        let channels = services.channels.of(told.event);
        if channels.is_empty() {
            let mut conn = services.pool.acquire().await?;
            settle(&mut conn, told.id, "unaddressed", (services.clock)()).await?;
            return Ok(Done::Complete);
        }
        let taken = sqlx::query_scalar!(
            r#"select channel from worker.notification_sends
               where notification_id = $1 and delivered_at is not null"#,
            told.id
        )
        .fetch_all(&services.pool)
        .await?;
        let waiting = channels
            .iter()
            .filter(|channel| !taken.contains(&channel.name()));
        let sends = waiting.map(|channel| send(&services, &told, channel));
        let problems: Vec<Problem> = join_all(sends)
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect();
        if problems.is_empty() {
            delivered(&services, &told).await?;
            return Ok(Done::Complete);
        }
        let message = problems
            .iter()
            .map(|problem| problem.text.as_str())
            .collect::<Vec<_>>();
        let (code, message) = ("notification_undelivered", message.join("; "));
        Err(match problems.iter().all(|problem| problem.is_lasting) {
            true => JobFault::dead(code, message),
            false => JobFault::retry(code, message),
        })
    }

    async fn decided_by_queue(
        conn: &mut PgConnection,
        _lease: &Lease,
        arguments: &Value,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        if let (Outcome::Dead { .. }, Ok(Self { notification })) =
            (outcome, serde_json::from_value(arguments.clone()))
        {
            settle(conn, notification, "failed", now).await?;
        }
        Ok(())
    }
}

/// `None`: it is settled, gone, or of an event that only a newer version of the worker knows.
async fn load(pool: &PgPool, id: Uuid) -> Result<Option<Told>, JobFault> {
    let row = sqlx::query!(
        r#"select id, event, subject, payload, created_at from worker.notifications
           where id = $1 and state = 'pending'"#,
        id
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let event = Event::from_word(&row.event).ok_or_else(|| {
            let message = format!("event {:?} is not known to this version", row.event);
            JobFault::retry("event_unknown", message)
        })?;
        Ok(Told {
            id: row.id,
            event,
            subject: row.subject,
            payload: row.payload,
            created_at: row.created_at,
        })
    })
    .transpose()
}

/// Sends to one channel and writes down what came of it. A crash between the two sends it again,
/// under the same id.
async fn send(services: &Services, told: &Told, channel: &Channel<'_>) -> Result<(), Problem> {
    let now = (services.clock)();
    let name = channel.name();
    let sent = match channel {
        Channel::Webhook(webhook) => webhook.send(told, now).await,
        Channel::Mail(mail, to) => {
            let owner = owner_address(&services.pool, told).await?;
            mail.send(told, to, owner.as_deref()).await
        }
        // In one transaction with its record: a ticket is opened once.
        Channel::Ticket => return open_ticket(services, told, &name, now).await,
    };
    let problem = sent.as_ref().err().map(|problem| problem.text.as_str());
    let mut conn = services.pool.acquire().await?;
    record(&mut conn, told.id, &name, problem, now).await?;
    sent.map_err(|problem| {
        tracing::warn!(
            notification.id = %told.id, notification.event = told.event.as_str(), channel = name,
            "not told: {}", problem.text
        );
        Problem {
            text: format!("{name}: {}", problem.text),
            ..problem
        }
    })
}

async fn open_ticket(
    services: &Services,
    told: &Told,
    channel: &str,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let mut tx = services.pool.begin().await?;
    let is_new = record(&mut tx, told.id, channel, None, now).await?;
    if is_new && !ticket::open(&mut tx, told, now).await? {
        return Err(Problem::lasting("ticket: the user is not there any more"));
    }
    tx.commit().await?;
    Ok(())
}

/// False: the channel had taken it before.
async fn record(
    conn: &mut PgConnection,
    notification: Uuid,
    channel: &str,
    problem: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let written = sqlx::query!(
        r#"insert into worker.notification_sends as known
               (notification_id, channel, delivered_at, problem)
           values ($1, $2, case when $3::text is null then $4::timestamptz end, $3)
           on conflict (notification_id, channel) do update
               set tries = known.tries + 1, delivered_at = excluded.delivered_at,
                   problem = excluded.problem
               where known.delivered_at is null"#,
        notification,
        channel,
        problem.map(|text| text.replace('\0', "\u{fffd}")),
        now,
    )
    .execute(conn)
    .await?;
    Ok(written.rows_affected() > 0)
}

async fn owner_address(pool: &PgPool, told: &Told) -> Result<Option<String>, sqlx::Error> {
    let Some((_, user)) = told.schedule() else {
        return Ok(None);
    };
    sqlx::query_scalar!("select email from public.users where id = $1", user)
        .fetch_optional(pool)
        .await
}

/// Every channel has it: the schedule's `notification_sent` says so.
async fn delivered(services: &Services, told: &Told) -> Result<(), sqlx::Error> {
    let now = (services.clock)();
    let mut tx = services.pool.begin().await?;
    settle(&mut tx, told.id, "delivered", now).await?;
    if let Some((schedule, _)) = told.schedule() {
        sqlx::query!(
            r#"update public.scheduled_distributions set notification_sent = true, updated_at = $2
               where id = $1"#,
            schedule,
            now.naive_utc(),
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

async fn settle(
    conn: &mut PgConnection,
    notification: Uuid,
    state: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update worker.notifications set state = $2, settled_at = $3
           where id = $1 and state = 'pending'"#,
        notification,
        state,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
