//! The server's routes against a real PostgreSQL (`DATABASE_URL`, from `scripts/with-postgres`),
//! without a socket: what the daemon does with them is tested end to end.

mod changes;
mod console;
mod console_hostile;
mod console_upkeep;
mod description;
mod doors;
mod finance;
mod harness;
mod lists;
mod notices;
mod upkeep;
