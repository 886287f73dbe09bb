//! The words that partners use for a release's state.

/// What a word means for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Accepted,
    Rejected,
    Pending,
}

impl Word {
    /// What a partner's word means; nothing for a word that is not in the list, which is never
    /// taken for success.
    pub(super) fn read(word: &str) -> Option<Self> {
        let word = word.trim().to_ascii_lowercase().replace(['-', ' '], "_");
        match word.as_str() {
            "accepted" | "live" | "delivered" | "published" | "available" => Some(Self::Accepted),
            "rejected" | "failed" | "refused" | "error" => Some(Self::Rejected),
            "received" | "processing" | "pending" | "queued" | "in_progress" | "in_review"
            | "ingesting" | "scheduled" => Some(Self::Pending),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_in_any_case_and_no_others() {
        assert_eq!(Word::read("LIVE"), Some(Word::Accepted));
        assert_eq!(Word::read("in review"), Some(Word::Pending));
        assert_eq!(Word::read("Failed"), Some(Word::Rejected));
        for unknown in ["", "ok", "not accepted", "accepted?", "true"] {
            assert_eq!(Word::read(unknown), None, "{unknown:?}");
        }
    }
}
