//! End-to-end tests of the built program: its commands and its daemon, as processes, against a real
//! PostgreSQL (`DATABASE_URL`, from `scripts/with-postgres`), OpenSSH's server and an HTTP partner on
//! loopback. What the crates can show by themselves is tested in the crates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod acceptance;
mod adopt;
mod batches;
mod chaos;
mod daemon;
mod database;
mod demo;
mod http;
mod memory;
mod notifications;
mod objects;
mod operate;
mod pooler;
mod postgres;
mod processes;
mod royalties;
mod sandbox;
mod secrets;
mod site;
mod skew;
mod trouble;
