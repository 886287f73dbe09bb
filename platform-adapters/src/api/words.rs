//! The words that partners use for a release's state: the usual ones, and those of the settings.

use crate::settings::StateWords;

/// What a word means for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Accepted,
    Rejected,
    Pending,
    /// Begun, and files are missing.
    Incomplete,
}

/// A partner's words.
pub(super) struct Words<'a>(&'a StateWords);

impl<'a> Words<'a> {
    pub(super) fn of(own: &'a StateWords) -> Self {
        Self(own)
    }

    /// What a partner's word means; nothing for a word that is not known, which is never taken for
    /// success.
    pub(super) fn read(&self, word: &str) -> Option<Word> {
        let own = [
            (&self.0.accepted, Word::Accepted),
            (&self.0.rejected, Word::Rejected),
            (&self.0.pending, Word::Pending),
            (&self.0.incomplete, Word::Incomplete),
        ];
        let word = plain(word);
        own.into_iter()
            .find(|(words, _)| words.iter().any(|known| plain(known) == word))
            .map(|(_, meaning)| meaning)
            .or_else(|| usual(&word))
    }
}

fn plain(word: &str) -> String {
    word.trim().to_lowercase().replace(['-', ' '], "_")
}

fn usual(word: &str) -> Option<Word> {
    match word {
        "accepted" | "live" | "delivered" | "published" | "available" => Some(Word::Accepted),
        "rejected" | "failed" | "refused" | "error" => Some(Word::Rejected),
        "received" | "processing" | "pending" | "queued" | "in_progress" | "in_review"
        | "ingesting" | "scheduled" => Some(Word::Pending),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_in_any_case_and_no_others() {
        let own = StateWords {
            accepted: vec!["Auf Sendung".into()],
            // What is usually a no may be a yes here.
            rejected: vec!["live".into()],
            ..StateWords::default()
        };
        let usual = StateWords::default();
        assert_eq!(Words::of(&usual).read("LIVE"), Some(Word::Accepted));
        assert_eq!(Words::of(&own).read("LIVE"), Some(Word::Rejected));
        assert_eq!(Words::of(&own).read("auf-sendung"), Some(Word::Accepted));
        assert_eq!(Words::of(&usual).read("in review"), Some(Word::Pending));
        assert_eq!(Words::of(&usual).read("Failed"), Some(Word::Rejected));
        for unknown in ["", "ok", "not accepted", "accepted?", "true"] {
            assert_eq!(Words::of(&usual).read(unknown), None, "{unknown:?}");
        }
    }
}
