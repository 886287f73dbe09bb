//! Royalties against a real database.

pub(crate) mod harness;
mod rates;
mod runs;
