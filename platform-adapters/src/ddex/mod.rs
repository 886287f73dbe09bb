//! The method `ddex`: messages of DDEX ERN 4.3.2, 4.3 and 3.8.2, release by release or in batches,
//! over SFTP or to an object store.
//!
//! - `adapter` hands over, looks and asks;
//! - `choreography` names folders and files;
//! - `batches` completes batches, `manifest` is what says that one is;
//! - `target` is where they go: an SFTP server, or the object store in `store`;
//! - `message` builds the NewReleaseMessage from a package;
//! - `rules` holds it against what the schema cannot say;
//! - `validate` holds it against DDEX's schemas, where the operator has them, and `verify` against
//!   both before it is sent;
//! - `acknowledgement` reads the partner's answer, and writes it as the sandbox does;
//! - `received` reads a message as its recipient does;
//! - `xml` and `untrusted` write and read XML.

mod acknowledgement;
mod adapter;
mod batches;
mod choreography;
mod manifest;
mod message;
mod received;
mod rules;
mod store;
mod target;
mod untrusted;
mod validate;
mod verify;
mod version;
mod xml;

pub(crate) use choreography::{batch_complete, is_time, path_in_batch};

pub use acknowledgement::{
    Acknowledgement, CHOREOGRAPHY_16, FileStatus, MAX_ACKNOWLEDGEMENT_BYTES, Meaning,
    ProposedAction, SupplyChainStatus, Verdict,
};
pub use adapter::DdexAdapter;
pub use manifest::{ListedMessage, MAX_MANIFEST_BYTES, ReceivedManifest, read_manifest};
pub use message::{Message, Offer, Statement, build, check_settings};
pub use received::{
    MAX_MESSAGE_BYTES, ReceivedDeal, ReceivedMessage, ReceivedRecording, ReceivedRelease,
    ReceivedResource, read_message, read_resources,
};
pub use rules::{check_rules, namespace};
pub use untrusted::Refused;
pub use validate::{Schemas, find_schemas};
pub use verify::verify;
pub use version::Version;
