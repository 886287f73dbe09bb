//! The leases that this daemon holds: which there are, how they are extended and given back.
//! What happens to the leases of a daemon that died is in `rescue`.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::run::Daemon;

/// All leases that this daemon holds, by token.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<Uuid, Held>>,
    /// Set while heartbeats have failed for longer than a lease lasts: others may have the jobs.
    expired: AtomicBool,
}

struct Held {
    job: Uuid,
    /// Ends the handler when the lease is lost; none while the job waits for a slot.
    running: Option<CancellationToken>,
    /// Somebody wants the job canceled.
    stopped: bool,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, HashMap<Uuid, Held>> {
        // Nothing panics under the lock, and the map is whole between any two of its calls.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, token: Uuid, job: Uuid) {
        self.held().insert(
            token,
            Held {
                job,
                running: None,
                stopped: false,
            },
        );
    }

    /// Marks the job as started. `None`: the lease was lost or given back while the job waited.
    pub(super) fn start(&self, token: Uuid) -> Option<CancellationToken> {
        let lost = CancellationToken::new();
        let mut held = self.held();
        let lease = held.get_mut(&token)?;
        lease.running = Some(lost.clone());
        if lease.stopped {
            lost.cancel();
        }
        Some(lost)
    }

    /// Ends the handler of a job that is to be canceled. One that waits ends when it starts.
    pub(super) fn stop(&self, job: Uuid) {
        for lease in self.held().values_mut().filter(|lease| lease.job == job) {
            lease.stopped = true;
            if let Some(running) = &lease.running {
                running.cancel();
            }
        }
    }

    /// Whether the job's handler was ended because the job is to be canceled.
    pub(super) fn is_stopped(&self, token: Uuid) -> bool {
        self.held().get(&token).is_some_and(|lease| lease.stopped)
    }

    /// The outcome is recorded, or will not be: heartbeats end.
    pub(super) fn remove(&self, token: Uuid) {
        self.held().remove(&token);
    }

    pub(super) fn remove_all(&self, tokens: impl IntoIterator<Item = Uuid>) {
        let mut held = self.held();
        for token in tokens {
            held.remove(&token);
        }
    }

    /// Whether running a job now could mean that two run it.
    pub(super) fn expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    /// Takes the leases of jobs that wait for a slot; these will not start.
    fn take_waiting(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        let mut held = self.held();
        let waiting: (Vec<Uuid>, Vec<Uuid>) = held
            .iter()
            .filter(|(_, lease)| lease.running.is_none())
            .map(|(token, lease)| (lease.job, *token))
            .unzip();
        for token in &waiting.1 {
            held.remove(token);
        }
        waiting
    }

    /// In the order in which `complete` locks them.
    fn all(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        let held = self.held();
        let mut all: Vec<(Uuid, Uuid)> = held
            .iter()
            .map(|(token, lease)| (lease.job, *token))
            .collect();
        drop(held);
        all.sort_unstable();
        all.into_iter().unzip()
    }

    /// Stops the handlers of leases that the database no longer knows. Those that wait never start.
    fn lose(&self, tokens: &[Uuid]) {
        let mut held = self.held();
        for token in tokens {
            match held.get(token).map(|lease| lease.running.clone()) {
                Some(Some(running)) => running.cancel(),
                Some(None) => {
                    held.remove(token);
                }
                None => {}
            }
        }
    }

    /// No heartbeat got through for as long as a lease lasts: stop all handlers.
    fn expire(&self) {
        self.expired.store(true, Ordering::Relaxed);
        for lease in self.held().values() {
            if let Some(running) = &lease.running {
                running.cancel();
            }
        }
    }
}

