//! The sandbox: partners of our own on 127.0.0.1, for the demo, for tests, and for an operator who
//! tries a platform's settings. They check what they get as a strict partner would, remember it in a
//! ledger, and misbehave on request. They judge what arrives with code of their own, so that they
//! and the adapters are not wrong together.

mod announced;
mod connection;
mod http;
mod ledger;
mod misbehave;
mod process;
mod reception;
mod routes;
mod shelf;
mod sshd;

pub use http::{HttpPartner, HttpPartnerOptions};
pub use ledger::{Ledger, ReceivedFile, ReceivedHandover, Verdict};
pub use misbehave::{Misbehaviour, Misbehaviours};
pub use sshd::{Sshd, SshdError, SshdOptions};
