//! What needs a person now, the most pressing first.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::Attention;

/// The most that is told of.
const MOST: usize = 100;

/// Deliveries to a platform that stopped with the same fault: those that are held, and those that
/// failed or were rejected in the last day.
pub(super) struct Stopped {
    pub(super) state: String,
    platform_id: i32,
    platform: String,
    pub(super) fault_code: Option<String>,
    /// Of the last of them.
    message: Option<String>,
    pub(super) count: i64,
    since: DateTime<Utc>,
}

pub(super) async fn stopped(
    pool: &PgPool,
    now: DateTime<Utc>,
) -> Result<Vec<Stopped>, sqlx::Error> {
    sqlx::query_as!(
        Stopped,
        r#"with ended as materialized (
               -- The index alone says which these few of a day's deliveries are.
               select id from worker.deliveries
               where decided_at > $1::timestamptz - interval '1 day' and state in ('rejected', 'failed')
           ),
           found as (
               select id, state, platform_id, platform_name, fault_code, updated_at
               from worker.deliveries
               where state = 'held'
                 -- Said so, it is found by its index.
                 and state not in ('accepted', 'rejected', 'failed', 'canceled')
               union all
               select id, state, platform_id, platform_name, fault_code, updated_at
               from ended join worker.deliveries using (id)
           ),
           tallied as (
               select state, platform_id, fault_code, count(*) as count, min(updated_at) as since,
                   max(platform_name) as platform, (array_agg(id order by updated_at desc))[1] as last
               from found group by state, platform_id, fault_code
           )
           select t.state as "state!", t.platform_id as "platform_id!", t.platform as "platform!",
               t.fault_code, l.fault_message as "message?", t.count as "count!", t.since as "since!"
           from tallied t left join worker.deliveries l on l.id = t.last"#,
        now,
    )
    .fetch_all(pool)
    .await
}

/// What is not a matter of single deliveries.
pub(super) async fn others(
    pool: &PgPool,
    now: DateTime<Utc>,
) -> Result<Vec<Attention>, sqlx::Error> {
    sqlx::query_as!(
        Attention,
        r#"with platforms as (
               select p.id, p.name, q.paused_at, q.paused_reason, q.circuit_opened_at,
                   q.circuit_fault_code, q.circuit_fault_message
               from public.distribution_platforms p
               join worker.queues q on q.name in ('deliver/' || p.id, 'confirm/' || p.id)
           )
           select kind as "kind!", count as "count!", platform_id, platform, fault_code, message, since
           from (
               select 'no_daemon' as kind, 1::bigint as count, null::integer as platform_id,
                   null as platform, null as fault_code,
                   null as message, (select max(seen_at) from worker.daemons) as since
               where not exists (select from worker.daemons
                                 where stopped_at is null and seen_at > $1::timestamptz - interval '30 seconds')
               union all
               select 'platform_paused', 1, id, name, null, paused_reason, paused_at
               from platforms where paused_at is not null
               union all
               select 'schedules_overdue', count(*), null, null, null, null,
                   min(scheduled_date) at time zone 'UTC'
               from public.scheduled_distributions
               where status in ('pending', 'scheduled')
                 and scheduled_date < ($1::timestamptz at time zone 'UTC') - interval '5 minutes'
               having count(*) > 0
               union all
               select 'dead_jobs', count(*), null, null, null,
                   (array_agg(fault_message order by j.id desc))[1], min(finished_at)
               from worker.jobs j
               -- What delivers is told of with its delivery. Said so, the index leaves it out.
               where state = 'dead' and (queue < 'deliver/' or queue >= 'deliver0')
                 -- Where nobody has followed it up.
                 and not exists (select from worker.jobs later
                                 where later.unique_key = j.unique_key and later.id > j.id
                                   and later.state in ('available', 'running', 'held'))
                 and case when left(queue, 8) = 'confirm/' then
                         exists (select from worker.deliveries d
                                 where d.id = (j.arguments ->> 'delivery')::uuid
                                   and d.state not in ('accepted', 'rejected', 'failed', 'canceled'))
                     else
                         not exists (select from worker.jobs later
                                     where later.unique_key = j.unique_key and later.id > j.id
                                       and left(later.queue, 8) not in ('deliver/', 'confirm/'))
                     end
               having count(*) > 0
               union all
               select 'circuit_open', 1, id, name, circuit_fault_code, circuit_fault_message,
                   circuit_opened_at
               from platforms where circuit_opened_at is not null
           ) found"#,
        now,
    )
    .fetch_all(pool)
    .await
}

/// Both, the most pressing first, and of the same the most frequent.
pub(super) fn ranked(others: Vec<Attention>, stopped: Vec<Stopped>) -> Vec<Attention> {
    let stopped = stopped.into_iter().map(|some| Attention {
        kind: some.state,
        count: some.count,
        platform_id: Some(some.platform_id),
        platform: Some(some.platform),
        fault_code: some.fault_code,
        message: some.message,
        since: Some(some.since),
    });
    let mut all: Vec<Attention> = others.into_iter().chain(stopped).collect();
    all.sort_by_key(|one| (rank(&one.kind), -one.count, one.platform_id));
    all.truncate(MOST);
    all
}

fn rank(kind: &str) -> u8 {
    match kind {
        "no_daemon" => 0,
        "platform_paused" => 1,
        "held" => 2,
        "schedules_overdue" => 3,
        "failed" | "rejected" => 4,
        "dead_jobs" => 5,
        _ => 6,
    }
}
