//! What the worker runs: the queue, schedules, deliveries, royalties, notifications, and all SQL.
//! How to speak to a partner is `platform-adapters`; processes and the command line are the root
//! package.

pub mod access;
pub mod assets;
pub mod audit;
pub mod catalog;
pub mod clock;
pub mod daemons;
pub mod database;
pub mod dead;
pub mod delivery;
mod gather;
pub mod notification;
pub mod overview;
pub mod queue;
pub mod retention;
pub mod royalty;
pub mod schedule;
pub mod schema;
pub mod statistics;
pub mod usage;
pub mod vitals;
