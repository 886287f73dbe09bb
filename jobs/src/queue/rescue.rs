//! Jobs whose daemon died: their leases have expired on the database's clock. A crash is counted
//! for them and not an attempt; with the third the job is dead, so that a poison job ends.
//!
//! A job that was claimed and perhaps not started is only suspected: its first crash counts, and
//! from then on its attempt is always begun before its work. So if its daemon dies again before
//! that, it had no part in it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    circuit,
    job::{Lease, Outcome},
    lease::{Key, release},
    run::Daemon,
};

/// The code of a job whose daemon died. Such an attempt does not count.
pub const CRASHED: &str = "crashed";

/// Looks for expired leases, and for circuits that a wrong clock would keep open, for ever.
pub(super) async fn rescue(daemon: &Daemon) {
    let kinds = daemon.registry.names(None);
    let pulse = daemon
        .vitals
        .watch("rescue", daemon.settings.rescue_interval);
    loop {
        pulse.beat();
        tokio::time::sleep(daemon.settings.rescue_interval).await;
        match rescue_expired(daemon, &kinds).await {
            Ok(0) => {}
            Ok(rescued) => {
                tracing::warn!(jobs = rescued, "rescued jobs whose daemon died");
                daemon.wake();
            }
            Err(error) => tracing::warn!(%error, "expired leases not searched; trying again"),
        }
        match circuit::set_right(&daemon.pool).await {
            Ok(0) => {}
            Ok(queues) => {
                tracing::warn!(
                    queues,
                    "partners were noted as down by a daemon whose clock is ahead; they are probed now"
                );
                daemon.wake();
            }
            Err(error) => tracing::warn!(%error, "circuits not looked at; trying again"),
        }
    }
}

async fn rescue_expired(daemon: &Daemon, kinds: &[String]) -> Result<usize, sqlx::Error> {
    let expired = sqlx::query!(
        r#"select id, lease_token as "token!" from worker.jobs
           where state = 'running' and lease_expires_at < clock_timestamp() and kind = any($1)
           order by lease_expires_at
           limit $2"#,
        kinds,
        daemon.settings.rescue_batch,
    )
    .fetch_all(&daemon.pool)
    .await?;
    let mut rescued = 0;
    for row in expired {
        // One transaction each: an owner that refuses must not keep the others from rescue.
        match rescue_one(daemon, row.id, row.token).await {
            Ok(true) => rescued += 1,
            Ok(false) => {}
            Err(error) => tracing::error!(%error, job = %row.id, "job not rescued; trying again"),
        }
    }
    Ok(rescued)
}

/// False: its holder is alive after all, or another daemon is at it.
async fn rescue_one(daemon: &Daemon, job: Uuid, token: Uuid) -> Result<bool, sqlx::Error> {
    let mut transaction = crate::database::begin(&daemon.pool, "begin").await?;
    let Some(row) = sqlx::query!(
        r#"select queue, kind, attempt, max_attempts, crashes, worker, attempt_id, arguments::text as "arguments!"
           from worker.jobs
           where id = $1 and lease_token = $2 and lease_expires_at < clock_timestamp()
           for update skip locked"#,
        job,
        token,
    )
    .fetch_optional(&mut *transaction)
    .await?
    else {
        return Ok(false);
    };
    if row.attempt_id.is_none() && row.crashes > 0 {
        release(&mut transaction, &[Key { job, token }]).await?;
        transaction.commit().await?;
        return Ok(true);
    }
    let now = (daemon.clock)();
    let lease = Lease {
        job,
        token,
        queue: row.queue,
        kind: row.kind,
        attempt: row
            .attempt
            .saturating_add(i16::from(row.attempt_id.is_none())),
        max_attempts: row.max_attempts,
        crashes: row.crashes.saturating_add(1),
        worker: row.worker.unwrap_or_default(),
    };
    let outcome = after_crash(daemon, &lease, now);
    record_crash(&mut transaction, &lease, row.attempt_id, &outcome, now).await?;
    if let Some(kind) = daemon.registry.get(&lease.kind) {
        let arguments = serde_json::from_str(&row.arguments).unwrap_or(Value::Null);
        kind.decided_by_queue(&mut transaction, &lease, &arguments, &outcome, now)
            .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

fn after_crash(daemon: &Daemon, lease: &Lease, now: DateTime<Utc>) -> Outcome {
    let code = CRASHED.to_owned();
    let daemon_name = &lease.worker;
    if lease.crashes >= daemon.settings.max_crashes {
        let message = format!(
            "{} daemons died while they held this job, the last was {daemon_name}; look at its log before you retry the job",
            lease.crashes
        );
        return Outcome::Dead { code, message };
    }
    let crashes = u32::try_from(lease.crashes).unwrap_or(1);
    Outcome::Retry {
        at: now
            + daemon
                .settings
                .crash_retry
                .delay(crashes, (daemon.random)()),
        code,
        message: format!("the daemon {daemon_name} died while it held this job"),
    }
}

/// Counts the crash, gives the counted attempt back, and closes the open attempt.
async fn record_crash(
    conn: &mut PgConnection,
    lease: &Lease,
    attempt: Option<Uuid>,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (run_at, message) = match outcome {
        Outcome::Retry { at, message, .. } => (Some(*at), Some(message)),
        Outcome::Dead { message, .. } => (None, Some(message)),
        _ => (None, None),
    };
    sqlx::query!(
        r#"with crashed as (
               update worker.jobs
               set state = case when $2::timestamptz is null then 'dead' else 'available' end,
                   run_at = coalesce($2, run_at),
                   finished_at = case when $2::timestamptz is null then $3::timestamptz end,
                   attempt = (attempt - (attempt_id is not null)::int)::smallint,
                   crashes = $4, fault_code = 'crashed', fault_message = $5,
                   lease_token = null, lease_expires_at = null, attempt_id = null
               where id = $1
           )
           update worker.attempts
           set ended_at = $3, outcome = 'crashed', fault_code = 'crashed', fault_message = $5
           where job_id = $1 and id = $6"#,
        lease.job,
        run_at,
        now,
        lease.crashes,
        message,
        attempt,
    )
    .execute(conn)
    .await?;
    Ok(())
}
