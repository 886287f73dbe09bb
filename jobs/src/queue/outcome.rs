//! The tower layer around every handler: begins the attempt, stops the handler in time, and turns
//! whatever comes out of it, panics included, into a recorded outcome.

use std::{
    any::Any,
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
};

use apalis_core::{error::BoxDynError, task::Task};
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinError};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use super::{
    attempt::{begin, settle_started},
    backend::Assignment,
    backoff::Backoff,
    claim::Claimed,
    complete::Completion,
    crew::Crew,
    job::{Done, JobFault, Lease, Outcome},
    run::Daemon,
};

#[derive(Clone)]
pub(super) struct OutcomeLayer {
    pub(super) daemon: Arc<Daemon>,
    pub(super) crew: Arc<Crew>,
    /// Bounded: handlers that outrun the recording wait, instead of piling up completions.
    pub(super) completions: mpsc::Sender<Completion>,
}

impl<S> Layer<S> for OutcomeLayer {
    type Service = OutcomeService<S>;

    fn layer(&self, inner: S) -> OutcomeService<S> {
        OutcomeService {
            inner,
            layer: self.clone(),
        }
    }
}

pub(super) struct OutcomeService<S> {
    inner: S,
    layer: OutcomeLayer,
}

impl<S> Service<Task<Assignment>> for OutcomeService<S>
where
    S: Service<Task<Assignment>, Response = Done, Error = BoxDynError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = ();
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<(), Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is asked in the call, where its answer has a job to belong to.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut task: Task<Assignment>) -> Self::Future {
        let claimed = Arc::clone(&task.args.claimed);
        let slot = task.args.slot.take();
        let layer = self.layer.clone();
        let inner = self.inner.clone();
        async move {
            let running = layer.daemon.vitals.job();
            let presence = Presence {
                layer: &layer,
                claimed: &claimed,
            };
            presence.attend(inner, task).await;
            drop((slot, running));
            Ok(())
        }
        .boxed()
    }
}

/// One job from its start to its recorded outcome.
struct Presence<'a> {
    layer: &'a OutcomeLayer,
    claimed: &'a Claimed,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.layer.crew.left();
    }
}

/// Ends the heartbeats of a job that was dropped before its outcome was recorded.
struct Unrecorded<'a>(&'a Daemon, &'a Lease);

impl Drop for Unrecorded<'_> {
    fn drop(&mut self) {
        tracing::warn!(job = %self.1.job, kind = self.1.kind, "job cut off; its lease will expire");
        self.0.leases.remove(self.1.key());
    }
}

