//! Tests of the crate through its public surface, with real files, servers and schemas.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod fixtures;
mod package;
mod sftp;
mod sshd;
