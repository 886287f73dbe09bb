//! The versions of DDEX ERN that are spoken.

use std::fmt;

/// A version of DDEX's Electronic Release Notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the versions' own numbers")]
pub enum Version {
    Ern382,
    Ern43,
    Ern432,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::Ern382, Self::Ern43, Self::Ern432];

    /// The number, as in `format_specs.ddex.version`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ern382 => "3.8.2",
            Self::Ern43 => "4.3",
            Self::Ern432 => "4.3.2",
        }
    }

    /// The namespace of its messages.
    #[must_use]
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Ern382 => "http://ddex.net/xml/ern/382",
            Self::Ern43 => "http://ddex.net/xml/ern/43",
            Self::Ern432 => "http://ddex.net/xml/ern/432",
        }
    }

    /// The version whose messages have this namespace.
    #[must_use]
    pub fn of_namespace(namespace: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.namespace() == namespace)
    }

    /// The version of this number.
    #[must_use]
    pub fn of_number(number: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == number.trim())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
