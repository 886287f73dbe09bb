//! A partner of our own, to try a configuration against, for the demo and for tests.

mod process;
mod sshd;

pub use sshd::{Sshd, SshdError, SshdOptions};
