//! What is configured about royalties, with units and defaults. A run keeps its settings, so that
//! what was computed by them can be computed again.

use std::{collections::BTreeMap, path::PathBuf};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::money::Currency;

/// `[royalties]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The accounting currency: that of `analytics.revenue`, the ledger and every payout.
    pub currency: Currency,
    /// Days before the day of use that an exchange rate may be from.
    pub rate_max_age_days: u32,
    /// Days after the end of a month before its run starts by itself.
    pub grace_days: u32,
    /// Months before its period that a run looks at for usage that came late.
    pub late_months: u32,
    /// `revenue_shares.status` of shares that are paid.
    pub agreed_statuses: Vec<String>,
    /// Whether a track's negative total is settled, and not set aside.
    pub allow_negative: bool,
    /// Percent of revenue that the house keeps, unless `royalty_terms` say otherwise.
    pub distribution_fee_percent: Decimal,
    /// Percent of what is left that each parent label keeps, unless `royalty_terms` say otherwise.
    pub label_cut_percent: Decimal,
    /// Percent of a payee's earnings that is kept back.
    pub reserve_percent: Decimal,
    /// Months after which a reserve is given.
    pub reserve_months: u32,
    /// Percent of what is payable that is withheld for taxes.
    pub withholding_percent: Decimal,
    /// The least that is paid; what is below it is carried forward.
    pub minimum_payout: Decimal,
    /// The royalty type of usage that is not `digital`: `"stream"`, `"download"`, or
    /// `"<platform id>:stream"`, to a label of `royalty_type`.
    pub royalty_types: BTreeMap<String, String>,
    /// The fonts of PDF statements: each character is set in the first that has it. Not part of what
    /// a run is computed by.
    #[serde(skip_serializing)]
    pub fonts: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: Currency::USD,
            rate_max_age_days: 7,
            grace_days: 10,
            late_months: 12,
            agreed_statuses: ["active", "accepted", "approved", "confirmed"]
                .map(str::to_owned)
                .to_vec(),
            allow_negative: true,
            distribution_fee_percent: Decimal::ZERO,
            label_cut_percent: Decimal::ZERO,
            reserve_percent: Decimal::ZERO,
            reserve_months: 12,
            withholding_percent: Decimal::ZERO,
            minimum_payout: Decimal::ZERO,
            royalty_types: BTreeMap::new(),
            fonts: [
                "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
                "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
            ]
            .map(PathBuf::from)
            .to_vec(),
        }
    }
}

/// The labels of the web application's `royalty_type`.
const ROYALTY_TYPES: [&str; 5] = [
    "performance",
    "mechanical",
    "synchronization",
    "print",
    "digital",
];

impl Settings {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// The key and what it must be.
    pub fn validate(&self) -> Result<(), String> {
        let percents = [
            ("distribution_fee_percent", self.distribution_fee_percent),
            ("label_cut_percent", self.label_cut_percent),
            ("reserve_percent", self.reserve_percent),
            ("withholding_percent", self.withholding_percent),
        ];
        for (key, percent) in percents {
            if !is_percent(percent) {
                return Err(format!("royalties.{key} must be from 0 to 100"));
            }
        }
        if self.minimum_payout.is_sign_negative() {
            return Err("royalties.minimum_payout must not be below zero".to_owned());
        }
        for (usage, royalty_type) in &self.royalty_types {
            if !ROYALTY_TYPES.contains(&royalty_type.as_str()) {
                return Err(format!(
                    "royalties.royalty_types.{usage:?} is {royalty_type:?}; it must be one of {}",
                    ROYALTY_TYPES.join(", ")
                ));
            }
            let (platform, usage_type) = usage.rsplit_once(':').unwrap_or(("0", usage));
            if platform.parse::<i32>().is_err() || !matches!(usage_type, "stream" | "download") {
                return Err(format!(
                    "royalties.royalty_types: the key {usage:?} must be stream, download or \
                     \"<platform id>:stream\""
                ));
            }
        }
        Ok(())
    }
}

/// Whether a number is from 0 to 100.
pub(super) fn is_percent(number: Decimal) -> bool {
    (Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let fee = Settings {
            distribution_fee_percent: Decimal::from(101),
            ..Settings::default()
        };
        assert!(
            fee.validate()
                .unwrap_err()
                .contains("distribution_fee_percent")
        );
        for (key, value) in [
            ("streams", "digital"),
            ("x:stream", "digital"),
            ("stream", "vinyl"),
        ] {
            let types = Settings {
                royalty_types: [(key.to_owned(), value.to_owned())].into(),
                ..Settings::default()
            };
            assert!(types.validate().is_err(), "{key} {value}");
        }
    }
}
