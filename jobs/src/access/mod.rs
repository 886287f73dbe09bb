//! Who may use the HTTP API and the console: keys, what they may do, sessions of the console, and
//! repeated requests. How a request carries a key is the server's business.

mod idempotency;
mod keys;
mod scopes;
mod sessions;

pub use idempotency::{Answer, Begun, Repeatable, answered, begin, given_up};
pub use keys::{
    Admitted, Created, KeyFilter, ListedKey, NewKey, NotMade, Refusal, Revoked, admit, admit_id,
    create, list, owner_of, revoke,
};
pub use scopes::{Scope, Scopes};
pub use sessions::{Session, log_in, log_out, session};

use sha2::{Digest as _, Sha256};

/// SHA-256 in hex: what stands in the database in place of a secret.
#[must_use]
pub fn fingerprint(secret: &[u8]) -> String {
    hex::encode(Sha256::digest(secret))
}
