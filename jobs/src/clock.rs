//! The clock that is passed in. Due times, backoff and what is recorded about attempts follow it;
//! leases do not: they live on the database's clock.

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// Tells the time. Tests pass one that they move.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The system's clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the worker's clock is read"
)]
pub fn system() -> Clock {
    Arc::new(Utc::now)
}
