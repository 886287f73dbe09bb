//! apalis's view of the queue: a backend that hands out what the fetcher claimed, one job for each
//! free slot. It never fails and never ends by itself: either would end the worker.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::PollSemaphore;

use super::{
    claim::Claimed,
    job::{Done, JobFault},
    outcome::OutcomeLayer,
};

/// What apalis carries from the backend to the handler.
pub(super) struct Assignment {
    pub(super) claimed: Arc<Claimed>,
    /// Freed when the outcome is on its way.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

/// The innermost service: calls the handler of the job's kind.
pub(super) async fn perform(assignment: Assignment) -> Result<Done, JobFault> {
    let Claimed {
        lease,
        arguments,
        kind,
    } = &*assignment.claimed;
    kind.run(arguments, lease.clone()).await
}

/// The claimed jobs of one crew. A clone is the same storage, so that a worker can be restarted.
#[derive(Clone)]
pub(super) struct Storage {
    waiting: Arc<Mutex<Waiting>>,
    layer: OutcomeLayer,
}

struct Waiting {
    claimed: mpsc::Receiver<Arc<Claimed>>,
    slots: PollSemaphore,
    /// A slot that waits for a job.
    free: Option<OwnedSemaphorePermit>,
}

impl Storage {
    pub(super) fn new(
        claimed: mpsc::Receiver<Arc<Claimed>>,
        slots: usize,
        layer: OutcomeLayer,
    ) -> Self {
        let slots = PollSemaphore::new(Arc::new(Semaphore::new(slots)));
        Self {
            waiting: Arc::new(Mutex::new(Waiting {
                claimed,
                slots,
                free: None,
            })),
            layer,
        }
    }
}

impl Waiting {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Assignment> {
        if self.free.is_none() {
            self.free = ready!(self.slots.poll_acquire(cx));
        }
        match ready!(self.claimed.poll_recv(cx)) {
            Some(claimed) => Poll::Ready(Assignment {
                claimed,
                slot: self.free.take(),
            }),
            // The fetcher has stopped. The shutdown that stopped it also wakes and stops the worker.
            None => Poll::Pending,
        }
    }
}

impl Backend for Storage {
    type Task = Task<Assignment>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let assignment = ready!(waiting.poll_next(cx));
        let lease = &assignment.claimed.lease;
        // Unique among the running ones, though an older claim of the job may still be among them.
        let id = TaskId::from_string(format!("{}/{}", lease.job, lease.token));
        let task = TaskBuilder::new(assignment).task_id(id).build();
        Poll::Ready(Some(Ok(task)))
    }

    fn poll_close(
        &mut self,
        _cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Storage {
    type Args = Assignment;
    type Id = uuid::Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = OutcomeLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _worker: &mut WorkerContext) -> OutcomeLayer {
        self.layer.clone()
    }
}
