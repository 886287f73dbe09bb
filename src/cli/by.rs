//! Who asks and why, as the audit keeps it, and the moment it was asked.

use chrono::{DateTime, Utc};
use jobs::audit;
use nix::unistd::{Uid, User};

use crate::cli::Failure;

/// The reason that a command which changes something asks for.
#[derive(Debug, clap::Args)]
pub(super) struct Reason {
    /// Why: it is kept in the audit, with your name.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl From<String> for Reason {
    fn from(reason: String) -> Self {
        Self { reason }
    }
}

impl Reason {
    /// A reason that a command asks for only sometimes.
    pub(super) fn of(reason: String) -> Self {
        Self { reason }
    }

    /// The user of this process, with this reason.
    pub(super) fn by(&self) -> Result<audit::By, Failure> {
        because(&self.reason)
    }
}

/// The user of this process, with a reason that was given another way.
pub(super) fn because(reason: &str) -> Result<audit::By, Failure> {
    audit::By::new(format!("cli:{}", user()), reason).map_err(Failure::usage)
}

/// The name of the user who runs this process, not what the environment says it is.
fn user() -> String {
    let id = Uid::current();
    match User::from_uid(id) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {id}"),
    }
}

/// The time now.
pub(super) fn now() -> DateTime<Utc> {
    jobs::clock::system()()
}
