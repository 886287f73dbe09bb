//! The tests of this crate against a real PostgreSQL, in one binary: a module per subject.
//! Run them with `./scripts/test`, or `./scripts/with-postgres cargo test -p jobs --test all`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod assets;
mod cron;
mod deliveries;
mod notifications;
mod operate;
mod queue;
mod retention;
mod rights;
mod royalties;
mod schedules;
mod schema;
mod statistics;
mod topics;
mod usage;
