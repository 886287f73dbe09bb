//! The pages, a file each.

pub(super) mod audit;
pub(super) mod cron;
pub(super) mod deliveries;
pub(super) mod delivery;
pub(super) mod evidence;
pub(super) mod jobs;
pub(super) mod keys;
pub(super) mod notifications;
pub(super) mod operations;
pub(super) mod overview;
pub(super) mod platforms;
pub(super) mod royalties;
pub(super) mod royalty_run;
pub(super) mod schedules;
pub(super) mod statistics;
pub(super) mod workers;
