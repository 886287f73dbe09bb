//! Tests of the crate through its public surface, with real files, servers and schemas.

mod api;
mod api_network;
mod fixtures;
mod package;
mod sandbox;
mod sshd;
