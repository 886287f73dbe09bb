//! The registry of job kinds of one daemon: what it claims, and how it calls each kind.

use std::{collections::HashMap, marker::PhantomData, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use sqlx::PgConnection;

use super::{
    QueueError,
    job::{Done, Job, JobFault, Lease, Outcome},
};

/// All job kinds that a daemon knows. Jobs of other kinds are left for daemons that know them.
#[derive(Default, Clone)]
pub struct Registry {
    kinds: HashMap<&'static str, Arc<dyn Kind>>,
}

impl Registry {
    /// A registry without kinds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind and its services. Refused if there is a kind of that name already.
    pub fn with<J: Job>(mut self, context: J::Context) -> Result<Self, QueueError> {
        let kind = Arc::new(Typed::<J> {
            context,
            job: PhantomData,
        });
        match self.kinds.insert(J::KIND, kind) {
            None => Ok(self),
            Some(_) => Err(QueueError::DuplicateKind(J::KIND)),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<dyn Kind>> {
        self.kinds.get(name)
    }

    /// The names of all kinds, or of those that are fetched ahead, or of those that are not.
    pub(super) fn names(&self, prefetch: Option<bool>) -> Vec<String> {
        self.kinds
            .iter()
            .filter(|(_, kind)| prefetch.is_none_or(|wanted| kind.prefetch() == wanted))
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }
}

/// A job kind without its type.
pub(super) trait Kind: Send + Sync {
    fn timeout(&self) -> Duration;
    fn prefetch(&self) -> bool;
    fn begins_itself(&self) -> bool;
    fn run(&self, arguments: &str, lease: Lease) -> BoxFuture<'static, Result<Done, JobFault>>;
    fn decided_by_queue<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        lease: &'a Lease,
        arguments: &'a Value,
        outcome: &'a Outcome,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>>;
}

struct Typed<J: Job> {
    context: J::Context,
    // A function, so that the kind is `Sync` though its arguments need not be.
    job: PhantomData<fn() -> J>,
}

impl<J: Job> Kind for Typed<J> {
    fn timeout(&self) -> Duration {
        J::TIMEOUT
    }

    fn prefetch(&self) -> bool {
        J::PREFETCH
    }

    fn begins_itself(&self) -> bool {
        J::BEGINS_ITSELF
    }

    fn run(&self, arguments: &str, lease: Lease) -> BoxFuture<'static, Result<Done, JobFault>> {
        match serde_json::from_str::<J>(arguments) {
            Ok(job) => job.run(self.context.clone(), lease).boxed(),
            Err(error) => {
                let fault = undecodable(&lease.kind, &error);
                async move { Err(fault) }.boxed()
            }
        }
    }

    fn decided_by_queue<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        lease: &'a Lease,
        arguments: &'a Value,
        outcome: &'a Outcome,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        J::decided_by_queue(conn, lease, arguments, outcome, now).boxed()
    }
}

/// The fault of arguments that do not fit their kind. The error's text may name a value, not a
/// secret: arguments hold ids.
fn undecodable(kind: &str, error: &serde_json::Error) -> JobFault {
    JobFault::dead(
        "arguments_undecodable",
        format!(
            "the arguments do not fit job kind {kind}: {error}; correct them in worker.jobs and retry the job"
        ),
    )
}
