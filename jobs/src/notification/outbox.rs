//! The outbox: notices are written in the transaction of what they tell of, and a job for each.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Event, Notify, notify::QUEUE};
use crate::queue::{self, NewJob};

/// What is known, where something is raised, of who wants to be told.
#[derive(Clone, Debug, Default)]
pub struct Audience {
    /// Events that no channel wants. Of the others it is found out when their turn comes.
    pub(super) unheard: Vec<&'static str>,
}

/// Something worth telling.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What it is.
    pub event: Event,
    /// What it tells of: `delivery/<id>`, `platform/3`.
    pub subject: String,
    /// The details, as they go to receivers.
    pub payload: Value,
    /// Where set: told only the first time that this key is used.
    pub once: Option<String>,
}

impl Notice {
    /// What it is gathered with.
    fn topic(&self) -> String {
        match self.payload.pointer("/platform/id") {
            Some(platform) => format!("{}/{platform}", self.event.as_str()),
            None => self.event.as_str().to_owned(),
        }
    }
}

/// Puts notices into the outbox.
///
/// # Errors
/// The database's.
pub async fn raise(
    conn: &mut PgConnection,
    notices: &[Notice],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if notices.is_empty() {
        return Ok(());
    }
    let events: Vec<&str> = notices.iter().map(|n| n.event.as_str()).collect();
    let subjects: Vec<&str> = notices.iter().map(|n| n.subject.as_str()).collect();
    let topics: Vec<String> = notices.iter().map(Notice::topic).collect();
    let payloads: Vec<&Value> = notices.iter().map(|n| &n.payload).collect();
    let keys: Vec<Option<&str>> = notices.iter().map(|n| n.once.as_deref()).collect();
    let raised = sqlx::query_scalar!(
        r#"insert into worker.notifications (event, subject, topic, payload, once_key, created_at)
           select *, $6 from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[])
           on conflict (once_key) do nothing
           returning id"#,
        &events as _,
        &subjects as _,
        &topics as _,
        &payloads as _,
        &keys as _,
        now,
    )
    .fetch_all(&mut *conn)
    .await?;
    enqueue(conn, &raised, now).await
}

/// Tells of schedules that have just come to their end; those that have not are passed over. Those that
/// the audience does not want are kept without a job.
pub(crate) async fn schedules_decided(
    conn: &mut PgConnection,
    schedules: &[i32],
    audience: &Audience,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if schedules.is_empty() {
        return Ok(());
    }
    let raised = sqlx::query_scalar!(
        r#"with raised as (
           insert into worker.notifications
               (event, subject, topic, payload, created_at, state, settled_at)
           select 'schedule.' || s.status, 'schedule/' || s.id, 'schedule.' || s.status,
               jsonb_build_object(
                   'schedule', s.id, 'owner', r.user_id, 'scheduled_by', s.user_id,
                   'status', s.status,
                   'due', to_char(s.scheduled_date, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                   'release', jsonb_build_object('id', r.id, 'title', r.title, 'upc', r.upc),
                   'completed', coalesce((
                       select jsonb_agg(jsonb_build_object('id', p.id, 'name', p.name) order by p.id)
                       from public.distribution_platforms p
                       where p.id = any(s.completed_platform_ids)), '[]'),
                   'failed', coalesce((
                       select jsonb_agg(jsonb_build_object(
                           'id', failed.id, 'name', p.name, 'code', failed.why->>'code',
                           'message', failed.why->>'message') order by failed.id)
                       from (select key::integer, value from jsonb_each(s.failed_platforms))
                           as failed (id, why)
                       left join public.distribution_platforms p on p.id = failed.id), '[]')),
               $2::timestamptz,
               case when 'schedule.' || s.status = any($3::text[]) then 'unaddressed' else 'pending' end,
               case when 'schedule.' || s.status = any($3::text[]) then $2::timestamptz end
           from public.scheduled_distributions s
           join public.releases r on r.id = s.release_id
           where s.id = any($1) and s.status in ('completed', 'partial', 'failed')
           returning id, state
           )
           select id from raised where state = 'pending'"#,
        schedules,
        now,
        &audience.unheard as _,
    )
    .fetch_all(&mut *conn)
    .await?;
    enqueue(conn, &raised, now).await
}

/// A job for each. One that has an unfinished job keeps it.
pub(super) async fn enqueue(
    conn: &mut PgConnection,
    raised: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let jobs: Vec<NewJob> = raised
        .iter()
        .map(|&notification| {
            let job = NewJob::new(QUEUE, &Notify { notification }, now)?;
            Ok(job.unique(format!("notify/{notification}")))
        })
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    queue::enqueue(conn, &jobs).await?;
    Ok(())
}
