//! The job that sends a notification to every channel that wants it, each until it has been taken.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Channels, Event, channels::Channel, digest, mail::To, ticket};
use crate::{
    clock::Clock,
    database::storable,
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

/// A notification as it stands in the outbox.
pub(super) struct Told {
    pub(super) id: Uuid,
    pub(super) event: Event,
    pub(super) subject: String,
    pub(super) topic: String,
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

    /// The schedule that it tells of, and the owner of its release.
    pub(super) fn schedule(&self) -> Option<(i32, i32)> {
        let number = |key: &str| i32::try_from(self.payload.get(key)?.as_i64()?).ok();
        Some((number("schedule")?, number("owner")?))
    }
}

/// Why a channel has not taken a notification.
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) again: Again,
}

/// What follows from a problem.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It may pass: the notification is sent again after a while.
    Later,
    /// It is no fault: the channel gathers what comes until then.
    At(DateTime<Utc>),
    /// Trying again would change nothing.
    Never,
}

impl Problem {
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            again: Again::Later,
        }
    }

    pub(super) fn lasting(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            again: Again::Never,
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
        let known = known(&services.pool, told.id).await?;
        let mut problems = Vec::new();
        let mut waiting = Vec::new();
        for channel in &channels {
            match known.get(&channel.name()) {
                Some(Known::Taken) => {}
                Some(Known::GivenUp(problem)) => problems.push(Problem::lasting(problem.clone())),
                None => waiting.push(channel),
            }
        }
        let sends = waiting
            .into_iter()
            .map(|channel| send(&services, &told, channel));
        problems.extend(join_all(sends).await.into_iter().filter_map(Result::err));
        // Mail to operators that is gathered keeps nobody else from having been told.
        let is_gathered = |problem: &Problem| matches!(problem.again, Again::At(_));
        if problems.len() < channels.len() && problems.iter().all(is_gathered) {
            let mut conn = services.pool.acquire().await?;
            mark_schedule(&mut conn, &told, (services.clock)()).await?;
        }
        match fault(&problems) {
            Some(fault) => Err(fault),
            None => {
                let mut conn = services.pool.acquire().await?;
                settle(&mut conn, told.id, "delivered", (services.clock)()).await?;
                Ok(Done::Complete)
            }
        }
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

/// What follows for the job from what the channels said; `None`: they have all taken it.
fn fault(problems: &[Problem]) -> Option<JobFault> {
    let texts = |again: fn(Again) -> bool| {
        let texts = problems.iter().filter(|problem| again(problem.again));
        let texts: Vec<&str> = texts.map(|problem| problem.text.as_str()).collect();
        texts.join("; ")
    };
    let soonest = problems.iter().filter_map(|problem| match problem.again {
        Again::At(at) => Some(at),
        Again::Later | Again::Never => None,
    });
    let is_passing = problems.iter().any(|one| one.again == Again::Later);
    match (is_passing, soonest.min()) {
        (true, _) => {
            let message = texts(|again| again == Again::Later);
            Some(JobFault::retry("notification_undelivered", message))
        }
        (false, Some(at)) => Some(JobFault::Snooze {
            at,
            code: "notification_gathered".into(),
            message: texts(|again| matches!(again, Again::At(_))),
        }),
        (false, None) if problems.is_empty() => None,
        (false, None) => {
            let message = texts(|again| again == Again::Never);
            Some(JobFault::dead("notification_undelivered", message))
        }
    }
}

/// What a channel has made of a notification.
enum Known {
    Taken,
    GivenUp(String),
}

/// The channels that are through with a notification.
async fn known(pool: &PgPool, id: Uuid) -> Result<HashMap<String, Known>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select channel, delivered_at is not null as "is_taken!",
               coalesce(problem, '') as "problem!"
           from worker.notification_sends
           where notification_id = $1 and (delivered_at is not null or given_up_at is not null)"#,
        id
    )
    .fetch_all(pool)
    .await?;
    let known = |is_taken: bool, channel: &str, problem: &str| match is_taken {
        true => Known::Taken,
        false => Known::GivenUp(format!("{channel}: {problem}")),
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let known = known(row.is_taken, &row.channel, &row.problem);
            (row.channel, known)
        })
        .collect())
}

/// `None`: it is settled, gone, or of an event that only a newer version of the worker knows.
async fn load(pool: &PgPool, id: Uuid) -> Result<Option<Told>, JobFault> {
    let row = sqlx::query!(
        r#"select id, event, subject, topic, payload, created_at from worker.notifications
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
            topic: row.topic,
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
        Channel::Mail(mail, to @ To::Owner) => {
            let owner = owner_address(&services.pool, told).await?;
            mail.send(told, &[], to, owner.as_deref()).await
        }
        // These two are written down together with what is done.
        Channel::Mail(mail, to) => digest::send(services, told, mail, to, now).await,
        Channel::Ticket => open_ticket(services, told, &name, now).await,
    };
    let problem = sent.as_ref().err();
    if problem.is_none_or(|problem| !matches!(problem.again, Again::At(_))) {
        let mut conn = services.pool.acquire().await?;
        record(&mut conn, told.id, &name, problem, now).await?;
    }
    sent.map_err(|problem| {
        if !matches!(problem.again, Again::At(_)) {
            tracing::warn!(
                notification.id = %told.id, notification.event = told.event.as_str(),
                channel = name, "not told: {}", problem.text
            );
        }
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
    let mut tx = crate::database::begin(&services.pool, "begin").await?;
    let is_new = record(&mut tx, told.id, channel, None, now).await?;
    if is_new && !ticket::open(&mut tx, told, now).await? {
        return Err(Problem::lasting("the owner is not there any more"));
    }
    tx.commit().await?;
    Ok(())
}

/// Writes down what a channel said. False: it had taken it before.
pub(super) async fn record(
    conn: &mut PgConnection,
    notification: Uuid,
    channel: &str,
    problem: Option<&Problem>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let text = problem.map(|problem| storable(&problem.text));
    let written = sqlx::query!(
        r#"insert into worker.notification_sends as known
               (notification_id, channel, delivered_at, given_up_at, problem)
           values ($1, $2, case when $3::text is null then $4::timestamptz end,
                   case when $5 then $4 end, $3)
           on conflict (notification_id, channel) do update
               set tries = known.tries + 1, delivered_at = excluded.delivered_at,
                   given_up_at = excluded.given_up_at, problem = excluded.problem
               where known.delivered_at is null"#,
        notification,
        channel,
        text.as_deref(),
        now,
        problem.is_some_and(|problem| problem.again == Again::Never),
    )
    .execute(conn)
    .await?;
    Ok(written.rows_affected() > 0)
}

async fn owner_address(pool: &PgPool, told: &Told) -> Result<Option<String>, sqlx::Error> {
    let Some((_, owner)) = told.schedule() else {
        return Ok(None);
    };
    sqlx::query_scalar!("select email from public.users where id = $1", owner)
        .fetch_optional(pool)
        .await
}

/// The schedule's `notification_sent` says that people were told of it.
async fn mark_schedule(
    conn: &mut PgConnection,
    told: &Told,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let Some((schedule, _)) = told.schedule() else {
        return Ok(());
    };
    sqlx::query!(
        r#"update public.scheduled_distributions set notification_sent = true, updated_at = $2
           where id = $1 and notification_sent is distinct from true"#,
        schedule,
        now.naive_utc(),
    )
    .execute(conn)
    .await?;
    Ok(())
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