/// Extends all held leases, for ever, on a connection of its own that no other work can occupy.
pub(super) async fn heartbeat(daemon: &Daemon, options: PgConnectOptions) {
    let settings = &daemon.settings;
    let mut conn = None;
    // The leases hold at least for `lease` from here.
    let mut sure_since = Instant::now();
    let mut failures = 0_u32;
    let pulse = daemon.vitals.watch("heartbeat", settings.lease);
    loop {
        let pause = match failures {
            0 => settings.heartbeat,
            n => settings.reconnect.delay(n, (daemon.random)()),
        };
        tokio::time::sleep(pause).await;
        pulse.beat();
        let (jobs, tokens) = daemon.leases.all();
        let before = Instant::now();
        if tokens.is_empty() {
            (sure_since, failures) = (before, 0);
            daemon.leases.expired.store(false, Ordering::Relaxed);
            continue;
        }
        let patience = settings
            .lease
            .saturating_sub(sure_since.elapsed())
            .clamp(Duration::from_millis(100), settings.heartbeat);
        let beat = beat(&mut conn, &options, &jobs, &tokens, settings.lease);
        match tokio::time::timeout(patience, beat).await {
            Ok(Ok(kept)) => {
                (sure_since, failures) = (before, 0);
                daemon.leases.expired.store(false, Ordering::Relaxed);
                for beaten in kept.iter().filter(|beaten| beaten.is_to_stop) {
                    daemon.leases.stop(beaten.job);
                }
                let kept: std::collections::HashSet<Uuid> =
                    kept.into_iter().map(|beaten| beaten.token).collect();
                let lost: Vec<Uuid> = tokens.into_iter().filter(|t| !kept.contains(t)).collect();
                daemon.leases.lose(&lost);
            }
            failure => {
                conn = None;
                failures = failures.saturating_add(1);
                let error = match failure {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                tracing::warn!(error, leases = jobs.len(), "heartbeat failed; trying again");
                if sure_since.elapsed() >= settings.lease && !daemon.leases.expired() {
                    tracing::error!("no heartbeat for a whole lease; stopping all running jobs");
                    daemon.leases.expire();
                }
            }
        }
    }
}

/// A lease that still holds.
struct Beaten {
    job: Uuid,
    token: Uuid,
    /// Somebody wants the job canceled.
    is_to_stop: bool,
}

/// One heartbeat. The answer is the leases that still hold.
async fn beat(
    conn: &mut Option<PgConnection>,
    options: &PgConnectOptions,
    jobs: &[Uuid],
    tokens: &[Uuid],
    lease: Duration,
) -> Result<Vec<Beaten>, sqlx::Error> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(PgConnection::connect_with(options).await?),
    };
    sqlx::query_as!(
        Beaten,
        // A row that is locked is about to have its outcome: to wait for it would hold up those whose
        // rows this statement has locked already. It counts as held, and is extended the next time.
        r#"with held as materialized (
               select * from unnest($1::uuid[], $2::uuid[]) as h(id, token)
           ), free as materialized (
               select j.ctid as place from held h cross join lateral (
                   select ctid from worker.jobs where id = h.id and lease_token = h.token
                   for update skip locked
               ) j
           ), extended as (
               update worker.jobs j
               set lease_expires_at = clock_timestamp() + make_interval(secs => $3)
               where j.ctid = any(array(select place from free))
           )
           select h.id as "job!", h.token as "token!", j.is_to_stop as "is_to_stop!"
           from held h cross join lateral (
               select stop_requested_at is not null as is_to_stop
               from worker.jobs where id = h.id and lease_token = h.token offset 0
           ) j"#,
        jobs,
        tokens,
        lease.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// Gives back the jobs that were claimed and not started, and tells the other daemons.
pub(super) async fn release_waiting(pool: &PgPool, leases: &Leases) -> Result<(), sqlx::Error> {
    let (jobs, tokens) = leases.take_waiting();
    if jobs.is_empty() {
        return Ok(());
    }
    let mut conn = pool.acquire().await?;
    release(&mut conn, &jobs, &tokens).await
}

/// Makes claimed jobs available again as if they had never been claimed.
pub(super) async fn release(
    conn: &mut PgConnection,
    jobs: &[Uuid],
    tokens: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"with released as (
               update worker.jobs j
               set state = 'available', lease_token = null, lease_expires_at = null
               from unnest($1::uuid[], $2::uuid[]) as held(id, token)
               where j.id = held.id and j.lease_token = held.token
               returning j.id
           )
           select (select pg_notify('worker_jobs', '')::text) as notified from released limit 1"#,
        jobs,
        tokens,
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}
