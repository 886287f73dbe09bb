//! Sharing an amount out by weights, to the last unit: the one rule by which money is divided.

use std::{cmp::Reverse, collections::BTreeMap};

use rust_decimal::Decimal;

use super::money::SCALE;

/// Why an amount cannot be shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// There is nobody to give it to.
    #[error("no weight is above zero")]
    NoWeight,
    /// A weight below zero means nothing.
    #[error("a weight is below zero")]
    NegativeWeight,
    /// The amount is no whole number of minor units.
    #[error("the amount has digits below the smallest unit")]
    Fraction,
    /// The numbers have more digits than are computed with.
    #[error("the amount is too large to be shared out exactly")]
    TooLarge,
}

/// Shares `total` out in proportion to `weights`, by largest remainder on whole minor units: each
/// share is its quota rounded down, and the units left over go, one each, to the largest remainders;
/// among equal ones to the smaller key. A negative total is shared out as its absolute value, with
/// the sign given back. The parts always sum to the total.
///
/// # Errors
/// [`AllocationError`].
pub fn allocate<K: Ord + Copy>(
    total: Decimal,
    weights: &BTreeMap<K, Decimal>,
) -> Result<BTreeMap<K, Decimal>, AllocationError> {
    let units = units(total)?;
    let whole = whole(weights)?;
    let sum = whole
        .values()
        .try_fold(0u128, |sum, weight| sum.checked_add(*weight))
        .ok_or(AllocationError::TooLarge)?;
    if sum == 0 {
        return Err(AllocationError::NoWeight);
    }
    let size = units.unsigned_abs();
    let mut shares = Vec::with_capacity(whole.len());
    let mut left = size;
    for (key, weight) in whole {
        let product = size.checked_mul(weight).ok_or(AllocationError::TooLarge)?;
        let quota = product / sum;
        left -= quota;
        shares.push((Reverse(product % sum), key, quota));
    }
    shares.sort_unstable();
    shares
        .into_iter()
        .zip(0u128..)
        .map(|((_, key, quota), place)| {
            let share = quota + u128::from(place < left);
            let share = i128::try_from(share).map_err(|_| AllocationError::TooLarge)?;
            let share = Decimal::try_from_i128_with_scale(share * units.signum(), SCALE);
            Ok((key, share.map_err(|_| AllocationError::TooLarge)?))
        })
        .collect()
}

/// An amount in minor units.
fn units(amount: Decimal) -> Result<i128, AllocationError> {
    let amount = amount.normalize();
    let missing = SCALE
        .checked_sub(amount.scale())
        .ok_or(AllocationError::Fraction)?;
    amount
        .mantissa()
        .checked_mul(10i128.pow(missing))
        .ok_or(AllocationError::TooLarge)
}

