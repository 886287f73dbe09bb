//! Deliveries: one release handed over to one platform, from "queued" to the partner's last word.
//! The delivery holds the meaning, its job the clock; both are written in the same transaction.
//! How a partner is spoken to is `platform-adapters`; how work waits and is claimed is `queue`.

mod acknowledge;
mod adapters;
mod attempt;
mod batch;
mod conclude;
mod confirm;
mod faulty;
mod feed;
mod inbox;
mod job;
mod limits;
mod load;
mod notices;
mod operate;
mod outcome;
mod partner;
mod partner_notice;
mod policy;
mod preview;
mod priority;
mod read;
mod record;
mod resend;
mod row;
mod selection;
mod short_notice;
mod state;
pub mod trace;
mod unknown;
mod updates;

use std::sync::Arc;

use platform_adapters::package::AssetStore;
use sqlx::PgPool;

pub use acknowledge::{Acknowledgement, Heard, Word, acknowledge, acknowledge_by_operator};
pub use adapters::{AdapterFactory, Adapters};
pub use attempt::Deliver;
pub use batch::{CloseBatch, InBatch};
pub use confirm::{Confirm, ConfirmPolicy};
pub use faulty::{Faulty, faulty};
pub use feed::{Changed, changed_since};
pub use inbox::{InboxSettings, look_everywhere, watch_inboxes};
pub use limits::{LimitPolicy, Scope, keep_limits, refresh_limits, set_default_limits};
pub use load::Reader;
pub(crate) use operate::version_of_platform;
pub use operate::{
    NotPurged, OnPlatform, Operated, Operation, Outcome, Paused, Resumed, Stale, Tally, count,
    operate, operate_all, operate_each, operate_if, pause_platform, platform_version,
    probe_platform, purge, restore_territory, resume_platform, take_down, take_down_territory,
    update,
};
pub use partner_notice::{Noticed, hear_notice};
pub use policy::RetryPolicy;
pub use preview::{PreviewOf, preview};
pub use priority::{
    PRIORITY_BACKFILL, PRIORITY_BATCH, PRIORITY_EXPEDITED, PRIORITY_INSERT, PRIORITY_STREET,
    PRIORITY_TAKEDOWN, PRIORITY_UPDATE, priority,
};
pub use read::{
    Attempt, Document, File, Filter, InDoubt, Kept, Listed, Story, count_matching, evidence,
    evidence_by_id, list, story,
};
pub use selection::Selection;
pub use state::{Event, Next, RecordStatus, Refused, State, record_status, transition};
pub use updates::{UpdateSettings, start_changed, watch_changes};

use crate::{
    catalog::Withholding, clock::Clock, notification::Audience, queue::circuit::CircuitPolicy,
};

/// What deliveries need to be worked.
pub struct Services {
    /// The database.
    pub pool: PgPool,
    /// Asks it for many deliveries at once.
    pub reader: Reader,
    /// Tells the time.
    pub clock: Clock,
    /// Gives numbers from 0 (inclusive) to 1 (exclusive), for jitter.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
    /// Audio and artwork.
    pub assets: AssetStore,
    /// Connections to partners.
    pub adapters: Adapters,
    /// When to try again and when to stop.
    pub retry: RetryPolicy,
    /// When a partner counts as down, and how it is found to be up again.
    pub circuit: CircuitPolicy,
    /// Deliveries to one platform at once where the platform sets no limit.
    pub platform_concurrency: i32,
    /// When to ask the partner.
    pub confirm: ConfirmPolicy,
    /// What is not sent though it could be.
    pub withholding: Withholding,
    /// Who wants to be told.
    pub audience: Audience,
}

/// Begins a transaction about one delivery. All of its statements find a few rows by their keys: a
/// plan for any values is as good as one for these, and to make one each time costs more than to run it.
const BEGIN: &str = "begin; set local plan_cache_mode = force_generic_plan";

/// [`BEGIN`], on a connection of its own.
pub(crate) async fn begin(
    pool: &sqlx::PgPool,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    crate::database::begin(pool, BEGIN).await
}

/// The queue of a platform's deliveries.
#[must_use]
pub fn deliver_queue(platform_id: i32) -> String {
    format!("deliver/{platform_id}")
}

/// The queue of a platform's confirmations.
#[must_use]
pub fn confirm_queue(platform_id: i32) -> String {
    format!("confirm/{platform_id}")
}
