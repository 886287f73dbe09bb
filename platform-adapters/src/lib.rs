//! How to speak to a partner: the release model, the package, and the adapters `api`, `sftp` and
//! `ddex`. No database and no daemon: an adapter gets a package, the platform's settings and the
//! hand-over's identity, and answers with a receipt or a fault.

mod adapter;
pub mod api;
mod batch;
mod connect;
pub mod ddex;
mod fault;
mod handover;
pub mod package;
pub mod release;
#[expect(
    clippy::disallowed_methods,
    reason = "a partner keeps a clock of its own"
)]
pub mod sandbox;
pub mod secrets;
pub mod settings;
pub mod sftp;

pub use adapter::{Adapter, Evidence, Located, Receipt, Said, Status, Wanted, WordFile};
pub use batch::{Batch, BatchEntry, BatchFound, BatchReceipt};
pub use connect::{ConnectOptions, connect};
pub use fault::{Code, Fault, FaultClass, Finding};
pub use handover::{Handover, Kind, read_key};
