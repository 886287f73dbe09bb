//! The queue against a real PostgreSQL: through `enqueue`, `begin`, `settle` and `run`.

mod accounting;
mod concurrency;
mod faults;
mod harness;
mod lifecycle;
mod limits;
