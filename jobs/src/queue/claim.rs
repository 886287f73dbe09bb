//! The statements that find due work and claim it. When they run is `fetch`'s business.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    job::Lease,
    registry::{Kind, Registry},
};

/// Waiting jobs of one queue, kind and priority: one range of the index on due work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) queue: String,
    pub(super) kind: String,
    pub(super) priority: i16,
    /// When the first of them is due.
    pub(super) next_run_at: DateTime<Utc>,
    /// The queue's own limit, if one is set.
    pub(super) concurrency: Option<i32>,
}

/// What a claim asks of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) queue: String,
    /// At most so many jobs.
    pub(super) quota: i32,
    /// Running jobs of the queue over all daemons, these included.
    pub(super) concurrency: Option<i32>,
    /// Kinds and priorities to look at.
    pub(super) lanes: Vec<(String, i16)>,
}

/// A claimed job, with what it takes to run it.
pub(super) struct Claimed {
    pub(super) lease: Lease,
    /// As text: a value that does not fit Rust's numbers must spoil its own job and not the claim.
    pub(super) arguments: String,
    pub(super) kind: Arc<dyn Kind>,
}

/// All lanes with waiting jobs of these kinds, in queues that are not paused. It jumps from lane to
/// lane, so its cost grows with the lanes and not with the jobs in them.
pub(super) async fn survey(pool: &PgPool, kinds: &[String]) -> Result<Vec<Lane>, sqlx::Error> {
    sqlx::query_as!(
        Lane,
        r#"with recursive lane as (
               (select queue, kind, priority, run_at from worker.jobs
                where state = 'available'
                order by queue, kind, priority, run_at, id limit 1)
               union all
               select n.queue, n.kind, n.priority, n.run_at
               from lane l cross join lateral (
                   select j.queue, j.kind, j.priority, j.run_at from worker.jobs j
                   where j.state = 'available'
                     and (j.queue, j.kind, j.priority) > (l.queue, l.kind, l.priority)
                   order by j.queue, j.kind, j.priority, j.run_at, j.id limit 1
               ) n
           )
           select l.queue as "queue!", l.kind as "kind!", l.priority as "priority!",
                  l.run_at as "next_run_at!", q.concurrency as "concurrency?"
           from lane l left join worker.queues q on q.name = l.queue
           where l.kind = any($1) and q.paused_at is null"#,
        kinds,
    )
    .fetch_all(pool)
    .await
}

/// Claims due jobs for `worker`, first those of smaller priority, then the longest due.
/// Queues with a limit are counted under a lock of their own, so that two daemons together never
/// exceed it.
pub(super) async fn claim(
    pool: &PgPool,
    registry: &Registry,
    asks: &[Ask],
    worker: &str,
    lease_s: f64,
    now: DateTime<Utc>,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let limited: Vec<String> = asks
        .iter()
        .filter(|ask| ask.concurrency.is_some())
        .map(|ask| ask.queue.clone())
        .collect();
    let mut rows = if limited.is_empty() {
        let mut conn = pool.acquire().await?;
        claim_rows(&mut conn, asks, worker, lease_s, now).await?
    } else {
        let mut transaction = pool.begin().await?;
        lock_queues(&mut transaction, &limited).await?;
        // A statement of its own: its snapshot must see what the last holder of the lock claimed.
        let rows = claim_rows(&mut transaction, asks, worker, lease_s, now).await?;
        transaction.commit().await?;
        rows
    };
    rows.sort_by_key(|row| (row.priority, row.run_at, row.id));
    Ok(rows
        .into_iter()
        .filter_map(|row| row.into_claimed(registry, worker))
        .collect())
}

