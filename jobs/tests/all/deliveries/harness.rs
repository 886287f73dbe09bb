//! A daemon without its process, and a partner that follows a script.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jobs::{
    catalog::Withholding,
    clock::{self, Clock},
    delivery::{
        Adapters, CloseBatch, Confirm, ConfirmPolicy, Deliver, Reader, RetryPolicy, Services,
    },
    notification::{self, Channels, Notify},
    queue::{self, Registry, circuit::CircuitPolicy},
    schedule::{self, PollSettings},
};
use platform_adapters::{
    Adapter, Batch, BatchFound, BatchReceipt, Code, ConnectOptions, Evidence, Fault, Handover,
    Kind, Located, Receipt, Said, Status, WordFile, connect,
    package::{AssetStore, Package},
};
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use test_support::{TestDatabase, catalogue};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the partner was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Deliver {
        key: String,
        folder: String,
        upc: String,
        kind: Kind,
        purges: bool,
    },
    Locate(String),
    Status(String),
}

/// A file in the folder of acknowledgements, and what reading it gives.
type InboxFile = (WordFile, Result<Vec<Said>, Fault>);

/// A partner that answers from a script, and with success when the script is at its end.
#[derive(Default)]
pub(crate) struct Partner {
    pub(crate) deliver: Mutex<VecDeque<Result<Receipt, Fault>>>,
    /// Faults of looking, before `locate` counts.
    pub(crate) unreachable: Mutex<VecDeque<Fault>>,
    pub(crate) locate: Mutex<VecDeque<Located>>,
    pub(crate) status: Mutex<VecDeque<Result<Status, Fault>>>,
    pub(crate) asked: Mutex<Vec<Asked>>,
    /// Its id of the release, as it was last told with a delivery.
    pub(crate) told_id: Mutex<Option<String>>,
    /// What it was told with each delivery of files that it has.
    pub(crate) told_resend_of: Mutex<Vec<Option<Value>>>,
    /// The folder of acknowledgements: each file with what reading it gives.
    pub(crate) inbox: Mutex<Vec<InboxFile>>,
    /// While set, it takes what is delivered and does not answer.
    pub(crate) stalls: AtomicBool,
}

impl Partner {
    /// What was delivered, in order.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter_map(|asked| match asked {
                Asked::Deliver { kind, .. } => Some(*kind),
                _ => None,
            })
            .collect()
    }

    /// Whether it was to forget the release, of each that was delivered.
    pub(crate) fn told_purges(&self) -> Vec<bool> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter_map(|asked| match asked {
                Asked::Deliver { purges, .. } => Some(*purges),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn deliveries(&self) -> usize {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| matches!(asked, Asked::Deliver { .. }))
            .count()
    }
}

pub(crate) fn taken() -> Receipt {
    Receipt {
        confirmed: "taken".into(),
        is_final: true,
        ..Receipt::default()
    }
}

#[async_trait]
impl Adapter for Partner {
    async fn deliver(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        self.asked.lock().unwrap().push(Asked::Deliver {
            key: handover.key(),
            folder: handover.timestamp(),
            upc: package.upc.to_string(),
            kind: handover.kind,
            purges: handover.purges,
        });
        self.told_id
            .lock()
            .unwrap()
            .clone_from(&handover.partner_release_id);
        self.told_resend_of
            .lock()
            .unwrap()
            .push(handover.resend_of.clone());
        while self.stalls.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.deliver
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| Ok(taken()))
    }

    async fn locate(&self, handover: &Handover, _package: &Package) -> Result<Located, Fault> {
        self.asked
            .lock()
            .unwrap()
            .push(Asked::Locate(handover.key()));
        if let Some(fault) = self.unreachable.lock().unwrap().pop_front() {
            return Err(fault);
        }
        Ok(self
            .locate
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Located::Absent))
    }

    async fn status(&self, handover: &Handover, _receipt: &Receipt) -> Result<Status, Fault> {
        self.asked
            .lock()
            .unwrap()
            .push(Asked::Status(handover.key()));
        self.status
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Ok(Status::Accepted(Box::new(taken()))))
    }

    async fn word_files(&self) -> Result<Vec<WordFile>, Fault> {
        let inbox = self.inbox.lock().unwrap();
        Ok(inbox.iter().map(|(file, _)| file.clone()).collect())
    }

    async fn read_words(&self, file: &WordFile) -> Result<Vec<Said>, Fault> {
        let inbox = self.inbox.lock().unwrap();
        let found = inbox.iter().find(|(known, _)| known == file);
        found.unwrap().1.clone()
    }

    async fn check(&self) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }
}

