//! Daily statistics: always what usage says, whoever changed it.

mod days;
mod duplicates;
mod expected;
mod random;
mod runs;
mod site;
