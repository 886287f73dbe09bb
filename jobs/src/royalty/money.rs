//! Amounts and currencies. An amount is a `Decimal` in the accounting currency; its smallest unit is
//! 10⁻⁴, the scale of `numeric(12,4)`.

use std::{fmt, str::FromStr};

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// Digits after the point of everything that is earned, owed or paid.
pub const SCALE: u32 = 4;

/// Rounds to minor units, half to even: over many amounts neither side gains, and −v becomes the
/// negative of what v becomes.
#[must_use]
pub fn round(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointNearestEven)
}

/// An ISO 4217 code: three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Currency([u8; 3]);

/// A text that names no currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no currency: write its three letters as in ISO 4217, such as EUR")]
pub struct InvalidCurrency(String);

impl Currency {
    /// The euro, in which the European Central Bank quotes all others.
    pub const EUR: Self = Self(*b"EUR");
    /// The United States dollar.
    pub const USD: Self = Self(*b"USD");

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Always: only ASCII letters get in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    /// Reads the code in any case.
    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        match <[u8; 3]>::try_from(text.trim().as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_alphabetic) => {
                Ok(Self(letters.map(|letter| letter.to_ascii_uppercase())))
            }
            _ => Err(InvalidCurrency(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidCurrency;

    fn try_from(text: String) -> Result<Self, InvalidCurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_to_even_and_the_same_on_both_sides() {
        for (amount, rounded) in [
            ("0.00005", "0"),
            ("0.00015", "0.0002"),
            ("0.00025", "0.0002"),
        ] {
            let (amount, rounded): (Decimal, Decimal) =
                (amount.parse().unwrap(), rounded.parse().unwrap());
            assert_eq!(round(amount), rounded);
            assert_eq!(round(-amount), -rounded);
        }
    }

    #[test]
    fn a_currency_has_three_letters() {
        assert_eq!(" eur ".parse::<Currency>().unwrap(), Currency::EUR);
        for text in ["", "EU", "EURO", "E1R", "€€€", "ÄÖ"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }
}