/// The name of a platform where nobody answers.
pub(crate) const DEAD: &str = "Dead";

/// What is there.
struct Nobody;

fn nobody() -> Fault {
    Fault::new(Code::ConnectionFailed, "nobody answers")
}

#[async_trait]
impl Adapter for Nobody {
    async fn deliver(&self, _handover: &Handover, _package: &Package) -> Result<Receipt, Fault> {
        Err(nobody())
    }

    async fn locate(&self, _handover: &Handover, _package: &Package) -> Result<Located, Fault> {
        Err(nobody())
    }

    async fn status(&self, _handover: &Handover, _receipt: &Receipt) -> Result<Status, Fault> {
        Err(nobody())
    }

    async fn check(&self) -> Result<Vec<String>, Fault> {
        Err(nobody())
    }
}

/// The name of a platform whose partner is a real one.
pub(crate) const REAL: &str = "Real";

/// A step at which closing a batch is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    BeforeLooking,
    AfterLooking,
    AfterTelling,
    /// The partner was told, and its answer got lost.
    Answer,
}

/// A real adapter whose caller is cut off where the test says.
struct CutOff {
    inner: Arc<dyn Adapter>,
    cuts: Arc<Mutex<Vec<Cut>>>,
}

impl CutOff {
    /// Whether it is to be cut off here.
    fn takes(&self, step: Cut) -> bool {
        let mut cuts = self.cuts.lock().unwrap();
        let place = cuts.iter().position(|cut| *cut == step);
        place.map(|place| cuts.remove(place)).is_some()
    }

    fn may_end(&self, step: Cut) {
        assert!(
            !self.takes(step),
            "cut off at {step:?}, as it was asked for"
        );
    }
}

#[async_trait]
impl Adapter for CutOff {
    async fn deliver(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        self.inner.deliver(handover, package).await
    }

    async fn locate(&self, handover: &Handover, package: &Package) -> Result<Located, Fault> {
        self.inner.locate(handover, package).await
    }

    async fn status(&self, handover: &Handover, receipt: &Receipt) -> Result<Status, Fault> {
        self.inner.status(handover, receipt).await
    }

    async fn survey_batch(&self, batch: &Batch) -> Result<BatchFound, Fault> {
        self.may_end(Cut::BeforeLooking);
        let found = self.inner.survey_batch(batch).await;
        self.may_end(Cut::AfterLooking);
        found
    }

    async fn complete_batch(
        &self,
        batch: &Batch,
        manifest: Evidence,
    ) -> Result<BatchReceipt, Fault> {
        let told = self.inner.complete_batch(batch, manifest).await;
        self.may_end(Cut::AfterTelling);
        match self.takes(Cut::Answer) {
            true => Err(Fault::new(Code::OutcomeUnknown, "the answer got lost")),
            false => told,
        }
    }

    async fn word_files(&self) -> Result<Vec<WordFile>, Fault> {
        self.inner.word_files().await
    }

    async fn read_words(&self, file: &WordFile) -> Result<Vec<Said>, Fault> {
        self.inner.read_words(file).await
    }

    async fn check(&self) -> Result<Vec<String>, Fault> {
        self.inner.check().await
    }
}

