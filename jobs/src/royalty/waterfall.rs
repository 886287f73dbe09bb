//! From a track's revenue to what each payee earns of it: fee, the cuts of labels, shares. One pure
//! function, which is the rule; what is stored is what it says.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    allocate::{AllocationError, allocate},
    money,
    settings::{Settings, is_percent},
};

/// The payee of fees: the house. Ids of users begin with 1.
pub const HOUSE: i32 = 0;

/// The most labels above an owner.
const MOST_LABELS: usize = 5;

/// What an entry of the ledger is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = LedgerEntryKind)]
pub enum Kind {
    /// The house's distribution fee of a track.
    Fee,
    /// A parent label's cut of a track.
    LabelCut,
    /// An agreed share of a track.
    Share,
    /// A share of a track that is not agreed yet: kept for its payee.
    ShareHeld,
    /// What shares leave of a track: the owner's.
    Residual,
    /// What an earlier run carried forward.
    CarriedIn,
    /// Shares that were held and have been agreed since.
    HeldReleased,
    /// A reserve that is given.
    ReserveReleased,
    /// Recouped from an advance.
    Advance,
    /// Recouped from costs.
    Cost,
    /// Kept back for a time.
    Reserve,
    /// Withheld for taxes.
    Withholding,
    /// Below the minimum, or a debt: carried forward.
    CarriedOut,
    /// Paid with a run.
    Payout,
    /// Paid by a withdrawal.
    Withdrawal,
}

impl Kind {
    /// All of them, in the order in which a statement shows them.
    pub const ALL: [Self; 15] = [
        Self::Fee,
        Self::LabelCut,
        Self::Share,
        Self::ShareHeld,
        Self::Residual,
        Self::CarriedIn,
        Self::HeldReleased,
        Self::ReserveReleased,
        Self::Advance,
        Self::Cost,
        Self::Reserve,
        Self::Withholding,
        Self::CarriedOut,
        Self::Payout,
        Self::Withdrawal,
    ];

    /// As it stands in the column `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fee => "fee",
            Self::LabelCut => "label_cut",
            Self::Share => "share",
            Self::ShareHeld => "share_held",
            Self::Residual => "residual",
            Self::CarriedIn => "carried_in",
            Self::HeldReleased => "held_released",
            Self::ReserveReleased => "reserve_released",
            Self::Advance => "advance",
            Self::Cost => "cost",
            Self::Reserve => "reserve",
            Self::Withholding => "withholding",
            Self::CarriedOut => "carried_out",
            Self::Payout => "payout",
            Self::Withdrawal => "withdrawal",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What it says on a statement.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Fee => "distribution fee",
            Self::LabelCut => "label's cut",
            Self::Share => "share",
            Self::ShareHeld => "share not agreed yet, held",
            Self::Residual => "owner's remainder",
            Self::CarriedIn => "carried from before",
            Self::HeldReleased => "held shares, now agreed",
            Self::ReserveReleased => "reserve given",
            Self::Advance => "recouped: advance",
            Self::Cost => "recouped: costs",
            Self::Reserve => "reserve kept back",
            Self::Withholding => "withholding tax",
            Self::CarriedOut => "carried forward",
            Self::Payout => "paid",
            Self::Withdrawal => "withdrawn",
        }
    }

    /// Whether it is part of a track's revenue. The entries of these kinds sum to the usage.
    #[must_use]
    pub fn is_of_a_track(self) -> bool {
        matches!(
            self,
            Self::Fee | Self::LabelCut | Self::Share | Self::ShareHeld | Self::Residual
        )
    }
}

/// A share as a split version keeps it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Share {
    /// The payee.
    pub user_id: i32,
    /// Of what is shared out.
    pub percentage: Decimal,
    /// `revenue_shares.status`, in lower case.
    pub status: String,
    /// `revenue_shares.split_type`, in lower case.
    pub split_type: String,
    /// Agreed by now, whatever `status` was then.
    #[serde(default)]
    pub is_agreed: bool,
}

