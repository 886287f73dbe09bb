//! Deliveries from the due schedule to the decided one: a real database and queue, and a partner
//! that does as it is told.

mod after_sending;
mod bad_input;
mod batches;
mod circuit;
mod clocks;
mod fairness;
mod faults;
mod flow;
pub(super) mod harness;
mod inbox;
mod unknown;
