//! Tests of the crate through its public surface, with real files, servers and schemas.

mod ddex;
mod fixtures;
mod package;
mod sftp;
mod sshd;
