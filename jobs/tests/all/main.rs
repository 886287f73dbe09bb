//! The tests of this crate against a real PostgreSQL, in one binary: a module per subject.
//! Run them with `./scripts/test`, or `./scripts/with-postgres cargo test -p jobs --test all`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod deliveries;
mod notifications;
mod queue;
mod schedules;
mod schema;