/// The weights as whole numbers in the same proportions.
fn whole<K: Ord + Copy>(
    weights: &BTreeMap<K, Decimal>,
) -> Result<BTreeMap<K, u128>, AllocationError> {
    let weights: BTreeMap<K, Decimal> = weights
        .iter()
        .map(|(key, weight)| (*key, weight.normalize()))
        .collect();
    let scale = weights.values().map(Decimal::scale).max().unwrap_or(0);
    weights
        .into_iter()
        .map(|(key, weight)| {
            let mantissa =
                u128::try_from(weight.mantissa()).map_err(|_| AllocationError::NegativeWeight)?;
            10u128
                .checked_pow(scale - weight.scale())
                .and_then(|factor| mantissa.checked_mul(factor))
                .map(|weight| (key, weight))
                .ok_or(AllocationError::TooLarge)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Weights = BTreeMap<i32, Decimal>;

    fn total() -> impl Strategy<Value = Decimal> {
        prop_oneof![
            -1_000_000_000_000i64..1_000_000_000_000,
            -200i64..200,
            Just(0)
        ]
        .prop_map(|units| Decimal::new(units, SCALE))
    }

    /// Some zero, at least one above zero.
    fn weights() -> impl Strategy<Value = Weights> {
        proptest::collection::btree_map(
            1..1000i32,
            prop_oneof![3 => 0i64..10_000, 1 => Just(0), 1 => Just(3333)]
                .prop_map(|hundredths| Decimal::new(hundredths, 2)),
            1..12,
        )
        .prop_filter("somebody gets something", |weights| {
            weights.values().any(|weight| !weight.is_zero())
        })
    }

    fn sum(parts: &Weights) -> Decimal {
        parts.values().copied().sum()
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole(total in total(), weights in weights()) {
            prop_assert_eq!(sum(&allocate(total, &weights).unwrap()), total);
        }

        #[test]
        fn each_part_is_its_quota_rounded_down_or_up(total in total(), weights in weights()) {
            let parts = allocate(total, &weights).unwrap();
            let (unit, all) = (Decimal::new(1, SCALE), sum(&weights));
            for (key, part) in parts {
                // |part − quota| < 1 unit, multiplied by the sum of weights to stay exact.
                let off = (part * all - total * weights[&key]).abs();
                prop_assert!(off < unit * all, "{part} for {} of {all}", weights[&key]);
            }
        }

        #[test]
        fn a_zero_weight_gets_zero(total in total(), weights in weights()) {
            for (key, part) in allocate(total, &weights).unwrap() {
                prop_assert!(!weights[&key].is_zero() || part.is_zero());
            }
        }

        #[test]
        fn scaling_all_weights_changes_nothing(
            total in total(),
            weights in weights(),
            factor in prop_oneof![Just(Decimal::new(1, 3)), (1i64..10_000).prop_map(Decimal::from)],
        ) {
            let scaled = weights.iter().map(|(key, weight)| (*key, weight * factor)).collect();
            prop_assert_eq!(allocate(total, &scaled), allocate(total, &weights));
        }

        #[test]
        fn the_negative_of_an_amount_has_the_negative_shares(total in total(), weights in weights()) {
            let negative: Weights = allocate(-total, &weights).unwrap()
                .into_iter().map(|(key, part)| (key, -part)).collect();
            prop_assert_eq!(negative, allocate(total, &weights).unwrap());
        }
    }

    fn parts(total: &str, weights: &[(i32, &str)]) -> Result<Vec<String>, AllocationError> {
        let weights = weights
            .iter()
            .map(|(key, weight)| (*key, weight.parse().unwrap()))
            .collect();
        let parts = allocate(total.parse().unwrap(), &weights)?;
        Ok(parts.values().map(ToString::to_string).collect())
    }

    #[test]
    fn thirds_leave_their_hundredth_to_the_residual_owner() {
        let thirds = [(1, "33.33"), (2, "33.33"), (3, "33.33"), (4, "0.01")];
        assert_eq!(
            parts("100", &thirds).unwrap(),
            ["33.3300", "33.3300", "33.3300", "0.0100"]
        );
        // One unit over: the largest remainder is a third's, ties go to the smallest id.
        assert_eq!(
            parts("0.0001", &thirds).unwrap(),
            ["0.0001", "0.0000", "0.0000", "0.0000"]
        );
        assert_eq!(
            parts("-0.0002", &thirds).unwrap(),
            ["-0.0001", "-0.0001", "0.0000", "0.0000"]
        );
    }

    #[test]
    fn what_cannot_be_shared_out_is_refused() {
        assert_eq!(parts("1", &[]), Err(AllocationError::NoWeight));
        assert_eq!(parts("1", &[(1, "0")]), Err(AllocationError::NoWeight));
        assert_eq!(
            parts("1", &[(1, "-1"), (2, "2")]),
            Err(AllocationError::NegativeWeight)
        );
        assert_eq!(
            parts("0.00001", &[(1, "1")]),
            Err(AllocationError::Fraction)
        );
        let most = Decimal::MAX.to_string();
        assert_eq!(parts(&most, &[(1, "1")]), Err(AllocationError::TooLarge));
    }
}
