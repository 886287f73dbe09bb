//! The method `ddex`: its messages, held against DDEX's own schemas, and its acknowledgements.

mod acknowledgements;
mod messages;
mod releases;
mod schemas;
