//! Job kinds that do as they are told, and a daemon to run them.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SubsecRound, Utc};
use jobs::{
    clock::Clock,
    queue::{
        self, Backoff, Done, Job, JobFault, Lease, NewJob, Outcome, QueueError, Registry, Settings,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, PgPool};
use test_support::TestDatabase;
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What a job's handler does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Action {
    Succeed,
    /// Records the outcome itself.
    Settle,
    Panic,
    Fault,
    Dead,
    /// Not before the year 2100.
    Snooze,
    /// Until [`Stage::gate`] lets it through.
    Wait,
    Sleep(u64),
}

/// What the handlers of one test share with it.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) pool: PgPool,
    pub(super) gate: Arc<Semaphore>,
    /// The leases of all starts, in order.
    pub(super) starts: Arc<Mutex<Vec<Lease>>>,
    running: Arc<AtomicUsize>,
    pub(super) most_running: Arc<AtomicUsize>,
    /// Handlers that ended in any way.
    pub(super) ended: Arc<AtomicUsize>,
}

impl Stage {
    pub(super) fn starts(&self) -> usize {
        self.starts.lock().unwrap().len()
    }

    fn start(&self, lease: &Lease) -> Presence {
        self.starts.lock().unwrap().push(lease.clone());
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        Presence(self.clone())
    }

    async fn act(self, action: Action, lease: Lease) -> Result<Done, JobFault> {
        let _presence = self.start(&lease);
        match action {
            Action::Succeed => Ok(Done::Complete),
            Action::Settle => {
                let mut transaction = self.pool.begin().await?;
                queue::begin(&mut transaction, &lease, Some(lease.job), epoch()).await?;
                assert!(
                    queue::settle(&mut transaction, &lease, &Outcome::Completed, epoch()).await?
                );
                transaction.commit().await?;
                Ok(Done::Settled)
            }
            Action::Panic => panic!("as it was told"),
            Action::Fault => Err(JobFault::retry("told_to", "fails as it was told")),
            Action::Dead => Err(JobFault::dead("told_to", "dies as it was told")),
            Action::Snooze => Err(JobFault::Snooze {
                at: "2100-01-01T00:00:00Z".parse().unwrap(),
                code: "told_to".to_owned(),
                message: "sleeps as it was told".to_owned(),
            }),
            Action::Wait => {
                self.gate.acquire().await.unwrap().forget();
                Ok(Done::Complete)
            }
            Action::Sleep(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(Done::Complete)
            }
        }
    }
}

struct Presence(Stage);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $kind:literal, prefetch: $prefetch:literal, timeout: $timeout:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub(super) struct $name {
            pub(super) action: Action,
        }

        impl Job for $name {
            type Context = Stage;
            const KIND: &'static str = $kind;
            const MAX_ATTEMPTS: i16 = 3;
            const TIMEOUT: Duration = $timeout;
            const PREFETCH: bool = $prefetch;

            async fn run(self, stage: Stage, lease: Lease) -> Result<Done, JobFault> {
                stage.act(self.action, lease).await
            }

            async fn decided_by_queue(
                conn: &mut PgConnection,
                lease: &Lease,
                arguments: &Value,
                outcome: &Outcome,
                _now: DateTime<Utc>,
            ) -> Result<(), sqlx::Error> {
                note_decision(conn, lease, arguments, outcome).await
            }
        }
    };
}

kind!(
    /// A job that is fetched only for a free slot, as a delivery is.
    Large, "large", prefetch: false, timeout: Duration::from_secs(60)
);
kind!(
    /// A job that is fetched ahead.
    Small, "small", prefetch: true, timeout: Duration::from_secs(60)
);
kind!(
    /// A job that may hardly take any time.
    Hasty, "hasty", prefetch: false, timeout: Duration::from_millis(20)
);

/// What the queue told the owner of a job, in the outcome's transaction.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(super) struct Decision {
    pub(super) job: Uuid,
    pub(super) outcome: String,
    pub(super) code: String,
    pub(super) arguments: Value,
}

