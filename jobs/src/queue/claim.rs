//! The statements that find due work and claim it. When they run is `fetch`'s business.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    job::Lease,
    limits::{Grants, Rates, Rules, read_windows},
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
    /// What is set for the queue.
    pub(super) rules: Rules,
}

impl Lane {
    /// When a job of it may be claimed: `now` at the earliest.
    pub(super) fn claimable_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.rules.opens_at(now.max(self.next_run_at))
    }
}

/// What a claim asks of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) queue: String,
    /// At most so many jobs.
    pub(super) quota: i32,
    /// Running jobs of the queue over all daemons, these included, where its row sets no limit.
    pub(super) concurrency: Option<i32>,
    /// The queue has a row in `worker.queues`.
    pub(super) has_row: bool,
    /// The row limits claims over time.
    pub(super) is_rated: bool,
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
    let rows = sqlx::query!(
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
                  l.run_at as "next_run_at!", q.name is not null as "has_row!",
                  q.concurrency as "concurrency?", q.per_second as "per_second?",
                  q.per_hour as "per_hour?", q.per_day as "per_day?", q.windows,
                  q.grants as "grants?", q.circuit_probe_at as "probe_at?"
           from lane l left join worker.queues q on q.name = l.queue
           where l.kind = any($1) and q.paused_at is null"#,
        kinds,
    )
    .fetch_all(pool)
    .await?;
    let lanes = rows.into_iter().map(|row| Lane {
        queue: row.queue,
        kind: row.kind,
        priority: row.priority,
        next_run_at: row.next_run_at,
        rules: Rules {
            exists: row.has_row,
            concurrency: row.concurrency,
            rates: Rates {
                per_second: row.per_second,
                per_hour: row.per_hour,
                per_day: row.per_day,
            },
            grants: row.grants.map(grants).unwrap_or_default(),
            windows: read_windows(row.windows),
            probe_at: row.probe_at,
        },
    });
    Ok(lanes.collect())
}

/// Past claims as they stand in the row. What cannot be read is forgotten: it is ours alone, and
/// counts for a day at most.
fn grants(value: Value) -> Grants {
    serde_json::from_value(value).unwrap_or_default()
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
    let names = |wanted: fn(&&Ask) -> bool| -> Vec<String> {
        let asks = asks.iter().filter(wanted);
        asks.map(|ask| ask.queue.clone()).collect()
    };
    let limited = names(|ask| ask.concurrency.is_some() || ask.has_row);
    let rated = names(|ask| ask.is_rated);
    let mut rows = if limited.is_empty() {
        let mut conn = pool.acquire().await?;
        claim_rows(&mut conn, asks, worker, lease_s, now).await?
    } else {
        let mut transaction = pool.begin().await?;
        let rows = if rated.is_empty() {
            lock_queues(&mut transaction, &limited).await?;
            // A statement of its own: its snapshot must see what the last holder of the lock claimed.
            claim_rows(&mut transaction, asks, worker, lease_s, now).await?
        } else {
            let spent = lock_rated(&mut transaction, &limited, &rated).await?;
            let asks = within_rates(asks, &spent, now);
            let rows = claim_rows(&mut transaction, &asks, worker, lease_s, now).await?;
            spend(&mut transaction, spent, &rows, now).await?;
            rows
        };
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

/// The rates of a queue and what has been claimed of them.
struct Spent {
    rates: Rates,
    grants: Grants,
}

/// [`lock_queues`], and what the queues in `rated` have spent. The statement's snapshot is older than
/// the locks; reading `for update` follows each row to its newest version.
async fn lock_rated(
    conn: &mut PgConnection,
    queues: &[String],
    rated: &[String],
) -> Result<HashMap<String, Spent>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with locked as materialized (
               select pg_advisory_xact_lock(hashtextextended('worker.queue/' || name, 0))
               from (select unnest($1::text[]) as name order by 1) queues
           )
           select q.name, q.per_second, q.per_hour, q.per_day, q.grants
           from worker.queues q
           where q.name = any($2) and (select count(*) from locked) > 0
           order by q.name
           for update"#,
        queues,
        rated,
    )
    .fetch_all(conn)
    .await?;
    let spent = rows.into_iter().map(|row| {
        let rates = Rates {
            per_second: row.per_second,
            per_hour: row.per_hour,
            per_day: row.per_day,
        };
        let grants = grants(row.grants);
        (row.name, Spent { rates, grants })
    });
    Ok(spent.collect())
}

/// The asks, with no more than the rates leave.
fn within_rates(asks: &[Ask], spent: &HashMap<String, Spent>, now: DateTime<Utc>) -> Vec<Ask> {
    let room = |ask: &Ask| match spent.get(&ask.queue) {
        Some(spent) => spent.rates.room(&spent.grants, now),
        None => i32::MAX,
    };
    asks.iter()
        .map(|ask| Ask {
            quota: ask.quota.min(room(ask)),
            ..ask.clone()
        })
        .collect()
}

/// Notes what was claimed of queues with a rate.
async fn spend(
    conn: &mut PgConnection,
    spent: HashMap<String, Spent>,
    claimed: &[Row],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (name, Spent { rates, grants }) in spent {
        let jobs = claimed.iter().filter(|row| row.queue == name).count();
        if jobs > 0 {
            let jobs = i32::try_from(jobs).unwrap_or(i32::MAX);
            let grants = grants.with(jobs, &rates, now);
            values.push(serde_json::to_value(grants).map_err(|e| sqlx::Error::Encode(e.into()))?);
            names.push(name);
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"update worker.queues q set grants = s.grants
           from unnest($1::text[], $2::jsonb[]) as s(name, grants)
           where q.name = s.name"#,
        &names,
        &values,
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
           ), ruled as (
               -- What is set for the queue now: it may have been paused, or its circuit opened, since
               -- it was surveyed. An open circuit lets one job through at a time.
               select a.queue,
                      case when q.paused_at is not null or q.circuit_probe_at > $7 then 0
                           else a.quota end as quota,
                      case when q.circuit_opened_at is not null then 1
                           else least(coalesce(q.concurrency, a.concurrency), floor(q.pace)::int)
                      end as concurrency
               from asked a left join lateral (
                   -- The offset keeps it one look at the index for each queue.
                   select * from worker.queues q where q.name = a.queue offset 0
               ) q on true
           ), budget as materialized (
               select queue, greatest(0, case when concurrency is null or quota = 0 then quota else least(quota,
                   concurrency - (select count(*) from worker.jobs r
                                  where r.queue = ruled.queue and r.state = 'running')) end) as jobs
               from ruled
           ), picked as materialized (
               select c.place
               from budget b cross join lateral (
                   select d.place
                   from lane l cross join lateral (
                       select j.ctid as place, j.id, j.priority, j.run_at
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
               -- No claim waits for the disk. What follows from it does, be it the attempt's begin or
               -- the completion, and makes it durable too; a claim that was lost with the server is
               -- made again. The setting ends with the transaction.
               where b.jobs > 0 and (select set_config('synchronous_commit', 'off', true) is not null)
           )
           update worker.jobs j
           set state = 'running', lease_token = $10, attempt_id = null, worker = $8,
               lease_expires_at = clock_timestamp() + make_interval(secs => $9)
           -- By their places, which the locks hold fast: no index is searched again, and no plan can
           -- choose to read the whole table. A row that moved since the snapshot is for the next claim.
           where j.ctid = any(array(select place from picked))
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
        // One for all: an outcome is fenced by the job and the token.
        Uuid::now_v7(),
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
