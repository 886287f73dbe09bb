//! Daily statistics: always what usage says, whoever changed it.

mod days;
mod duplicates;
pub(crate) mod expected;
mod random;
mod runs;
pub(crate) mod site;
