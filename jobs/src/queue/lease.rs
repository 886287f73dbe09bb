//! The leases that this daemon holds: which there are, how they are extended and given back.
//! What happens to the leases of a daemon that died is in `rescue`.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{job::Lease, run::Daemon};

/// A job and the token of the claim that took it: several claims of one job may be known here, the
/// older ones lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) job: Uuid,
    pub(super) token: Uuid,
}

impl Lease {
    pub(super) fn key(&self) -> Key {
        Key {
            job: self.job,
            token: self.token,
        }
    }
}

/// All leases that this daemon holds.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<Key, Held>>,
    /// Set while heartbeats have failed for longer than a lease lasts: others may have the jobs.
    expired: AtomicBool,
}

#[derive(Default)]
struct Held {
    /// Ends the handler when the lease is lost; none while the job waits for a slot.
    running: Option<CancellationToken>,
    /// Somebody wants the job canceled.
    stopped: bool,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, HashMap<Key, Held>> {
        // Nothing panics under the lock, and the map is whole between any two of its calls.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let leases = keys.into_iter().map(|key| (key, Held::default()));
        self.held().extend(leases);
    }

    /// Marks the job as started. `None`: the lease was lost or given back while the job waited.
    pub(super) fn start(&self, key: Key) -> Option<CancellationToken> {
        let lost = CancellationToken::new();
        let mut held = self.held();
        let lease = held.get_mut(&key)?;
        lease.running = Some(lost.clone());
        if lease.stopped {
            lost.cancel();
        }
        Some(lost)
    }

    /// Ends the handler of a job that is to be canceled. One that waits ends when it starts.
    pub(super) fn stop(&self, job: Uuid) {
        for (_, lease) in self.held().iter_mut().filter(|(key, _)| key.job == job) {
            lease.stopped = true;
            if let Some(running) = &lease.running {
                running.cancel();
            }
        }
    }

    /// Whether the job's handler was ended because the job is to be canceled.
    pub(super) fn is_stopped(&self, key: Key) -> bool {
        self.held().get(&key).is_some_and(|lease| lease.stopped)
    }

    /// The outcome is recorded, or will not be: heartbeats end.
    pub(super) fn remove(&self, key: Key) {
        self.held().remove(&key);
    }

    pub(super) fn remove_all(&self, keys: impl IntoIterator<Item = Key>) {
        let mut held = self.held();
        for key in keys {
            held.remove(&key);
        }
    }

    /// Whether running a job now could mean that two run it.
    pub(super) fn expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    /// Takes the leases of jobs that wait for a slot; these will not start.
    fn take_waiting(&self) -> Vec<Key> {
        self.held()
            .extract_if(|_, lease| lease.running.is_none())
            .map(|(key, _)| key)
            .collect()
    }

    /// In the order in which `complete` locks them.
    fn all(&self) -> Vec<Key> {
        let mut all: Vec<Key> = self.held().keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// Stops the handlers of leases that the database no longer knows. Those that wait never start.
    fn lose(&self, keys: impl IntoIterator<Item = Key>) {
        let mut held = self.held();
        for key in keys {
            match held.get(&key).map(|lease| lease.running.clone()) {
                Some(Some(running)) => running.cancel(),
                Some(None) => {
                    held.remove(&key);
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
        let held = daemon.leases.all();
        let before = Instant::now();
        if held.is_empty() {
            (sure_since, failures) = (before, 0);
            daemon.leases.expired.store(false, Ordering::Relaxed);
            continue;
        }
        let patience = settings
            .lease
            .saturating_sub(sure_since.elapsed())
            .clamp(Duration::from_millis(100), settings.heartbeat);
        let beat = beat(&mut conn, &options, &held, settings.lease);
        match tokio::time::timeout(patience, beat).await {
            Ok(Ok(kept)) => {
                (sure_since, failures) = (before, 0);
                daemon.leases.expired.store(false, Ordering::Relaxed);
                for beaten in kept.iter().filter(|beaten| beaten.is_to_stop) {
                    daemon.leases.stop(beaten.job);
                }
                let kept: HashSet<Key> = kept.iter().map(Beaten::key).collect();
                daemon
                    .leases
                    .lose(held.into_iter().filter(|key| !kept.contains(key)));
            }
            failure => {
                conn = None;
                failures = failures.saturating_add(1);
                let error = match failure {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                tracing::warn!(error, leases = held.len(), "heartbeat failed; trying again");
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

impl Beaten {
    fn key(&self) -> Key {
        Key {
            job: self.job,
            token: self.token,
        }
    }
}

fn unzip(keys: &[Key]) -> (Vec<Uuid>, Vec<Uuid>) {
    keys.iter().map(|key| (key.job, key.token)).unzip()
}

/// One heartbeat. The answer is the leases that still hold.
async fn beat(
    conn: &mut Option<PgConnection>,
    options: &PgConnectOptions,
    held: &[Key],
    lease: Duration,
) -> Result<Vec<Beaten>, sqlx::Error> {
    let (jobs, tokens) = unzip(held);
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
        &jobs,
        &tokens,
        lease.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// Gives back the jobs that were claimed and not started, and tells the other daemons.
pub(super) async fn release_waiting(pool: &PgPool, leases: &Leases) -> Result<(), sqlx::Error> {
    let waiting = leases.take_waiting();
    if waiting.is_empty() {
        return Ok(());
    }
    let mut conn = pool.acquire().await?;
    release(&mut conn, &waiting).await
}

/// Makes claimed jobs available again as if they had never been claimed.
pub(super) async fn release(conn: &mut PgConnection, claims: &[Key]) -> Result<(), sqlx::Error> {
    let (jobs, tokens) = unzip(claims);
    sqlx::query!(
        r#"with released as (
               update worker.jobs j
               set state = 'available', lease_token = null, lease_expires_at = null
               from unnest($1::uuid[], $2::uuid[]) as held(id, token)
               where j.id = held.id and j.lease_token = held.token
               returning j.id
           )
           select (select pg_notify('worker_jobs', '')::text) as notified from released limit 1"#,
        &jobs,
        &tokens,
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}
