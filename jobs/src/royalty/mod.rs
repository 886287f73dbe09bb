//! Royalties: from usage to what each payee earned, and why. Exchange rates live here too, because
//! everything in the ledger is in one accounting currency.

pub mod money;
pub mod rates;
mod settings;

pub use settings::Settings;
