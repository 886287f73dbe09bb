//! DDEX's words in acknowledgements. `UserDefined` is not among them: what it means is between sender
//! and recipient, so it is a word that we do not know.

use std::fmt;

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident, $word:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the variants are DDEX's own words")]
        pub enum $name {
            $($variant,)*
        }

        impl $name {
            /// Every word.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// DDEX's word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub(super) fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What became of a message and its files (`FileStatus`, `Status`).
    FileStatus {
        ArtistRoleUnknown, "ArtistRoleUnknown";
        CommercialReleaseDateInvalid, "CommercialReleaseDateInvalid";
        ConflictingAvailabilityPeriods, "ConflictingAvailabilityPeriods";
        DuplicatedPublisherNames, "DuplicatedPublisherNames";
        ErnMissing, "ErnMissing";
        FileOk, "FileOK";
        IdentifierInvalid, "IdentifierInvalid";
        IdentifierSyntaxInvalid, "IdentifierSyntaxInvalid";
        InternalError, "InternalError";
        MetadataMissing, "MetadataMissing";
        NewReleaseMessageInvalid, "NewReleaseMessageInvalid";
        NoDealForTrackRelease, "NoDealForTrackRelease";
        NoDealInNewReleaseMessage, "NoDealInNewReleaseMessage";
        OriginalReleaseDateLaterThanReleaseDate, "OriginalReleaseDateLaterThanReleaseDate";
        PrimaryArtistNameMissing, "PrimaryArtistNameMissing";
        ResourceCorrupt, "ResourceCorrupt";
        ResourceMissing, "ResourceMissing";
        ResourceNotMeetingSpecifications, "ResourceNotMeetingSpecifications";
        SignatureOrHashSumWrongOrMissing, "SignatureOrHashSumWrongOrMissing";
        UnsupportedUsage, "UnsupportedUsage";
    }
}

words! {
    /// What the partner proposes (`ProposedActionType`).
    ProposedAction {
        DoNotResendAffectedResource, "DoNotResendAffectedResource";
        DoNotResendRelease, "DoNotResendRelease";
        ResendXmlAndResources, "ResendXmlAndResources";
        ResendXmlOnly, "ResendXmlOnly";
    }
}

impl ProposedAction {
    /// Something is to be sent again.
    #[must_use]
    pub fn is_resend(self) -> bool {
        matches!(self, Self::ResendXmlOnly | Self::ResendXmlAndResources)
    }
}

words! {
    /// How far a release has come (`ReleaseStatus`, version 1.7 of the choreography and later).
    SupplyChainStatus {
        DeliveredToReleaseDistributor, "DeliveredToReleaseDistributor";
        InDeliveryToReleaseDistributor, "InDeliveryToReleaseDistributor";
        InPreparationForDelivery, "InPreparationForDeliveryToReleaseDistributor";
        OrderPlacedForReleaseDistributor, "OrderPlacedForReleaseDistributor";
        ProcessingErrorAtReleaseCreator, "ProcessingErrorAtReleaseCreator";
        ProcessingErrorAtReleaseDistributor, "ProcessingErrorAtReleaseDistributor";
        ReleaseMadeAvailableToConsumers, "ReleaseMadeAvailableToConsumers";
        ReleaseNotAvailable, "ReleaseNotAvailable";
        ReleaseReceivedByReleaseDistributor, "ReleaseReceivedByReleaseDistributor";
        ReleaseStagedForPublication, "ReleaseStagedForPublication";
        ReleaseViolatesTermsOfService, "ReleaseViolatesTermsOfService";
        RightsConflict, "RightsConflict";
        SuccessfullyIngested, "SuccessfullyIngestedByReleaseDistributor";
    }
}

/// What a word says of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Under way; a later word is to be waited for.
    Pending,
    /// Taken.
    Accepted,
    /// Refused.
    Rejected,
}

impl FileStatus {
    /// What it says of the delivery.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        match self {
            Self::FileOk => Meaning::Accepted,
            _ => Meaning::Rejected,
        }
    }
}

impl SupplyChainStatus {
    /// What it says of the delivery.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        match self {
            Self::DeliveredToReleaseDistributor
            | Self::InDeliveryToReleaseDistributor
            | Self::InPreparationForDelivery
            | Self::OrderPlacedForReleaseDistributor
            | Self::ReleaseReceivedByReleaseDistributor
            | Self::ReleaseStagedForPublication => Meaning::Pending,
            Self::SuccessfullyIngested | Self::ReleaseMadeAvailableToConsumers => Meaning::Accepted,
            Self::ProcessingErrorAtReleaseCreator
            | Self::ProcessingErrorAtReleaseDistributor
            | Self::ReleaseNotAvailable
            | Self::ReleaseViolatesTermsOfService
            | Self::RightsConflict => Meaning::Rejected,
        }
    }
}