impl Presence<'_> {
    async fn attend<S>(&self, inner: S, task: Task<Assignment>)
    where
        S: Service<Task<Assignment>, Response = Done, Error = BoxDynError>,
    {
        let (daemon, lease) = (&*self.layer.daemon, &self.claimed.lease);
        while daemon.leases.expired() {
            // Another daemon may have it. The next heartbeat that gets through tells.
            tokio::time::sleep(daemon.settings.busy_interval).await;
        }
        let Some(lost) = daemon.leases.start(lease.key()) else {
            return;
        };
        let unrecorded = Unrecorded(daemon, lease);
        let started_at = (daemon.clock)();
        let end = match self.begin(started_at).await {
            Ok(true) => self.run(inner, task, &lost).await,
            Ok(false) => End::Lost,
            Err(error) => End::GivenBack(
                "database",
                format!("the attempt could not be begun: {error}"),
            ),
        };
        self.record(end, started_at).await;
        std::mem::forget(unrecorded);
    }

    /// False: the lease is lost.
    async fn begin(&self, now: DateTime<Utc>) -> Result<bool, sqlx::Error> {
        let Claimed { lease, kind, .. } = self.claimed;
        // A suspect is always begun before its work: see `rescue`.
        if lease.crashes == 0 && (kind.prefetch() || kind.begins_itself()) {
            return Ok(true);
        }
        let mut conn = self.layer.daemon.pool.acquire().await?;
        Ok(begin(&mut conn, lease, None, now).await?.is_some())
    }

    async fn run<S>(&self, mut inner: S, task: Task<Assignment>, lost: &CancellationToken) -> End
    where
        S: Service<Task<Assignment>, Response = Done, Error = BoxDynError>,
    {
        let work = AssertUnwindSafe(async move {
            std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
            inner.call(task).await
        })
        .catch_unwind();
        let timeout = self.claimed.kind.timeout();
        tokio::select! {
            biased;
            result = tokio::time::timeout(timeout, work) => match result {
                Ok(Ok(Ok(done))) => End::Done(done),
                Ok(Ok(Err(error))) => End::Fault(fault_of(error)),
                Ok(Err(panic)) => End::Fault(panicked(&*panic)),
                Err(_) => End::Fault(JobFault::retry(
                    "timeout",
                    format!("the attempt took longer than {} s and was stopped", timeout.as_secs_f64()),
                )),
            },
            () = lost.cancelled() => if self.layer.daemon.leases.is_stopped(self.claimed.lease.key()) {
                End::Stopped
            } else { End::GivenBack(
                "lease_lost",
                "the daemon could not hold its claim on the job and stopped it".to_owned(),
            ) },
            () = self.layer.daemon.cut_off.cancelled() => End::GivenBack(
                "shutdown",
                "the daemon was stopped before the attempt was over".to_owned(),
            ),
        }
    }

    async fn record(&self, end: End, started_at: DateTime<Utc>) {
        let (daemon, lease) = (&*self.layer.daemon, &self.claimed.lease);
        let now = (daemon.clock)();
        let outcome = match end {
            End::Done(Done::Complete) => return self.complete(started_at, now).await,
            End::Done(Done::Settled) => return daemon.leases.remove(lease.key()),
            End::Lost => {
                tracing::warn!(job = %lease.job, kind = lease.kind, "lease lost before the work began");
                return daemon.leases.remove(lease.key());
            }
            End::Stopped => Outcome::Canceled,
            End::GivenBack(code, message) => Outcome::Snooze {
                at: now,
                code: code.to_owned(),
                message,
            },
            End::Fault(fault) => {
                decide(fault, lease, now, &daemon.settings.retry, (daemon.random)())
            }
        };
        log(lease, &outcome);
        let mut failures = 0_u32;
        loop {
            match self.record_decided(&outcome, started_at, now).await {
                Ok(true) => break,
                Ok(false) => {
                    tracing::warn!(job = %lease.job, kind = lease.kind, "lease lost; the outcome was not recorded");
                    break;
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(%error, job = %lease.job, kind = lease.kind, "outcome not recorded; trying again");
                    daemon.pause_after(failures).await;
                }
            }
        }
        daemon.leases.remove(lease.key());
    }

    async fn complete(&self, started_at: DateTime<Utc>, ended_at: DateTime<Utc>) {
        let completion = Completion {
            lease: self.claimed.lease.key(),
            started_at,
            ended_at,
        };
        if self.layer.completions.send(completion).await.is_err() {
            tracing::error!(job = %self.claimed.lease.job, "completion not recorded: the recording has ended");
        }
    }

    /// The outcome and what the job's owner makes of it, in one transaction.
    async fn record_decided(
        &self,
        outcome: &Outcome,
        started_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, sqlx::Error> {
        let Claimed {
            lease,
            arguments,
            kind,
        } = self.claimed;
        let mut transaction = crate::database::begin(&self.layer.daemon.pool, "begin").await?;
        // The attempt's begin may have failed here and still be on its way there: whoever waits for its
        // end in the statement that settles would not see the attempt that it opened.
        sqlx::query!(
            "select id from worker.jobs where id = $1 for update",
            lease.job
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if !settle_started(&mut transaction, lease, outcome, started_at, now).await? {
            return Ok(false);
        }
        let arguments = serde_json::from_str(arguments).unwrap_or(Value::Null);
        kind.decided_by_queue(&mut transaction, lease, &arguments, outcome, now)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// How the work on a job ended.
enum End {
    Done(Done),
    Fault(JobFault),
    /// Stopped through no fault of the job: the attempt does not count.
    GivenBack(&'static str, String),
    /// Somebody wanted the job canceled.
    Stopped,
    /// Somebody else has it.
    Lost,
}

/// What the queue makes of a fault.
fn decide(
    fault: JobFault,
    lease: &Lease,
    now: DateTime<Utc>,
    retry: &Backoff,
    random: f64,
) -> Outcome {
    match fault {
        JobFault::Retry { code, message } if lease.attempt >= lease.max_attempts => Outcome::Dead {
            code,
            message: format!(
                "{message} (attempt {} of {}, the last)",
                lease.attempt, lease.max_attempts
            ),
        },
        JobFault::Retry { code, message } => {
            let failures = u32::try_from(lease.attempt).unwrap_or(1);
            Outcome::Retry {
                at: now + retry.delay(failures, random),
                code,
                message,
            }
        }
        JobFault::Snooze { at, code, message } => Outcome::Snooze { at, code, message },
        JobFault::Dead { code, message } => Outcome::Dead { code, message },
    }
}

/// A handler's own fault, or a panic in the task that it ran in.
fn fault_of(error: BoxDynError) -> JobFault {
    match error.downcast::<JobFault>() {
        Ok(fault) => *fault,
        Err(error) => match error.downcast::<JoinError>() {
            Ok(error) => match error.try_into_panic() {
                Ok(panic) => panicked(&*panic),
                Err(error) => {
                    JobFault::retry("aborted", format!("the handler's task ended: {error}"))
                }
            },
            Err(error) => JobFault::retry("handler", error.to_string()),
        },
    }
}

fn panicked(panic: &(dyn Any + Send)) -> JobFault {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    JobFault::retry(
        "panicked",
        format!("the handler panicked: {text}; this is a bug of the worker, please report it"),
    )
}

fn log(lease: &Lease, outcome: &Outcome) {
    let (code, message) = match outcome {
        Outcome::Retry { code, message, .. }
        | Outcome::Snooze { code, message, .. }
        | Outcome::Dead { code, message }
        | Outcome::Held { code, message } => (code, message),
        Outcome::Completed | Outcome::Canceled => return,
    };
    let dead = matches!(outcome, Outcome::Dead { .. });
    tracing::warn!(
        job = %lease.job, queue = lease.queue, kind = lease.kind, attempt = lease.attempt,
        code, message, dead, "attempt failed"
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_fault_is_retried_until_the_attempts_are_used_up() {
        let retry = Backoff {
            first: Duration::from_secs(10),
            ceiling: Duration::from_secs(60),
        };
        let now = DateTime::UNIX_EPOCH;
        let lease = |attempt| Lease {
            job: Uuid::nil(),
            token: Uuid::nil(),
            queue: "q".to_owned(),
            kind: "k".to_owned(),
            attempt,
            max_attempts: 3,
            crashes: 0,
            worker: "w".to_owned(),
        };
        let fault = || JobFault::retry("network", "refused");
        let Outcome::Retry { at, .. } = decide(fault(), &lease(2), now, &retry, 0.5) else {
            panic!("the second of three attempts is not the last");
        };
        assert_eq!(at, now + Duration::from_secs(10));
        let Outcome::Dead { code, message } = decide(fault(), &lease(3), now, &retry, 0.5) else {
            panic!("the third of three attempts is the last");
        };
        assert_eq!(code, "network");
        assert_eq!(message, "refused (attempt 3 of 3, the last)");
    }
}
