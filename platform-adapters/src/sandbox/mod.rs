//! The sandbox: partners of our own on 127.0.0.1, for the demo, for tests, and for an operator who
//! tries a platform's settings. They check what they get as a strict partner would, remember it in a
//! ledger, and misbehave on request. They judge what arrives with code of their own, so that they
//! and the adapters are not wrong together.

mod acknowledge;
mod announced;
mod answers;
mod connection;
mod front;
mod http;
mod inbox;
mod inspection;
mod ledger;
mod misbehave;
mod process;
mod reception;
mod routes;
mod sftp;
mod shelf;
mod sshd;

pub use http::{HttpPartner, HttpPartnerOptions};
pub use inspection::SftpKind;
pub use ledger::{Ledger, ReceivedFile, ReceivedHandover, Refused, Verdict};
pub use misbehave::{BadAcknowledgement, Misbehaviour, Misbehaviours};
pub use sftp::{SftpPartner, SftpPartnerError, SftpPartnerOptions};
pub use sshd::{Sshd, SshdError, SshdOptions};