/// What is read of `rights_management.royalty_terms`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Instead of the configured fee.
    pub distribution_fee_percent: Option<Decimal>,
    /// Instead of the configured cut, for every label above the owner.
    pub label_cut_percent: Option<Decimal>,
    /// For one label, by its user id.
    pub label_cuts: BTreeMap<String, Decimal>,
}

/// A track's revenue of a month under one version of its splits, and all that decides who gets what.
#[derive(Clone, Debug, PartialEq)]
pub struct Track<'a> {
    /// What is shared out.
    pub revenue: Decimal,
    /// Who gets what shares leave.
    pub owner: i32,
    /// The owner's parent label, its parent, and so on.
    pub labels: &'a [i32],
    /// The terms that apply.
    pub terms: &'a Terms,
    /// The shares that hold.
    pub shares: &'a [Share],
    /// Payees that are no users.
    pub unknown_payees: &'a [i32],
    /// Rows of usage without an exchange rate.
    pub unconverted: i64,
    /// Whether a column of `royalty_calculations` cannot hold a line.
    pub is_too_large: bool,
}

/// What one payee gets of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Who.
    pub payee: i32,
    /// As what.
    pub kind: Kind,
    /// Of what was left when it was taken.
    pub percentage: Decimal,
    /// How much.
    pub amount: Decimal,
}

/// Why a track is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The stable code.
    pub code: &'static str,
    /// The sentence a person reads.
    pub why: String,
}

fn aside<T>(code: &'static str, why: impl Into<String>) -> Result<T, SetAside> {
    Err(SetAside {
        code,
        why: why.into(),
    })
}

/// Shares a track's revenue out: the fee is taken from it, each label's cut from what is left then,
/// nearest label first, and what is left after that goes to the shares; the owner gets what they
/// leave. Fee and cuts are rounded by [`money::round`], the shares are allocated by [`allocate`];
/// so the parts sum to the revenue.
///
/// # Errors
/// [`SetAside`].
pub fn share_out(track: &Track<'_>, settings: &Settings) -> Result<Vec<Part>, SetAside> {
    check(track, settings)?;
    let mut left = track.revenue;
    let mut parts = Vec::new();
    let mut take = |payee, kind, percentage: Decimal| -> Result<(), SetAside> {
        if !is_percent(percentage) {
            return aside(
                "terms_invalid",
                format!("the royalty terms say {percentage} percent; it must be from 0 to 100"),
            );
        }
        let amount = money::round(part_of(left, percentage)?);
        left = left.checked_sub(amount).ok_or_else(too_large)?;
        if !amount.is_zero() {
            parts.push(Part {
                payee,
                kind,
                percentage,
                amount,
            });
        }
        Ok(())
    };
    let fee = track.terms.distribution_fee_percent;
    take(
        HOUSE,
        Kind::Fee,
        fee.unwrap_or(settings.distribution_fee_percent),
    )?;
    for label in track.labels {
        let own = track.terms.label_cuts.get(&label.to_string()).copied();
        let percentage = own.or(track.terms.label_cut_percent);
        take(
            *label,
            Kind::LabelCut,
            percentage.unwrap_or(settings.label_cut_percent),
        )?;
    }
    let weights = weights(track, settings)?;
    let amounts = allocate(left, &weights).map_err(|error| match error {
        AllocationError::TooLarge => too_large(),
        other => SetAside {
            code: "not_shared_out",
            why: other.to_string(),
        },
    })?;
    parts.extend(
        amounts
            .into_iter()
            .filter(|(_, amount)| !amount.is_zero())
            .map(|((payee, kind), amount)| Part {
                payee,
                kind,
                percentage: weights.get(&(payee, kind)).copied().unwrap_or_default(),
                amount,
            }),
    );
    Ok(parts)
}