/// A database with assets, and a daemon on it once it is started.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) assets: TempDir,
    pub(crate) partner: Arc<Partner>,
    pub(crate) queue: queue::Settings,
    pub(crate) notifications: notification::Settings,
    pub(crate) circuit: CircuitPolicy,
    pub(crate) clock: Clock,
    pub(crate) withholding: Withholding,
    pub(crate) confirm: ConfirmPolicy,
    /// Where closing a batch is cut off, each once.
    pub(crate) cuts: Arc<Mutex<Vec<Cut>>>,
    daemons: Vec<(JoinHandle<()>, CancellationToken)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self {
            database: TestDatabase::create().await,
            assets: tempfile::tempdir().unwrap(),
            partner: Arc::default(),
            queue: queue::Settings::default(),
            notifications: notification::Settings::default(),
            circuit: CircuitPolicy::default(),
            clock: clock::system(),
            withholding: Withholding::default(),
            confirm: ConfirmPolicy {
                first_s: 0,
                max_s: 1,
                max_transmissions: 3,
                ..ConfirmPolicy::default()
            },
            cuts: Arc::default(),
            daemons: Vec::new(),
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub(crate) async fn release(&self, number: u32) -> i32 {
        catalogue::release(self.pool(), self.assets.path(), number).await
    }

    pub(crate) fn services(&self) -> Arc<Services> {
        let partner = Arc::clone(&self.partner);
        let assets = AssetStore::local(self.assets.path()).unwrap();
        let (cuts, kept) = (Arc::clone(&self.cuts), assets.clone());
        Arc::new(Services {
            pool: self.pool().clone(),
            reader: Reader::new(self.pool().clone()),
            clock: Arc::clone(&self.clock),
            random: Arc::new(|| 0.0),
            assets,
            adapters: Adapters::new(Arc::new(move |platform| {
                Ok(match platform.name.as_str() {
                    DEAD => Arc::new(Nobody) as _,
                    REAL => Arc::new(CutOff {
                        inner: connect(platform, kept.clone(), &ConnectOptions::default())?,
                        cuts: Arc::clone(&cuts),
                    }) as _,
                    _ => Arc::clone(&partner) as _,
                })
            })),
            retry: RetryPolicy {
                base_s: 1,
                max_attempts: 3,
                ..RetryPolicy::default()
            },
            circuit: self.circuit.clone(),
            platform_concurrency: 4,
            confirm: self.confirm.clone(),
            withholding: self.withholding.clone(),
            audience: Channels::new(&self.notifications).unwrap().audience(),
        })
    }

    /// Starts the schedule loop and the queue; once more: of another daemon beside it.
    pub(crate) fn start(&mut self) {
        let services = self.services();
        let told = Arc::new(notification::Services {
            pool: self.pool().clone(),
            clock: Arc::clone(&self.clock),
            channels: Channels::new(&self.notifications).unwrap(),
        });
        let queue_settings = self.queue.clone();
        let shutdown = CancellationToken::new();
        let (pool, stop) = (self.pool().clone(), shutdown.clone());
        let clock = Arc::clone(&self.clock);
        let task = tokio::spawn(async move {
            let settings = PollSettings {
                poll_ms: 20,
                batch: 100,
            };
            let connect = (*pool.connect_options()).clone();
            let schedules = tokio::spawn(schedule::poll(
                pool,
                connect.clone(),
                settings,
                Arc::clone(&clock),
                jobs::vitals::Vitals::default(),
                stop.clone(),
            ));
            let registry = Registry::new()
                .with::<Deliver>(Arc::clone(&services))
                .unwrap()
                .with::<CloseBatch>(Arc::clone(&services))
                .unwrap()
                .with::<Confirm>(services)
                .unwrap()
                .with::<Notify>(told)
                .unwrap();
            let vitals = jobs::vitals::Vitals::default();
            queue::run(connect, registry, queue_settings, clock, vitals, stop)
                .await
                .unwrap();
            schedules.await.unwrap();
        });
        self.daemons.push((task, shutdown));
    }

    pub(crate) async fn stop(&mut self) {
        for (task, shutdown) in self.daemons.drain(..) {
            shutdown.cancel();
            task.await.unwrap();
        }
    }

    /// The schedule's status, once it is none that will change by itself.
    pub(crate) async fn decided(&self, schedule: i32) -> String {
        until(|| async {
            let status: String =
                sqlx::query_scalar("select status from scheduled_distributions where id = $1")
                    .bind(schedule)
                    .fetch_one(self.pool())
                    .await
                    .unwrap();
            (!matches!(status.as_str(), "pending" | "scheduled" | "processing")).then_some(status)
        })
        .await
    }

    /// A text of the newest delivery; `None` too while there is no delivery.
    pub(crate) async fn delivery(&self, column: &str) -> Option<String> {
        sqlx::query_scalar::<_, Option<String>>(sqlx::AssertSqlSafe(format!(
            "select ({column})::text from worker.deliveries order by revision desc limit 1"
        )))
        .fetch_optional(self.pool())
        .await
        .unwrap()
        .flatten()
    }

    /// A text of the one distribution record there is.
    pub(crate) async fn record(&self, column: &str) -> Option<String> {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select ({column})::text from distribution_records"
        )))
        .fetch_one(self.pool())
        .await
        .unwrap()
    }

    /// Waits until the delivery to this platform is in this state.
    pub(crate) async fn until_delivery_of(&self, platform: i32, state: &str) {
        until(|| async {
            let found: Option<String> =
                sqlx::query_scalar("select state from worker.deliveries where platform_id = $1")
                    .bind(platform)
                    .fetch_optional(self.pool())
                    .await
                    .unwrap();
            (found.as_deref() == Some(state)).then_some(())
        })
        .await;
    }

    /// Waits until the newest delivery is in this state.
    pub(crate) async fn until_delivery(&self, state: &str) {
        until(|| async { (self.delivery("state").await.as_deref() == Some(state)).then_some(()) })
            .await;
    }
}

/// Asks until there is an answer; a minute without one is a failure.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("what was waited for came to pass")
}
