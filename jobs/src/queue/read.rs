//! What an operator reads of queues, jobs and attempts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::enqueue::is_of_upkeep;

/// Which jobs are listed: all that fit every condition given, the newest first.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// `worker.jobs.state`.
    pub state: Option<String>,
    /// `worker.jobs.kind`.
    pub kind: Option<String>,
    /// `worker.jobs.queue`.
    pub queue: Option<String>,
    /// Only those before this one in the list's order.
    pub after: Option<Uuid>,
    /// At most so many.
    pub limit: i64,
}

impl JobFilter {
    /// The queue that is asked for is none of a platform's.
    fn is_of_upkeep(&self) -> bool {
        self.queue.as_deref().is_some_and(is_of_upkeep)
    }
}

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Job)]
#[expect(missing_docs, reason = "the columns of worker.jobs")]
pub struct ListedJob {
    pub id: Uuid,
    pub queue: String,
    pub kind: String,
    pub arguments: Value,
    pub state: String,
    /// Smaller goes first.
    pub priority: i16,
    pub run_at: DateTime<Utc>,
    pub attempt: i16,
    pub max_attempts: i16,
    pub crashes: i16,
    /// The daemon that holds it.
    pub worker: Option<String>,
    pub lease_expires_at: Option<DateTime<Utc>>,
    pub fault_code: Option<String>,
    pub fault_message: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// Lists jobs.
///
/// # Errors
/// The database's.
pub async fn jobs(pool: &PgPool, filter: &JobFilter) -> Result<Vec<ListedJob>, sqlx::Error> {
    sqlx::query_as!(
        ListedJob,
        r#"select id as "id!", queue as "queue!", kind as "kind!", arguments as "arguments!",
               state as "state!", priority as "priority!", run_at as "run_at!", attempt as "attempt!",
               max_attempts as "max_attempts!", crashes as "crashes!", worker, lease_expires_at,
               fault_code, fault_message, created_at as "created_at!", finished_at
           from (
               -- Each with the whole condition and its own limit: only so is it read in its order.
               (select j.* from worker.jobs j
                where not $6::boolean and ($1::text is null or j.state = $1)
                  and ($2::text is null or j.kind = $2) and ($3::text is null or j.queue = $3)
                  and ($4::uuid is null or j.id < $4)
                order by j.id desc limit $5)
               union all
               -- These few are known by their ids.
               (select j.* from worker.upkeep_jobs u join worker.jobs j on j.id = u.id
                where $6 and ($1::text is null or j.state = $1)
                  and ($2::text is null or j.kind = $2) and ($3::text is null or j.queue = $3)
                  and ($4::uuid is null or u.id < $4)
                order by u.id desc limit $5)
           ) job
           order by id desc limit $5"#,
        filter.state,
        filter.kind,
        filter.queue,
        filter.after,
        filter.limit,
        filter.is_of_upkeep(),
    )
    .fetch_all(pool)
    .await
}

/// One job; `None` when there is none of this id any more.
///
/// # Errors
/// The database's.
pub async fn job(pool: &PgPool, id: Uuid) -> Result<Option<ListedJob>, sqlx::Error> {
    sqlx::query_as!(
        ListedJob,
        r#"select id, queue, kind, arguments, state, priority, run_at, attempt, max_attempts, crashes,
               worker, lease_expires_at, fault_code, fault_message, created_at, finished_at
           from worker.jobs where id = $1"#,
        id,
    )
    .fetch_optional(pool)
    .await
}

/// An attempt at a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
#[expect(missing_docs, reason = "the columns of worker.job_attempts")]
pub struct ListedAttempt {
    pub id: Uuid,
    pub job_id: Uuid,
    pub delivery_id: Option<Uuid>,
    pub number: i16,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub outcome: Option<String>,
    pub fault_code: Option<String>,
    pub fault_message: Option<String>,
    pub worker: String,
}

/// Whose attempts.
#[derive(Clone, Copy, Debug)]
pub enum AttemptsOf {
    /// Of one job.
    Job(Uuid),
    /// Of all jobs of a delivery.
    Delivery(Uuid),
}

/// Attempts, the oldest first.
///
/// # Errors
/// The database's.
pub async fn attempts(
    pool: &PgPool,
    of: AttemptsOf,
    limit: i64,
) -> Result<Vec<ListedAttempt>, sqlx::Error> {
    let (job, delivery) = match of {
        AttemptsOf::Job(id) => (Some(id), None),
        AttemptsOf::Delivery(id) => (None, Some(id)),
    };
    sqlx::query_as!(
        ListedAttempt,
        r#"select id as "id!", job_id as "job_id!", delivery_id, number as "number!",
               started_at as "started_at!", ended_at, outcome, fault_code, fault_message,
               worker as "worker!"
           from worker.job_attempts
           where ($1::uuid is null or job_id = $1) and ($2::uuid is null or delivery_id = $2)
           order by started_at, id limit $3"#,
        job,
        delivery,
        limit,
    )
    .fetch_all(pool)
    .await
}

/// A queue and its unfinished jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
pub struct ListedQueue {
    /// `deliver/7`.
    pub name: String,
    /// Jobs that are due.
    pub due: i64,
    /// Jobs that wait for their time.
    pub later: i64,
    /// Jobs that are held by a daemon.
    pub running: i64,
    /// Jobs that wait for an operator.
    pub held: i64,
    /// Jobs that died and are kept.
    pub dead: i64,
    /// Since when the oldest of those due has been due (UTC).
    pub oldest_due: Option<DateTime<Utc>>,
    /// Since when the queue is paused (UTC), if it is.
    pub paused_at: Option<DateTime<Utc>>,
    /// Why it is paused.
    pub paused_reason: Option<String>,
}

/// All queues that have unfinished or dead jobs, or are paused.
///
/// # Errors
/// The database's.
pub async fn queues(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<ListedQueue>, sqlx::Error> {
    sqlx::query_as!(
        ListedQueue,
        r#"select coalesce(tally.queue, q.name) as "name!",
               coalesce(tally.due, 0) as "due!", coalesce(tally.later, 0) as "later!",
               coalesce(tally.running, 0) as "running!", coalesce(tally.held, 0) as "held!",
               coalesce(tally.dead, 0) as "dead!", tally.oldest_due,
               q.paused_at as "paused_at?", q.paused_reason as "paused_reason?"
           from (
               -- Each state has its index, which alone has all that is asked for here.
               select queue,
                   count(*) filter (where state = 'available' and run_at <= $1) as due,
                   count(*) filter (where state = 'available' and run_at > $1) as later,
                   count(*) filter (where state = 'running') as running,
                   count(*) filter (where state = 'held') as held,
                   count(*) filter (where state = 'dead') as dead,
                   min(run_at) filter (where state = 'available' and run_at <= $1) as oldest_due
               from (
                   select queue, 'available' as state, run_at from worker.jobs where state = 'available'
                   union all
                   select queue, 'running', null from worker.jobs where state = 'running'
                   union all
                   select queue, 'held', null from worker.jobs where state = 'held'
                   union all
                   select queue, 'dead', null from worker.jobs where state = 'dead'
               ) unfinished
               group by queue
           ) tally
           full join worker.queues q on q.name = tally.queue
           where tally.queue is not null or q.paused_at is not null
           order by 2 desc, 1"#,
        now,
    )
    .fetch_all(pool)
    .await
}