/// What of a track cannot be settled at all.
fn check(track: &Track<'_>, settings: &Settings) -> Result<(), SetAside> {
    if track.unconverted > 0 {
        return aside(
            "no_rate",
            format!(
                "{} rows of its usage are in a currency without an exchange rate to {} on their \
                 day; import the rates, import the usage again and recompute",
                track.unconverted, settings.currency
            ),
        );
    }
    if track.is_too_large {
        return Err(too_large());
    }
    if track.revenue.is_sign_negative() && !track.revenue.is_zero() && !settings.allow_negative {
        return aside(
            "negative_total",
            format!(
                "its usage comes to {} {}; correct the usage, or set royalties.allow_negative",
                track.revenue, settings.currency
            ),
        );
    }
    if let Some(payee) = track.unknown_payees.first() {
        return aside(
            "unknown_payee",
            format!("a share is for user {payee}, whom there is not; correct the share"),
        );
    }
    let distinct: BTreeSet<i32> = track.labels.iter().copied().chain([track.owner]).collect();
    if distinct.len() <= track.labels.len() {
        return aside(
            "label_cycle",
            "the owner's parent labels lead back to one of themselves (users.parent_label_id)",
        );
    }
    if track.labels.len() > MOST_LABELS {
        return aside(
            "label_chain_too_long",
            format!("the owner has more than {MOST_LABELS} parent labels one above the other"),
        );
    }
    Ok(())
}

/// What each share weighs: of a hundred, with the rest for the owner.
fn weights(
    track: &Track<'_>,
    settings: &Settings,
) -> Result<BTreeMap<(i32, Kind), Decimal>, SetAside> {
    let mut weights = BTreeMap::new();
    let mut rest = Decimal::ONE_HUNDRED;
    for share in track
        .shares
        .iter()
        .filter(|share| share.split_type == "royalty")
    {
        let is_agreed = share.is_agreed || settings.agreed_statuses.contains(&share.status);
        let kind = match is_agreed {
            true => Kind::Share,
            false if share.status == "pending" => Kind::ShareHeld,
            false => continue,
        };
        if share.percentage.is_sign_negative() {
            return aside(
                "share_invalid",
                format!(
                    "the share of user {} is {} percent",
                    share.user_id, share.percentage
                ),
            );
        }
        rest = rest.checked_sub(share.percentage).ok_or_else(too_large)?;
        let weight: &mut Decimal = weights.entry((share.user_id, kind)).or_default();
        *weight = weight.checked_add(share.percentage).ok_or_else(too_large)?;
    }
    if rest.is_sign_negative() && !rest.is_zero() {
        return aside(
            "shares_over_100",
            format!(
                "its royalty shares sum to {} percent; correct revenue_shares, with \
                 custom_terms.valid_from set to the first day that the correction holds for, and \
                 recompute",
                Decimal::ONE_HUNDRED.checked_sub(rest).unwrap_or_default()
            ),
        );
    }
    weights.insert((track.owner, Kind::Residual), rest);
    Ok(weights)
}

/// `percentage` percent of an amount, not rounded.
pub(super) fn part_of(amount: Decimal, percentage: Decimal) -> Result<Decimal, SetAside> {
    amount
        .checked_mul(percentage)
        .and_then(|product| product.checked_div(Decimal::ONE_HUNDRED))
        .ok_or_else(too_large)
}

