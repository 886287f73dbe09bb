//! Recording completions in batches. Every other outcome goes through `attempt`, one at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use super::{lease::Key, run::Daemon};

/// How long a completion waits for others at the most.
const GATHERED_FOR: Duration = Duration::from_millis(1);

/// A job whose handler left the completion to the queue.
pub(super) struct Completion {
    pub(super) lease: Key,
    pub(super) started_at: DateTime<Utc>,
    pub(super) ended_at: DateTime<Utc>,
}

/// Completions that are to be recorded, for as many as record them.
pub(super) type Recorded = Mutex<mpsc::Receiver<Completion>>;

/// Records completions until every sender is gone and none is left. An outage delays it.
pub(super) async fn complete(daemon: &Daemon, completions: &Recorded) {
    let limit = daemon.settings.completion_batch;
    let mut waiting = Vec::with_capacity(limit);
    loop {
        if waiting.is_empty() && !gather(completions, &mut waiting, limit).await {
            return;
        }
        // Rows are locked in one order by all who take many of them, or they would deadlock.
        waiting.sort_unstable_by_key(|completion: &Completion| completion.lease.job);
        let batch = one_of_each(&mut waiting);
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
        daemon.leases.remove_all(batch.iter().map(|c| c.lease));
        // A queue at its limit has free places only now.
        daemon.wake();
    }
}

/// Waits for completions, and a moment longer where there are few: each batch waits for the disk.
/// False: there will be no more.
async fn gather(completions: &Recorded, waiting: &mut Vec<Completion>, limit: usize) -> bool {
    let mut completions = completions.lock().await;
    if completions.recv_many(waiting, limit).await == 0 {
        return false;
    }
    if waiting.len() < limit / 16 {
        tokio::time::sleep(GATHERED_FOR).await;
        while waiting.len() < limit
            && let Ok(completion) = completions.try_recv()
        {
            waiting.push(completion);
        }
    }
    true
}

/// Takes one completion of each job out of a sorted batch. A job has two when its lease was lost and
/// it was claimed here again; the second waits for the next turn.
fn one_of_each(batch: &mut Vec<Completion>) -> Vec<Completion> {
    let mut last = None;
    batch
        .extract_if(.., |completion| {
            last.replace(completion.lease.job) != Some(completion.lease.job)
        })
        .collect()
}

/// The number recorded; the others' leases were lost. The batch is sorted and has each job once.
async fn record(pool: &PgPool, batch: &[Completion]) -> Result<usize, sqlx::Error> {
    let jobs: Vec<Uuid> = batch.iter().map(|c| c.lease.job).collect();
    let tokens: Vec<Uuid> = batch.iter().map(|c| c.lease.token).collect();
    let starts: Vec<DateTime<Utc>> = batch.iter().map(|c| c.started_at).collect();
    let ends: Vec<DateTime<Utc>> = batch.iter().map(|c| c.ended_at).collect();
    // The planner takes the arrays to be short and so joins by the primary key; other ways of joining
    // are closed to it by `PLANS`. No condition on the state: the token says it, and with the state the
    // planner may choose the index of running jobs and walk all of them.
    let recorded = sqlx::query_scalar!(
        r#"with done as (
               select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])
                   as d(job_id, token, started_at, ended_at)
           ), completed as (
               update worker.jobs j
               set state = 'completed', attempt = (j.attempt + (j.attempt_id is null)::int)::smallint,
                   started_at = case when j.attempt_id is null then d.started_at end,
                   finished_at = d.ended_at, lease_token = null, lease_expires_at = null,
                   fault_code = null, fault_message = null
               from done d
               where j.id = d.job_id and j.lease_token = d.token
               returning j.id, j.attempt_id as begun, j.finished_at
           ), closed as (
               update worker.attempts a
               set ended_at = c.finished_at, outcome = 'completed'
               from completed c
               where a.job_id = c.id and a.id = c.begun
           )
           select count(*) as "recorded!" from completed"#,
        &jobs,
        &tokens,
        &starts,
        &ends,
    )
    .fetch_one(pool)
    .await?;
    Ok(usize::try_from(recorded).unwrap_or(batch.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_was_completed_twice_is_recorded_in_two_turns() {
        let completion = |job: u128, token: u128| Completion {
            lease: Key {
                job: Uuid::from_u128(job),
                token: Uuid::from_u128(token),
            },
            started_at: DateTime::UNIX_EPOCH,
            ended_at: DateTime::UNIX_EPOCH,
        };
        let tokens = |batch: &[Completion]| -> Vec<u128> {
            batch.iter().map(|one| one.lease.token.as_u128()).collect()
        };
        let mut waiting = vec![
            completion(1, 1),
            completion(2, 2),
            completion(2, 3),
            completion(3, 4),
        ];
        assert_eq!(tokens(&one_of_each(&mut waiting)), [1, 2, 4]);
        assert_eq!(tokens(&one_of_each(&mut waiting)), [3]);
        assert!(one_of_each(&mut waiting).is_empty());
    }
}
