//! What is configured about royalties, with units and defaults.

use serde::Deserialize;

use super::money::Currency;

/// `[royalties]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The accounting currency: that of `analytics.revenue`, the ledger and every payout.
    pub currency: Currency,
    /// Days before the day of use that an exchange rate may be from.
    pub rate_max_age_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: Currency::USD,
            rate_max_age_days: 7,
        }
    }
}
