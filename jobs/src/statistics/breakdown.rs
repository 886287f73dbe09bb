//! The JSON columns of `daily_stats`. Amounts and averages are text with four decimals, percentages
//! text with two: no reader is led to take them for floats.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// `platform_breakdown`, `territory_breakdown`, `track_performance`, `release_performance`: entries
/// by platform id, territory, track id, release id. What has none is `unknown`, of territories `ZZ`.
pub type Breakdown = BTreeMap<String, Entry>;

/// What came together in a day. Revenue is in the accounting currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of analytics")]
pub struct Figures {
    pub streams: i64,
    pub downloads: i64,
    pub revenue: Decimal,
}

/// An entry of a breakdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The platform's name, the track's or release's title, the label's name; territories have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// `trend_data`. Days without a row count as zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trend {
    /// The figures of the user's own tracks, exact also where they do not fit `total_streams` or
    /// `total_revenue` (these are NULL then), and with the downloads, which have no column.
    pub totals: Figures,
    /// Against the day before.
    pub day_before: Change,
    /// Against the same weekday a week before.
    pub same_weekday: Change,
    /// The mean of this day and the 6 before.
    pub average_7_days: Average,
    /// The mean of this day and the 27 before.
    pub average_28_days: Average,
    /// Of a label with usage of sub-labels: its own figures and theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_sub_labels: Option<Figures>,
    /// The figures of each sub-label's own tracks, by user id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_labels: Option<Breakdown>,
}

/// What is more than on another day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The difference.
    #[serde(flatten)]
    pub difference: Figures,
    /// Percent of the other day's streams; none where it had none.
    pub streams_percent: Option<Decimal>,
    /// Percent of the other day's revenue; none where it had none.
    pub revenue_percent: Option<Decimal>,
}

/// A mean, rounded half away from zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "those of Figures")]
pub struct Average {
    pub streams: Decimal,
    pub downloads: Decimal,
    pub revenue: Decimal,
}