async fn note_decision(
    conn: &mut PgConnection,
    lease: &Lease,
    arguments: &Value,
    outcome: &Outcome,
) -> Result<(), sqlx::Error> {
    let (name, code) = match outcome {
        Outcome::Retry { code, .. } => ("retry", code.as_str()),
        Outcome::Snooze { code, .. } => ("snooze", code.as_str()),
        Outcome::Dead { code, .. } => ("dead", code.as_str()),
        Outcome::Held { code, .. } => ("held", code.as_str()),
        Outcome::Completed => ("completed", ""),
        Outcome::Canceled => ("canceled", ""),
    };
    sqlx::query("insert into decisions (job, outcome, code, arguments) values ($1, $2, $3, $4)")
        .bind(lease.job)
        .bind(name)
        .bind(code)
        .bind(arguments)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(Debug, Clone, FromRow)]
pub(super) struct JobRow {
    pub(super) state: String,
    pub(super) run_at: DateTime<Utc>,
    pub(super) attempt: i16,
    pub(super) crashes: i16,
    pub(super) lease_token: Option<Uuid>,
    pub(super) attempt_id: Option<Uuid>,
    pub(super) fault_code: Option<String>,
    pub(super) fault_message: Option<String>,
    pub(super) finished_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(super) struct AttemptRow {
    pub(super) number: i16,
    pub(super) outcome: Option<String>,
    pub(super) fault_code: Option<String>,
    pub(super) delivery_id: Option<Uuid>,
}

/// A database, its stage, and what a test does with both.
pub(super) struct Bench {
    pub(super) database: TestDatabase,
    pub(super) stage: Stage,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let database = TestDatabase::create().await;
        sqlx::query("create table decisions (id serial, job uuid, outcome text, code text, arguments jsonb)")
            .execute(database.pool())
            .await
            .unwrap();
        let stage = Stage {
            pool: database.pool().clone(),
            gate: Arc::new(Semaphore::new(0)),
            starts: Arc::default(),
            running: Arc::default(),
            most_running: Arc::default(),
            ended: Arc::default(),
        };
        Self { database, stage }
    }

    pub(super) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub(super) async fn enqueue(&self, jobs: &[NewJob]) -> Vec<Option<Uuid>> {
        let mut conn = self.pool().acquire().await.unwrap();
        queue::enqueue(&mut conn, jobs).await.unwrap()
    }

    pub(super) async fn enqueue_one(&self, job: NewJob) -> Uuid {
        self.enqueue(&[job]).await[0].unwrap()
    }

    pub(super) async fn execute(&self, statement: &'static str, job: Uuid) {
        sqlx::query(statement)
            .bind(job)
            .execute(self.pool())
            .await
            .unwrap();
    }

