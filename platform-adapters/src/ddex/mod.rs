//! The method `ddex`: DDEX ERN 4.3 messages, release by release, over SFTP.
//!
//! - `adapter` hands over, looks and asks;
//! - `choreography` names folders and files;
//! - `message` builds the NewReleaseMessage from a package;
//! - `validate` holds it against DDEX's schemas, where the operator has them;
//! - `acknowledgement` reads and writes the partner's answer;
//! - `received` reads a message as its recipient does;
//! - `xml` and `untrusted` write and read XML.

mod acknowledgement;
mod adapter;
mod choreography;
mod message;
mod received;
mod untrusted;
mod validate;
mod xml;

pub use acknowledgement::{
    Acknowledgement, CHOREOGRAPHY_16, FileStatus, MAX_ACKNOWLEDGEMENT_BYTES, ProposedAction,
};
pub use adapter::DdexAdapter;
pub use message::{ERN_43, Message, build, check_settings};
pub use received::{
    MAX_MESSAGE_BYTES, ReceivedMessage, ReceivedResource, read_message, read_resources,
};
pub use untrusted::Refused;
pub use validate::{Schemas, find_schemas};
