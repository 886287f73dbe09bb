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

identifier! {
    /// A work's International Standard Musical Work Code (ISO 15707): `T` and ten digits.
    Iswc
}
identifier! {
    /// A release's Global Release Identifier: `A1`, then sixteen characters, the last of which checks
    /// the others.
    Grid
}
identifier! {
    /// A person's or group's International Standard Name Identifier (ISO 27729): 16 characters.
    Isni
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
        checked(text, last, &check_digit(body).to_string())?;
        Ok(Self(code))
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

impl Dpid {
    /// The check character that the others call for, where it is not the last one.
    #[must_use]
    pub fn other_check_character(&self) -> Option<char> {
        let (body, last) = self.0.split_at(self.0.len() - 1);
        mod_37_36(body).filter(|expected| !last.starts_with(*expected))
    }
}

impl FromStr for Iswc {
    type Err = InvalidIdentifier;

    /// Takes `T0345246801` and `T-034.524.680-1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = compact(text).replace('.', "");
        let digits = code.strip_prefix('T').unwrap_or_default();
        if digits.len() != 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidIdentifier(format!(
                "{text:?} is not an ISWC: it takes T and ten digits"
            )));
        }
        let (body, last) = digits.split_at(9);
        let sum: u32 = body
            .bytes()
            .zip(1..)
            .map(|(byte, weight)| u32::from(byte - b'0') * weight)
            .sum();
        let expected = (10 - (sum + 1) % 10) % 10;
        checked(text, last, &expected.to_string())?;
        Ok(Self(code))
    }
}

impl FromStr for Grid {
    type Err = InvalidIdentifier;

    /// Takes `A12425GABC1234002M` and `A1-2425G-ABC1234002-M`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = compact(text);
        let wrong = || {
            InvalidIdentifier(format!(
                "{text:?} is not a GRid: it takes A1 and 16 letters or digits"
            ))
        };
        if code.len() != 18 || !code.starts_with("A1") || !code.is_ascii() {
            return Err(wrong());
        }
        let (body, last) = code.split_at(code.len() - 1);
        let expected = mod_37_36(body).ok_or_else(wrong)?;
        checked(text, last, &expected.to_string())?;
        Ok(Self(code))
    }
}

impl FromStr for Isni {
    type Err = InvalidIdentifier;

    /// Takes `0000000121032683` and `0000 0001 2103 2683`; ISO 7064 MOD 11-2.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = compact(text);
        let is_formed = code.len() == 16
            && code
                .bytes()
                .enumerate()
                .all(|(at, byte)| byte.is_ascii_digit() || (at == 15 && byte == b'X'));
        if !is_formed {
            return Err(InvalidIdentifier(format!(
                "{text:?} is not an ISNI: it takes 15 digits and a digit or X"
            )));
        }
        let (body, last) = code.split_at(15);
        let sum = body
            .bytes()
            .fold(0, |sum, byte| (sum + u32::from(byte - b'0')) * 2 % 11);
        let expected = match (12 - sum) % 11 {
            10 => "X".to_owned(),
            digit => digit.to_string(),
        };
        checked(text, last, &expected)?;
        Ok(Self(code))
    }
}

fn checked(text: &str, last: &str, expected: &str) -> Result<(), InvalidIdentifier> {
    if last == expected {
        Ok(())
    } else {
        Err(InvalidIdentifier(format!(
            "the check digit of {text:?} is {last}, it should be {expected}"
        )))
    }
}

/// The check character of ISO 7064 MOD 37,36 for letters and digits.
fn mod_37_36(body: &str) -> Option<char> {
    let mut product = 36;
    for c in body.chars() {
        let sum = (product + c.to_digit(36)?) % 36;
        product = (if sum == 0 { 36 } else { sum }) * 2 % 37;
    }
    char::from_digit((37 - product) % 36, 36).map(|c| c.to_ascii_uppercase())
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
        let iswc: Iswc = "T-034.524.680-1".parse().unwrap();
        assert_eq!(iswc.as_str(), "T0345246801");
        let grid: Grid = "A1-2425G-ABC1234002-M".parse().unwrap();
        assert_eq!(grid.as_str(), "A12425GABC1234002M");
        let isni: Isni = "0000 0001 2103 2683".parse().unwrap();
        assert_eq!(isni.as_str(), "0000000121032683");
        assert!("000000012146438X".parse::<Isni>().is_ok());
        let known: Dpid = "PA-DPIDA-2011072101-T".parse().unwrap();
        assert_eq!(known.other_check_character(), None);
        let odd: Dpid = "PADPIDA2011072101A".parse().unwrap();
        assert_eq!(odd.other_check_character(), Some('T'));
        for bad in ["", "T-34", "pending", "T0345246802", "TÄ45246801"] {
            assert!(bad.parse::<Iswc>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "A12425GABC1234002N",
            "A12425GABC12340-02",
            "A1Ä425GABC123400M",
        ] {
            assert!(bad.parse::<Grid>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "0000000121032684",
            "X000000121032683",
            "0000000١21032683",
        ] {
            assert!(bad.parse::<Isni>().is_err(), "{bad}");
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
            let _ = (text.parse::<Iswc>(), text.parse::<Grid>(), text.parse::<Isni>());
        }
    }
}