    pub(super) async fn job(&self, id: Uuid) -> JobRow {
        sqlx::query_as("select * from worker.jobs where id = $1")
            .bind(id)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    pub(super) async fn attempts(&self, id: Uuid) -> Vec<AttemptRow> {
        sqlx::query_as("select * from worker.job_attempts where job_id = $1 order by id")
            .bind(id)
            .fetch_all(self.pool())
            .await
            .unwrap()
    }

    pub(super) async fn attempt_outcomes(&self, id: Uuid) -> Vec<String> {
        let attempts = self.attempts(id).await;
        attempts
            .into_iter()
            .map(|a| a.outcome.unwrap_or_default())
            .collect()
    }

    pub(super) async fn decisions(&self) -> Vec<Decision> {
        sqlx::query_as("select * from decisions order by id")
            .fetch_all(self.pool())
            .await
            .unwrap()
    }

    pub(super) async fn count(&self, state: &str) -> i64 {
        sqlx::query_scalar("select count(*) from worker.jobs where state = $1")
            .bind(state)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    pub(super) async fn until_state(&self, id: Uuid, state: &str) -> JobRow {
        until(&format!("job is {state}"), async || {
            self.job(id).await.state == state
        })
        .await;
        self.job(id).await
    }

    pub(super) async fn until_completed(&self, jobs: i64) {
        until("all jobs are completed", async || {
            self.count("completed").await == jobs
        })
        .await;
    }

    /// A claim as a daemon would make it that then does nothing more.
    pub(super) async fn claim(&self, job: Uuid) -> Lease {
        let (queue, kind, attempt, max_attempts, crashes, token): (String, String, i16, i16, i16, Uuid) =
            sqlx::query_as(
                "update worker.jobs set state = 'running', lease_token = gen_random_uuid(), worker = 'test',
                     attempt_id = null, lease_expires_at = clock_timestamp() + interval '1 hour'
                 where id = $1 and state = 'available'
                 returning queue, kind, attempt, max_attempts, crashes, lease_token",
            )
            .bind(job)
            .fetch_one(self.pool())
            .await
            .unwrap();
        Lease {
            job,
            token,
            queue,
            kind,
            attempt: attempt + 1,
            max_attempts,
            crashes,
            worker: "test".to_owned(),
        }
    }

    pub(super) async fn begin(&self, lease: &Lease) -> Option<i16> {
        let mut conn = self.pool().acquire().await.unwrap();
        queue::begin(&mut conn, lease, None, epoch()).await.unwrap()
    }

    pub(super) async fn settle(&self, lease: &Lease, outcome: &Outcome) -> bool {
        let mut conn = self.pool().acquire().await.unwrap();
        queue::settle(&mut conn, lease, outcome, epoch())
            .await
            .unwrap()
    }

    pub(super) fn daemon(&self) -> Daemon {
        self.daemon_with(quick())
    }

    pub(super) fn daemon_with(&self, settings: Settings) -> Daemon {
        self.daemon_at(settings, jobs::clock::system())
    }

    pub(super) fn daemon_at(&self, settings: Settings, clock: Clock) -> Daemon {
        let registry = Registry::new()
            .with::<Large>(self.stage.clone())
            .unwrap()
            .with::<Small>(self.stage.clone())
            .unwrap()
            .with::<Hasty>(self.stage.clone())
            .unwrap();
        let shutdown = CancellationToken::new();
        let run = queue::run(
            (*self.pool().connect_options()).clone(),
            registry,
            settings,
            clock,
            jobs::vitals::Vitals::default(),
            shutdown.clone(),
        );
        Daemon {
            shutdown,
            task: tokio::spawn(run),
        }
    }
}

/// A running queue.
pub(super) struct Daemon {
    pub(super) shutdown: CancellationToken,
    task: JoinHandle<Result<(), QueueError>>,
}

impl Daemon {
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    pub(super) async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the queue ends after a shutdown")
            .unwrap()
            .unwrap();
    }

    /// As `kill -9` would: nothing is recorded or given back.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Long enough for any machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("not in time: {what}");
    }
}

/// Limits for impatient tests.
pub(super) fn quick() -> Settings {
    let ms = Duration::from_millis;
    Settings {
        lease: ms(1500),
        heartbeat: ms(300),
        poll_interval: ms(100),
        busy_interval: ms(20),
        rescue_interval: ms(100),
        retry: Backoff {
            first: ms(1),
            ceiling: ms(5),
        },
        crash_retry: Backoff {
            first: ms(1),
            ceiling: ms(5),
        },
        reconnect: Backoff {
            first: ms(5),
            ceiling: ms(100),
        },
        drain: Duration::from_secs(30),
        ..Settings::default()
    }
}

/// Nothing but events makes such a daemon look for work.
pub(super) fn never_polling() -> Settings {
    Settings {
        poll_interval: Duration::from_secs(3600),
        busy_interval: Duration::from_secs(3600),
        rescue_interval: Duration::from_secs(3600),
        ..quick()
    }
}

pub(super) fn epoch() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

pub(super) fn large(queue: &str, action: Action) -> NewJob {
    NewJob::new(queue, &Large { action }, epoch()).unwrap()
}

pub(super) fn small(queue: &str, action: Action) -> NewJob {
    NewJob::new(queue, &Small { action }, epoch()).unwrap()
}

pub(super) fn hasty(queue: &str, action: Action) -> NewJob {
    NewJob::new(queue, &Hasty { action }, epoch()).unwrap()
}
