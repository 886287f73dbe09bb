//! Identifiers with their syntax and check digits. They are compared without hyphens and in upper
//! case; a value of one of these types is always well formed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// The identifier without hyphens.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier! {
    /// A recording's International Standard Recording Code (ISO 3901): 12 characters.
    Isrc
}
identifier! {
    /// A release's bar code: UPC-A (12 digits) or EAN-13 (13 digits), leading zeros kept.
    Upc
}
identifier! {
    /// A DDEX Party Id: `PADPIDA`, then eleven characters; 18 in all, without hyphens.
    Dpid
}

/// Why a text is not the identifier it should be. Reads on after the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidIdentifier(String);

fn compact(text: &str) -> String {
    text.trim()
        .chars()
        .filter(|c| *c != '-' && *c != ' ')
        .collect::<String>()
        .to_ascii_uppercase()
}

impl FromStr for Isrc {
    type Err = InvalidIdentifier;

    /// Takes `USRC17607839` and `US-RC1-76-07839`: two letters, three letters or digits, seven
    /// digits. An ISRC has no check digit.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = compact(text);
        let good = code.len() == 12
            && code.bytes().enumerate().all(|(at, byte)| match at {
                0 | 1 => byte.is_ascii_uppercase(),
                2..=4 => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
                _ => byte.is_ascii_digit(),
            });
        if good {
            Ok(Self(code))
        } else {
            Err(InvalidIdentifier(format!(
                "{text:?} is not an ISRC: it takes two letters, three letters or digits, seven digits"
            )))
        }
    }
}

impl FromStr for Upc {
    type Err = InvalidIdentifier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = compact(text);
        if !(code.len() == 12 || code.len() == 13) || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidIdentifier(format!(
                "{text:?} is not a UPC or EAN: it takes 12 or 13 digits"
            )));
        }
        let (body, last) = code.split_at(code.len() - 1);
        let expected = check_digit(body);
        if last == expected.to_string() {
            Ok(Self(code))
        } else {
            Err(InvalidIdentifier(format!(
                "the check digit of {text:?} is {last}, it should be {expected}"
            )))
        }
    }
}

impl Upc {
    /// The bar code as a GTIN-13, as DDEX's `ICPN` is commonly written; a UPC-A gets a leading zero.
    #[must_use]
    pub fn to_gtin13(&self) -> String {
        format!("{:0>13}", self.0)
    }

    /// Completes 11 or 12 digits with their check digit.
    ///
    /// # Errors
    /// When `body` is not 11 or 12 digits.
    pub fn from_body(body: &str) -> Result<Self, InvalidIdentifier> {
        if !(body.len() == 11 || body.len() == 12) || !body.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidIdentifier(format!(
                "{body:?} is not 11 or 12 digits"
            )));
        }
        Ok(Self(format!("{body}{}", check_digit(body))))
    }
}

/// GS1's check digit: weights 3, 1, 3 … from the right.
fn check_digit(body: &str) -> u32 {
    let sum: u32 = body
        .bytes()
        .rev()
        .zip([3, 1].into_iter().cycle())
        .map(|(byte, weight)| u32::from(byte.saturating_sub(b'0')) * weight)
        .sum();
    (10 - sum % 10) % 10
}

impl FromStr for Dpid {
    type Err = InvalidIdentifier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = compact(text);
        if code.len() == 18
            && code.starts_with("PADPIDA")
            && code.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            Ok(Self(code))
        } else {
            Err(InvalidIdentifier(format!(
                "{text:?} is not a DPID: it takes PADPIDA and eleven letters or digits"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_identifiers() {
        assert_eq!(
            "us-rc1-76-07839".parse::<Isrc>().unwrap().as_str(),
            "USRC17607839"
        );
        assert_eq!(
            "036000291452".parse::<Upc>().unwrap().to_gtin13(),
            "0036000291452"
        );
        assert_eq!(
            "4006381333931".parse::<Upc>().unwrap().as_str(),
            "4006381333931"
        );
        assert_eq!(
            "PA-DPIDA-2014120301-C".parse::<Dpid>().unwrap().as_str(),
            "PADPIDA2014120301C"
        );
        assert_eq!(
            "036000291453".parse::<Upc>().unwrap_err().to_string(),
            "the check digit of \"036000291453\" is 3, it should be 2"
        );
        for bad in [
            "",
            "USRC1760783",
            "12RC17607839",
            "USRC1760783A",
            "ÜSRC17607839",
        ] {
            assert!(bad.parse::<Isrc>().is_err(), "{bad}");
        }
        for bad in ["", "12345", "03600029145x", "٠٣٦٠٠٠٢٩١٤٥٢"] {
            assert!(bad.parse::<Upc>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_digit_never_passes(body in "[0-9]{11,12}", at in 0usize..12, by in 1u8..10) {
            let upc = Upc::from_body(&body).unwrap();
            let mut digits = upc.as_str().as_bytes().to_vec();
            digits[at] = b'0' + (digits[at] - b'0' + by) % 10;
            prop_assert!(String::from_utf8(digits).unwrap().parse::<Upc>().is_err());
        }

        #[test]
        fn anything_parses_or_is_refused_without_panic(text in ".{0,20}") {
            let _ = (text.parse::<Isrc>(), text.parse::<Upc>(), text.parse::<Dpid>());
        }
    }
}