fn too_large() -> SetAside {
    SetAside {
        code: "too_large",
        why: "an amount or a count is larger than royalty_calculations can hold (revenue \
              99,999,999.9999, streams 2,147,483,647); look for the wrong row of usage"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(user_id: i32, hundredths: i64, status: &str) -> Share {
        Share {
            user_id,
            percentage: Decimal::new(hundredths, 2),
            status: status.to_owned(),
            split_type: "royalty".to_owned(),
            is_agreed: false,
        }
    }

    fn track<'a>(
        units: i64,
        terms: &'a Terms,
        shares: &'a [Share],
        labels: &'a [i32],
    ) -> Track<'a> {
        Track {
            revenue: Decimal::new(units, money::SCALE),
            owner: 7,
            labels,
            terms,
            shares,
            unknown_payees: &[],
            unconverted: 0,
            is_too_large: false,
        }
    }

    fn words(parts: &[Part]) -> Vec<String> {
        parts
            .iter()
            .map(|part| format!("{} {} {}", part.payee, part.kind.as_str(), part.amount))
            .collect()
    }

    #[test]
    fn fee_then_cuts_then_shares() {
        let terms = Terms {
            distribution_fee_percent: Some(Decimal::TEN),
            label_cuts: [("3".to_owned(), Decimal::from(50))].into(),
            ..Terms::default()
        };
        let shares = [
            share(1, 6000, "active"),
            share(2, 3000, "pending"),
            share(4, 9000, "rejected"),
        ];
        let track = track(1_000_000, &terms, &shares, &[3, 5]);
        let settings = Settings {
            label_cut_percent: Decimal::from(20),
            ..Settings::default()
        };
        assert_eq!(
            words(&share_out(&track, &settings).unwrap()),
            [
                "0 fee 10.0000",
                "3 label_cut 45.0000",
                "5 label_cut 9.0000",
                "1 share 21.6000",
                "2 share_held 10.8000",
                "7 residual 3.6000",
            ]
        );
    }

    #[test]
    fn a_share_agreed_since_is_paid() {
        let terms = Terms::default();
        let shares = [Share {
            is_agreed: true,
            ..share(2, 10_000, "pending")
        }];
        let parts = share_out(&track(10, &terms, &shares, &[]), &Settings::default()).unwrap();
        assert_eq!(words(&parts), ["2 share 0.0010"]);
    }

    #[test]
    fn what_cannot_be_settled_says_why() {
        let terms = Terms::default();
        let over = [share(1, 6000, "active"), share(2, 4001, "pending")];
        let none: [Share; 0] = [];
        let settings = Settings {
            allow_negative: false,
            ..Settings::default()
        };
        let code = |track: Track<'_>| share_out(&track, &settings).unwrap_err().code;
        assert_eq!(code(track(1, &terms, &over, &[])), "shares_over_100");
        assert_eq!(code(track(-1, &terms, &none, &[])), "negative_total");
        assert_eq!(code(track(1, &terms, &none, &[8, 9, 8])), "label_cycle");
        assert_eq!(code(track(1, &terms, &none, &[8, 7])), "label_cycle");
        assert_eq!(
            code(track(1, &terms, &none, &[1, 2, 3, 4, 5, 6])),
            "label_chain_too_long"
        );
        let unconverted = Track {
            unconverted: 1,
            ..track(1, &terms, &none, &[])
        };
        assert_eq!(code(unconverted), "no_rate");
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_revenue_and_the_negative_is_the_negative(
            units in -10_000_000_000i64..10_000_000_000,
            fee in 0i64..=10_000,
            cut in 0i64..=10_000,
            labels in 0usize..5,
            shares in proptest::collection::vec((1..9i32, 0i64..1_000, any::<bool>()), 0..10),
        ) {
            let terms = Terms {
                distribution_fee_percent: Some(Decimal::new(fee, 2)),
                label_cut_percent: Some(Decimal::new(cut, 2)),
                ..Terms::default()
            };
            let shares: Vec<Share> = shares.into_iter()
                .map(|(user, part, held)| share(user, part, if held { "pending" } else { "active" }))
                .collect();
            let labels = &[11, 12, 13, 14, 15][..labels];
            let parts = share_out(&track(units, &terms, &shares, labels), &Settings::default()).unwrap();
            let turned: Vec<Share> = shares.iter().rev().cloned().collect();
            prop_assert_eq!(
                &share_out(&track(units, &terms, &turned, labels), &Settings::default()).unwrap(),
                &parts,
                "the order of shares does not matter"
            );
            let sum: Decimal = parts.iter().map(|part| part.amount).sum();
            prop_assert_eq!(sum, Decimal::new(units, money::SCALE));
            let negative = share_out(&track(-units, &terms, &shares, labels), &Settings::default()).unwrap();
            let negative: Vec<Part> = negative.into_iter()
                .map(|part| Part { amount: -part.amount, ..part }).collect();
            prop_assert_eq!(negative, parts);
        }
    }
}
