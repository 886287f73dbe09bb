//! Deals of a message.

use super::Element;

/// A deal, in the message's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedDeal {
    /// References of the releases that it is about: `R0`, `R1`.
    pub releases: Vec<String>,
    /// `TerritoryCode`s.
    pub territories: Vec<String>,
    /// `ExcludedTerritoryCode`s: everywhere but there.
    pub excluded_territories: Vec<String>,
    /// Day or time from which on it holds.
    pub start: Option<String>,
    /// Day or time until which it holds.
    pub end: Option<String>,
    /// `CommercialModelType`s.
    pub commercial_models: Vec<String>,
    /// `UseType`s.
    pub use_types: Vec<String>,
    /// `IsPreOrderDeal`.
    pub is_pre_order: bool,
}

impl ReceivedDeal {
    /// Whether it holds no longer at a time, both as DDEX writes them: days and times of ISO 8601
    /// are in order as texts, as far as they say the same parts.
    pub(super) fn has_ended_at(&self, at: &str) -> bool {
        self.end.as_deref().is_some_and(|end| {
            let length = end.trim_end_matches('Z').len().min(19);
            match (end.get(..length), at.get(..length)) {
                (Some(end), Some(at)) => end <= at,
                _ => false,
            }
        })
    }
}

pub(super) fn read_all(root: &Element) -> Vec<ReceivedDeal> {
    let Some(list) = root.child("DealList") else {
        return Vec::new();
    };
    let mut deals = Vec::new();
    for group in list.children_named("ReleaseDeal") {
        let releases = texts(group, "DealReleaseReference");
        for deal in group.children_named("Deal") {
            if let Some(terms) = deal.child("DealTerms") {
                deals.push(read(terms, releases.clone()));
            }
        }
    }
    deals
}

fn read(terms: &Element, releases: Vec<String>) -> ReceivedDeal {
    let period = terms.child("ValidityPeriod");
    let moment = |names: [&str; 2]| {
        let period = period?;
        let found = names.iter().find_map(|name| period.child_text(name));
        found.map(str::to_owned)
    };
    ReceivedDeal {
        releases,
        territories: texts(terms, "TerritoryCode"),
        excluded_territories: texts(terms, "ExcludedTerritoryCode"),
        start: moment(["StartDateTime", "StartDate"]),
        end: moment(["EndDateTime", "EndDate"]),
        commercial_models: texts(terms, "CommercialModelType"),
        // In 3.8.2 within Usage.
        use_types: match terms.child("Usage") {
            Some(usage) => texts(usage, "UseType"),
            None => texts(terms, "UseType"),
        },
        is_pre_order: terms.child_text("IsPreOrderDeal") == Some("true"),
    }
}

fn texts(element: &Element, name: &str) -> Vec<String> {
    element
        .children_named(name)
        .map(|child| child.text.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_by_day_and_by_time() {
        let ended = |end: &str, at: &str| {
            let deal = ReceivedDeal {
                end: Some(end.into()),
                ..ReceivedDeal::default()
            };
            deal.has_ended_at(at)
        };
        assert!(ended("2025-11-24T16:00:00Z", "2025-11-24T16:00:00Z"));
        assert!(ended("2025-11-23", "2025-11-24T16:00:00Z"));
        assert!(!ended("2025-11-25", "2025-11-24T16:00:00Z"));
        assert!(!ended("2025-11-24T23:59:59", "2025-11-24T16:00:00+00:00"));
        assert!(!ReceivedDeal::default().has_ended_at("2025-11-24T16:00:00Z"));
    }
}
