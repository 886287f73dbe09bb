//! Recording completions in batches. Every other outcome goes through `attempt`, one at a time.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use super::run::Daemon;

/// A job whose handler left the completion to the queue.
pub(super) struct Completion {
    pub(super) job: Uuid,
    pub(super) token: Uuid,
    pub(super) started_at: DateTime<Utc>,
    pub(super) ended_at: DateTime<Utc>,
}

/// Completions that are to be recorded, for as many as record them.
pub(super) type Recorded = Mutex<mpsc::Receiver<Completion>>;

/// Records completions until every sender is gone and none is left. An outage delays it.
pub(super) async fn complete(daemon: &Daemon, completions: &Recorded) {
    let limit = daemon.settings.completion_batch;
    let mut batch = Vec::with_capacity(limit);
    loop {
        if completions.lock().await.recv_many(&mut batch, limit).await == 0 {
            return;
        }
        // Rows are locked in one order by all who take many of them, or they would deadlock.
        batch.sort_unstable_by_key(|completion| completion.job);
        let mut failures = 0_u32;
        let recorded = loop {
            match record(&daemon.pool, &batch).await {
                Ok(recorded) => break recorded,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(%error, jobs = batch.len(), "completions not recorded; trying again");
                    daemon.pause_after(failures).await;
                }
            }
        };
        if recorded < batch.len() {
            let lost = batch.len() - recorded;
            tracing::warn!(lost, "leases lost before the completion was recorded");
        }
        daemon.leases.remove_all(batch.drain(..).map(|c| c.token));
        // A queue at its limit has free places only now.
        daemon.wake();
    }
}

/// The number recorded; the others' leases were lost.
async fn record(pool: &PgPool, batch: &[Completion]) -> Result<usize, sqlx::Error> {
    let jobs: Vec<Uuid> = batch.iter().map(|c| c.job).collect();
    let tokens: Vec<Uuid> = batch.iter().map(|c| c.token).collect();
    let starts: Vec<DateTime<Utc>> = batch.iter().map(|c| c.started_at).collect();
    let ends: Vec<DateTime<Utc>> = batch.iter().map(|c| c.ended_at).collect();
    let attempts: Vec<Uuid> = batch.iter().map(|_| Uuid::now_v7()).collect();
    // No condition on the state: the token says it, and with the state the planner may choose the
    // index of running jobs and walk all of them.
    let recorded = sqlx::query_scalar!(
        r#"with done as (
               select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::uuid[])
                   as d(id, token, started_at, ended_at, attempt_id)
           ), completed as (
               update worker.jobs j
               set state = 'completed', attempt = (j.attempt + (j.attempt_id is null)::int)::smallint,
                   finished_at = d.ended_at, lease_token = null, lease_expires_at = null,
                   fault_code = null, fault_message = null
               from done d where j.id = d.id and j.lease_token = d.token
               returning j.id, j.attempt, j.worker, j.attempt_id as begun, d.started_at, d.ended_at, d.attempt_id
           ), closed as (
               update worker.attempts a
               set ended_at = c.ended_at, outcome = 'completed'
               from completed c where c.begun is not null and a.job_id = c.id and a.id = c.begun
           ), recorded as (
               insert into worker.attempts (id, job_id, number, started_at, ended_at, outcome, worker)
               select attempt_id, id, attempt, started_at, ended_at, 'completed', coalesce(worker, '')
               from completed where begun is null
           )
           select count(*) as "recorded!" from completed"#,
        &jobs,
        &tokens,
        &starts,
        &ends,
        &attempts,
    )
    .fetch_one(pool)
    .await?;
    Ok(usize::try_from(recorded).unwrap_or(batch.len()))
}