/// One lock per queue, taken in order and held until the transaction ends.
async fn lock_queues(conn: &mut PgConnection, queues: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"select pg_advisory_xact_lock(hashtextextended('worker.queue/' || name, 0))
           from (select unnest($1::text[]) as name order by 1) queues"#,
        queues,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn claim_rows(
    conn: &mut PgConnection,
    asks: &[Ask],
    worker: &str,
    lease_s: f64,
    now: DateTime<Utc>,
) -> Result<Vec<Row>, sqlx::Error> {
    let queues: Vec<&str> = asks.iter().map(|ask| ask.queue.as_str()).collect();
    let quotas: Vec<i32> = asks.iter().map(|ask| ask.quota).collect();
    let limits: Vec<Option<i32>> = asks.iter().map(|ask| ask.concurrency).collect();
    let lanes = || {
        asks.iter()
            .flat_map(|ask| ask.lanes.iter().map(move |lane| (ask, lane)))
    };
    let lane_queues: Vec<&str> = lanes().map(|(ask, _)| ask.queue.as_str()).collect();
    let lane_kinds: Vec<&str> = lanes().map(|(_, (kind, _))| kind.as_str()).collect();
    let lane_priorities: Vec<i16> = lanes().map(|(_, (_, priority))| *priority).collect();
    sqlx::query_as!(
        Row,
        r#"with asked as (
               select * from unnest($1::text[], $2::int[], $3::int[]) as a(queue, quota, concurrency)
           ), lane as (
               select * from unnest($4::text[], $5::text[], $6::smallint[]) as l(queue, kind, priority)
           ), budget as materialized (
               select queue, greatest(0, case when concurrency is null then quota else least(quota,
                   concurrency - (select count(*) from worker.jobs r
                                  where r.queue = asked.queue and r.state = 'running')) end) as jobs
               from asked
               -- Paused since it was surveyed: nothing new begins.
               where not exists (select from worker.queues q
                                 where q.name = asked.queue and q.paused_at is not null)
           ), picked as materialized (
               select c.id
               from budget b cross join lateral (
                   select d.id
                   from lane l cross join lateral (
                       select j.id, j.priority, j.run_at
                       from worker.jobs j
                       where j.state = 'available' and j.queue = l.queue and j.kind = l.kind
                         and j.priority = l.priority and j.run_at <= $7
                       order by j.run_at, j.id
                       limit b.jobs
                       for update skip locked
                   ) d
                   where l.queue = b.queue
                   order by d.priority, d.run_at, d.id
                   limit b.jobs
               ) c
               where b.jobs > 0
           )
           update worker.jobs j
           set state = 'running', lease_token = gen_random_uuid(), attempt_id = null, worker = $8,
               lease_expires_at = clock_timestamp() + make_interval(secs => $9)
           from picked where j.id = picked.id
           returning j.id, j.lease_token as "token!", j.queue, j.kind, j.priority, j.run_at,
                     j.attempt, j.max_attempts, j.crashes, j.arguments::text as "arguments!""#,
        &queues as _,
        &quotas,
        &limits as _,
        &lane_queues as _,
        &lane_kinds as _,
        &lane_priorities,
        now,
        worker,
        lease_s,
    )
    .fetch_all(conn)
    .await
}

struct Row {
    id: Uuid,
    token: Uuid,
    queue: String,
    kind: String,
    priority: i16,
    run_at: DateTime<Utc>,
    attempt: i16,
    max_attempts: i16,
    crashes: i16,
    arguments: String,
}

impl Row {
    /// `None` cannot be: only kinds of the registry are asked for.
    fn into_claimed(self, registry: &Registry, worker: &str) -> Option<Claimed> {
        let kind = Arc::clone(registry.get(&self.kind)?);
        Some(Claimed {
            lease: Lease {
                job: self.id,
                token: self.token,
                queue: self.queue,
                kind: self.kind,
                attempt: self.attempt.saturating_add(1),
                max_attempts: self.max_attempts,
                crashes: self.crashes,
                worker: worker.to_owned(),
            },
            arguments: self.arguments,
            kind,
        })
    }
}
