//! Daily statistics: always what usage says, whoever changed it.

mod asides;
mod days;
mod duplicates;
pub(crate) mod expected;
mod random;
mod runs;
pub(crate) mod site;
