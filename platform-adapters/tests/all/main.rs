//! Tests of the crate through its public surface, with real files, servers and schemas.

mod fixtures;
mod package;
