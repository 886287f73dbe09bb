//! The jobs of a delivery, as they follow it when somebody else than their handler decides: an
//! operator, a takedown, a partner's word. Whoever changes both locks the job first, as an attempt
//! does.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Confirm, Deliver, Next, State, confirm_queue, deliver_queue, outcome::after,
    priority::priority, row::Delivery,
};
use crate::queue::{self, NewJob};
use platform_adapters::Kind;

/// The code of a job that waits until an earlier delivery of the same release and platform is over.
const WAITS: &str = "waits_for_earlier";

/// An unfinished job that delivers, locked for the rest of the transaction.
pub(super) struct DeliverJob {
    pub(super) id: Uuid,
    pub(super) is_running: bool,
}

/// Locks the unfinished jobs of a delivery, that which delivers and that which asks. The answer is the
/// former; `None`: there is none. Both, since an attempt of either locks its job before the delivery, and
/// whoever holds the delivery may wake the one or the other.
pub(super) async fn lock(
    conn: &mut PgConnection,
    delivery: Uuid,
) -> Result<Option<DeliverJob>, sqlx::Error> {
    let jobs = sqlx::query!(
        r#"select id, state = 'running' as "is_running!", unique_key = $1 as "delivers!"
           from worker.jobs
           where unique_key in ($1, $2) and state in ('available', 'running', 'held')
           order by unique_key desc
           for update"#,
        deliver_key(delivery),
        confirm_key(delivery),
    )
    .fetch_all(conn)
    .await?;
    let deliver = jobs.into_iter().find(|job| job.delivers);
    Ok(deliver.map(|job| DeliverJob {
        id: job.id,
        is_running: job.is_running,
    }))
}

fn deliver_key(delivery: Uuid) -> String {
    format!("deliver/{delivery}")
}

fn confirm_key(delivery: Uuid) -> String {
    format!("confirm/{delivery}")
}

/// The first job of a delivery, or of a further transmission.
pub(crate) async fn enqueue_deliver(
    conn: &mut PgConnection,
    id: Uuid,
    platform_id: i32,
    kind: Kind,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let street_date = sqlx::query_scalar!(
        r#"select r.release_date from worker.deliveries d
           join public.releases r on r.id = d.release_id where d.id = $1"#,
        id,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let first = priority(kind, street_date.map(|at| at.date()), at);
    let job = NewJob::new(deliver_queue(platform_id), &Deliver { delivery: id }, at)
        .map_err(|error| sqlx::Error::Encode(error.into()))?
        .priority(first)
        .unique(deliver_key(id));
    queue::enqueue(conn, &[job]).await?;
    Ok(())
}

pub(super) async fn enqueue_confirm(
    conn: &mut PgConnection,
    delivery: &Delivery,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let job = NewJob::new(
        confirm_queue(delivery.platform_id),
        &Confirm {
            delivery: delivery.id,
        },
        at,
    )
    .map_err(|error| sqlx::Error::Encode(error.into()))?
    .unique(confirm_key(delivery.id));
    queue::enqueue(conn, &[job]).await?;
    Ok(())
}

/// Brings the delivery's job to where the delivery is now. A running one is left to its handler.
pub(super) async fn follow(
    conn: &mut PgConnection,
    delivery: &Delivery,
    state: State,
    next: Next,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    match next {
        Next::Deliver { wait, .. } => {
            let at = after(now, wait);
            if !wake(conn, &deliver_key(delivery.id), at).await? {
                enqueue_deliver(conn, delivery.id, delivery.platform_id, delivery.kind, at).await?;
            }
        }
        Next::AskAgain { wait } => {
            let at = after(now, wait);
            if !wake(conn, &confirm_key(delivery.id), at).await? {
                enqueue_confirm(conn, delivery, at).await?;
            }
        }
        Next::Hold => {
            sqlx::query!(
                r#"update worker.jobs set state = 'held'
                   where unique_key = $1 and state = 'available'"#,
                deliver_key(delivery.id),
            )
            .execute(conn)
            .await?;
        }
        Next::Finish => {
            let word = match state {
                State::Canceled => "canceled",
                _ => "completed",
            };
            // One that has just been begun finds that there is nothing left to do.
            sqlx::query!(
                r#"with waiting as (
                       select id from worker.jobs
                       where unique_key = any($1) and state in ('available', 'held')
                       for update skip locked
                   )
                   update worker.jobs j set state = $2, finished_at = $3
                   from waiting where j.id = waiting.id"#,
                &[deliver_key(delivery.id), confirm_key(delivery.id)],
                word,
                now,
            )
            .execute(conn)
            .await?;
        }
        Next::Confirm | Next::Nothing => {}
    }
    Ok(())
}

