//! The method `ddex`: its messages, held against DDEX's own schemas, and its acknowledgements.

mod acknowledgements;
mod batches;
mod corpus;
mod delivery;
mod kept;
mod lyrics;
mod messages;
mod objects;
mod releases;
mod rules;
mod samples;
mod scenarios;
mod schemas;
