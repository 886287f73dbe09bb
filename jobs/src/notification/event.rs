//! Everything that is told, once. The words are part of the interface: receivers choose by them.

use serde::{Deserialize, Serialize};

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident, $word:literal;)*) => {
        /// What a notification tells of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Event {
            /// Every event.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in the outbox, in payloads and in the configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

events! {
    /// Every platform of a schedule has the release.
    ScheduleCompleted, "schedule.completed";
    /// Some platforms of a schedule have the release, the others will not get it.
    SchedulePartial, "schedule.partial";
    /// No platform of a schedule got the release.
    ScheduleFailed, "schedule.failed";
    /// A delivery will not be sent.
    DeliveryFailed, "delivery.failed";
    /// The partner's no.
    DeliveryRejected, "delivery.rejected";
    /// A delivery waits for a person because the platform's settings are wrong.
    DeliveryHeld, "delivery.held";
    /// It cannot be known whether a delivery arrived, and nobody but a person can find out.
    DeliveryUnknown, "delivery.unknown";
    /// A delivery keeps failing for longer than `retry.notify_after_s`; it is still tried.
    DeliveryLate, "delivery.late";
    /// The partner says the opposite of what was known of a delivery.
    DeliveryContradicted, "delivery.contradicted";
    /// The partner has not spoken within its `processing_time`.
    DeliverySilent, "delivery.silent";
    /// A new release was handed over later before its street date than the platform's
    /// `requirements.lead_days` asks for.
    DeliveryShortNotice, "delivery.short_notice";
    /// Nothing is sent to a platform until an operator resumes it.
    PlatformPaused, "platform.paused";
    /// An operator tries the channels.
    WorkerTest, "worker.test";
}

impl Event {
    /// The event that stands under this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|event| event.as_str() == word)
    }

    /// A schedule has come to its end.
    #[must_use]
    pub fn is_of_schedule(self) -> bool {
        matches!(
            self,
            Self::ScheduleCompleted | Self::SchedulePartial | Self::ScheduleFailed
        )
    }
}
