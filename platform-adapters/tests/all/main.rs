//! Tests of the crate through its public surface, with real files, servers and schemas.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod api;
mod api_kinds;
mod api_network;
mod api_partner;
mod api_webhook;
#[path = "../../../tests/support/src/bucket.rs"]
#[allow(unreachable_pub, reason = "shared with tests of the daemon")]
mod bucket;
mod ddex;
mod fixtures;
mod fuzzed;
mod package;
mod sandbox;
mod sandbox_sftp;
mod schemas;
mod sftp;
mod sshd;
