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
    let mut waiting = Vec::with_capacity(limit);
    loop {
        if waiting.is_empty()
            && completions
                .lock()
                .await
                .recv_many(&mut waiting, limit)
                .await
                == 0
        {
            return;
        }
        // Rows are locked in one order by all who take many of them, or they would deadlock.
        waiting.sort_unstable_by_key(|completion: &Completion| completion.job);
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
        daemon.leases.remove_all(batch.iter().map(|c| c.token));
        // A queue at its limit has free places only now.
        daemon.wake();
    }
}

/// Takes one completion of each job out of a sorted batch. A job has two when its lease was lost and
/// it was claimed here again; the second waits for the next turn.
fn one_of_each(batch: &mut Vec<Completion>) -> Vec<Completion> {
    let mut last = None;
    batch
        .extract_if(.., |completion| {
            last.replace(completion.job) != Some(completion.job)
        })
        .collect()
}

/// The number recorded; the others' leases were lost. The batch is sorted and has each job once.
async fn record(pool: &PgPool, batch: &[Completion]) -> Result<usize, sqlx::Error> {
    let jobs: Vec<Uuid> = batch.iter().map(|c| c.job).collect();
    let tokens: Vec<Uuid> = batch.iter().map(|c| c.token).collect();
    let starts: Vec<DateTime<Utc>> = batch.iter().map(|c| c.started_at).collect();
    let ends: Vec<DateTime<Utc>> = batch.iter().map(|c| c.ended_at).collect();
    let attempts: Vec<Uuid> = batch.iter().map(|_| Uuid::now_v7()).collect();
    // A job's place in the sorted ids is its place in the other arrays. There is no join, whose plan
    // might be one for a small table when the table has grown: the rows are found by the primary key,
    // whatever the planner believes. No condition on the state: the token says it, and with the
    // state the planner may choose the index of running jobs and walk all of them.
    let recorded = sqlx::query_scalar!(
        r#"with completed as (
               update worker.jobs j
               set state = 'completed', attempt = (j.attempt + (j.attempt_id is null)::int)::smallint,
                   finished_at = ($4::timestamptz[])[width_bucket(j.id, $1::uuid[])],
                   lease_token = null, lease_expires_at = null,
                   fault_code = null, fault_message = null
               where j.id = any($1::uuid[])
                 and j.lease_token = ($2::uuid[])[width_bucket(j.id, $1::uuid[])]
               returning j.id, j.attempt, j.worker, j.attempt_id as begun,
                         width_bucket(j.id, $1::uuid[]) as place
           ), closed as (
               update worker.attempts a
               set ended_at = ($4::timestamptz[])[width_bucket(a.job_id, $1::uuid[])],
                   outcome = 'completed'
               where a.job_id = any(array(select id from completed where begun is not null))
                 and a.id = any(array(select begun from completed where begun is not null))
           ), recorded as (
               insert into worker.attempts (id, job_id, number, started_at, ended_at, outcome, worker)
               select ($5::uuid[])[place], id, attempt, ($3::timestamptz[])[place],
                      ($4::timestamptz[])[place], 'completed', coalesce(worker, '')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_was_completed_twice_is_recorded_in_two_turns() {
        let completion = |job: u128, token: u128| Completion {
            job: Uuid::from_u128(job),
            token: Uuid::from_u128(token),
            started_at: DateTime::UNIX_EPOCH,
            ended_at: DateTime::UNIX_EPOCH,
        };
        let tokens = |batch: &[Completion]| -> Vec<u128> {
            batch.iter().map(|one| one.token.as_u128()).collect()
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
