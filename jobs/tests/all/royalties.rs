//! Royalties against a real database.

pub(crate) mod harness;
mod histories;
mod payees;
mod rates;
mod runs;
mod statements;