/// Makes a waiting or held job available. False: there is none, or it has just been begun.
pub(super) async fn wake(
    conn: &mut PgConnection,
    key: &str,
    at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let woken = sqlx::query!(
        r#"with waiting as (
               select id from worker.jobs
               where unique_key = $1 and state in ('available', 'held')
               for update skip locked
           )
           update worker.jobs j set state = 'available', run_at = $2
           from waiting where j.id = waiting.id
           returning (select pg_notify('worker_jobs', '')::text) as notified"#,
        key,
        at,
    )
    .fetch_optional(conn)
    .await?;
    Ok(woken.is_some())
}

/// Puts the job of a delivery before the others of its platform. False: it does not wait.
pub(super) async fn expedite(
    conn: &mut PgConnection,
    delivery: Uuid,
    priority: i16,
) -> Result<Option<i16>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with waiting as (
               select id, priority from worker.jobs
               where unique_key = $1 and state in ('available', 'held') and priority > $2
           )
           update worker.jobs j set priority = $2
           from waiting where j.id = waiting.id
           returning waiting.priority"#,
        deliver_key(delivery),
        priority,
    )
    .fetch_optional(conn)
    .await
}

/// Whether a delivery must wait for an earlier one of its release and platform. What waits is held
/// and woken by [`wake_later`]; the lock makes the two see each other. Call it before any other
/// lock is taken.
pub(super) async fn must_wait(conn: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let earlier = sqlx::query_scalar!(
        r#"select before.state from worker.deliveries d
           join worker.deliveries before
             on before.release_id = d.release_id and before.platform_id = d.platform_id
            and before.revision < d.revision
           where d.id = $1
             and before.state not in ('accepted', 'rejected', 'failed', 'canceled')
             -- What was sent lies at the partner before the takedown comes there.
             and not (d.kind = 'takedown' and before.state = 'sent')
           for share of before"#,
        id,
    )
    .fetch_all(conn)
    .await?;
    // Read again: a row that was locked until now may have been decided meanwhile, and is then
    // given back with the state it has now.
    Ok(!earlier.is_empty())
}

/// The outcome of a job whose delivery must wait.
pub(super) fn waiting() -> queue::Outcome {
    queue::Outcome::Held {
        code: WAITS.into(),
        message: "waits until the earlier delivery of this release to this platform is over".into(),
    }
}

/// Lets the deliveries go on that waited for this one.
pub(super) async fn wake_later(
    conn: &mut PgConnection,
    delivery: &Delivery,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"with later as (
               select 'deliver/' || d.id as key from worker.deliveries d
               where d.release_id = $1 and d.platform_id = $2 and d.revision > $3
                 and d.state = 'queued'
           ), woken as (
               update worker.jobs j set state = 'available', run_at = $4
               from later
               where j.unique_key = later.key and j.state = 'held' and j.fault_code = $5
               returning j.id
           )
           select (select pg_notify('worker_jobs', '')::text) as notified from woken limit 1"#,
        delivery.release_id,
        delivery.platform_id,
        i32::try_from(delivery.revision).unwrap_or(i32::MAX),
        now,
        WAITS,
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}
