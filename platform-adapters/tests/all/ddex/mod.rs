//! The method `ddex`: its messages, held against DDEX's own schemas, and its acknowledgements.

mod acknowledgements;
mod delivery;
mod messages;
mod releases;
mod schemas;
