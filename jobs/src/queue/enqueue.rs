//! Putting jobs into the queue, in the caller's transaction. There is no other way in.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::job::NewJob;

/// Enqueues all jobs with one statement and wakes the daemons when the caller commits.
/// The answer has, for each job in its place, the id, or `None` where an unfinished job has its
/// unique key already.
pub async fn enqueue(
    conn: &mut PgConnection,
    jobs: &[NewJob],
) -> Result<Vec<Option<Uuid>>, sqlx::Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = jobs.iter().map(|_| Uuid::now_v7()).collect();
    let queues: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    let kinds: Vec<&str> = jobs.iter().map(|job| job.kind).collect();
    let arguments: Vec<&serde_json::Value> = jobs.iter().map(|job| &job.arguments).collect();
    let priorities: Vec<i16> = jobs.iter().map(|job| job.priority).collect();
    let times: Vec<_> = jobs.iter().map(|job| job.run_at).collect();
    let limits: Vec<i16> = jobs.iter().map(|job| job.max_attempts).collect();
    let keys: Vec<Option<&str>> = jobs.iter().map(|job| job.unique_key.as_deref()).collect();
    let of_upkeep: Vec<Uuid> = ids
        .iter()
        .zip(jobs)
        .filter(|(_, job)| is_of_upkeep(&job.queue))
        .map(|(id, _)| *id)
        .collect();
    // The notification is an uncorrelated subquery: it runs once, and only if a row was inserted.
    let inserted: HashSet<Uuid> = sqlx::query!(
        r#"with inserted as (
               insert into worker.jobs
                   (id, queue, kind, arguments, priority, run_at, max_attempts, unique_key)
               select * from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[],
                                    $6::timestamptz[], $7::smallint[], $8::text[])
               on conflict (unique_key)
                   where unique_key is not null and state in ('available', 'running', 'held')
                   do nothing
               returning id
           ), listed as (
               insert into worker.upkeep_jobs (id) select id from inserted where id = any($9)
           )
           select id, (select pg_notify('worker_jobs', '')::text) as notified from inserted"#,
        &ids,
        &queues as _,
        &kinds as _,
        &arguments as _,
        &priorities,
        &times,
        &limits,
        &keys as _,
        &of_upkeep,
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|row| row.id)
    .collect();
    Ok(ids
        .into_iter()
        .map(|id| inserted.contains(&id).then_some(id))
        .collect())
}

/// Whether jobs of this queue deliver nothing: they are listed in `worker.upkeep_jobs`. Beside it the
/// index `jobs_upkeep_key` (migration 0023) says the same.
pub(super) fn is_of_upkeep(queue: &str) -> bool {
    !["deliver/", "confirm/"]
        .iter()
        .any(|of_platform| queue.starts_with(of_platform))
}
