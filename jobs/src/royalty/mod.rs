//! Royalties: from usage to what each payee earned, and why. A run settles a month: it reads usage in
//! one snapshot, shares each track's revenue out to the last unit, and when somebody makes it final,
//! the ledger keeps it. Everything in the ledger is in one accounting currency, so exchange rates
//! live here too.

pub mod accounts;
mod allocate;
mod calculations;
mod compute;
pub mod document;
mod explain;
mod input;
mod job;
mod lanes;
mod ledger;
pub mod money;
mod operate;
mod payees;
mod period;
pub mod rates;
mod run;
pub mod sets;
mod settings;
mod settle;
pub mod statement;
mod waterfall;
pub mod withdrawals;

pub use allocate::{AllocationError, allocate};
pub use compute::{ComputeError, compute};
pub use explain::explain;
pub use job::{Compute, Due, QUEUE, Services, WriteStatements, entry};
pub use ledger::{Balance, BalanceFilter, Payment, balances};
pub use operate::{
    Refused, Started, finalise, finalise_if, pay, recompute, rehearse, revise, start, void,
};
pub use payees::{Account, Charge, Scope, Step, steps};
pub use period::{InvalidPeriod, Period};
pub use run::{
    Progress, Run, RunFilter, SetAsideTrack, State, Totals, get, list, newest, set_aside,
};
pub use settings::Settings;
pub use waterfall::{HOUSE, Kind, Part, SetAside, Share, Terms, Track, share_out};
