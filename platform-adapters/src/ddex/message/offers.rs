//! What is offered: which release may be used where, from when on and by which commercial model;
//! and what of that the partner has from the message before and may not use any more.
//!
//! Leaving a deal out of a message withdraws it. So that no deal vanishes unsaid, what was offered
//! last is held against what is offered now, and the difference is said.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    package::Package,
    release::{Moment, Territories, TrackAvailability},
};

/// How [`Offer::of`] names the release itself. Tracks go by their track release's id.
pub(super) const RELEASE: &str = "release";
/// The commercial model that can be ordered before the street date.
const ORDERED: &str = "download";
/// Territories that a sentence names before it counts the others.
const NAMED: usize = 12;

/// What a message says is offered and with which files: kept with its receipt, and held against
/// the next message about the release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What may be used.
    pub offers: Vec<Offer>,
    /// SHA-256 of the files that the partner has been sent, in order.
    pub media: Vec<String>,
}

/// One commercial model's terms for releases of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// `release`, and the ids of track releases.
    pub of: Vec<String>,
    /// The word in `format_specs.ddex.models`.
    pub model: String,
    /// Where.
    pub territories: Territories,
    /// From when on.
    pub from: Moment,
    /// Until when; a day is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// It can be ordered, and is delivered later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pre_order: bool,
}

/// A track release, as far as it matters here.
pub(super) struct Item<'a> {
    pub(super) id: String,
    pub(super) availability: &'a TrackAvailability,
}

/// What of the last statement holds no longer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Withdrawn {
    /// Deals that run, with their end.
    pub(super) ended: Vec<Offer>,
    /// Deals that never began: they are left out.
    pub(super) canceled: Vec<Offer>,
    /// Deals of tracks that are no part of the release any more.
    pub(super) gone: Vec<Offer>,
}

/// What is offered of a package by these commercial models.
pub(super) fn of_package(package: &Package, items: &[Item<'_>], models: &[&str]) -> Vec<Offer> {
    let mut offers = Vec::new();
    for model in models {
        of_release(package, model, &mut offers);
        for item in items {
            of_track(package, item, model, &mut offers);
        }
    }
    offers
}

fn begin(package: &Package) -> Moment {
    let release = &package.release;
    let street_date = Moment::Day(release.release_date);
    release.availability.from.unwrap_or(street_date)
}

fn of_release(package: &Package, model: &str, offers: &mut Vec<Offer>) {
    let availability = &package.release.availability;
    let offer = Offer {
        of: vec![RELEASE.into()],
        model: model.into(),
        territories: package.territories.clone(),
        from: begin(package),
        until: availability.until,
        pre_order: false,
    };
    let ordered = availability.pre_order_from.filter(|_| model == ORDERED);
    if let Some(first) = ordered
        && let Some(last) = offer.from.day().checked_sub_days(Days::new(1))
        && first <= last
    {
        let pre_order = Offer {
            from: Moment::Day(first),
            until: Some(Moment::Day(last)),
            pre_order: true,
            ..offer.clone()
        };
        add(offers, pre_order);
    }
    add(offers, offer);
}

fn of_track(package: &Package, item: &Item<'_>, model: &str, offers: &mut Vec<Offer>) {
    let territories = package
        .territories
        .narrowed_to(&item.availability.territories);
    if item.availability.withdrawn || territories == Territories::Only(Vec::new()) {
        return;
    }
    let of_release = &package.release.availability;
    let offer = Offer {
        of: vec![item.id.clone()],
        model: model.into(),
        territories,
        from: item.availability.from.unwrap_or_else(|| begin(package)),
        until: item.availability.until.or(of_release.until),
        pre_order: false,
    };
    add(offers, offer);
}

/// Adds an offer, to those on the same terms where there are any.
fn add(offers: &mut Vec<Offer>, offer: Offer) {
    let same = |known: &Offer| {
        (&known.model, &known.territories, known.pre_order)
            == (&offer.model, &offer.territories, offer.pre_order)
            && (known.from, known.until) == (offer.from, offer.until)
    };
    match offers.iter_mut().find(|known| same(known)) {
        Some(known) => known.of.extend(offer.of),
        None => offers.push(offer),
    }
}

/// What `before` offers and `now` does not, as of an instant. `items` are the ids that a message
/// can speak of.
pub(super) fn withdrawn(
    before: &Statement,
    now: &[Offer],
    items: &[Item<'_>],
    at: DateTime<Utc>,
) -> Withdrawn {
    let mut withdrawn = Withdrawn::default();
    for offer in &before.offers {
        if offer.until.is_some_and(|until| is_past(until, at)) {
            continue;
        }
        for id in &offer.of {
            let Some(territories) = lost(offer, id, now) else {
                continue;
            };
            let lost = Offer {
                of: vec![id.clone()],
                territories,
                ..offer.clone()
            };
            if id != RELEASE && !items.iter().any(|item| item.id == *id) {
                add(&mut withdrawn.gone, lost);
            } else if is_past(offer.from, at) {
                let until = Some(Moment::Instant(at));
                add(&mut withdrawn.ended, Offer { until, ..lost });
            } else {
                add(&mut withdrawn.canceled, lost);
            }
        }
    }
    withdrawn
}

/// The territories in which `now` does not offer any more what `offer` offers of `id`.
fn lost(offer: &Offer, id: &str, now: &[Offer]) -> Option<Territories> {
    let held = offer.territories.codes();
    let still: BTreeSet<&str> = now
        .iter()
        .filter(|other| other.model == offer.model && other.pre_order == offer.pre_order)
        .filter(|other| other.of.iter().any(|other| other == id))
        .flat_map(|other| other.territories.codes())
        .collect();
    let lost: Vec<String> = held.difference(&still).map(ToString::to_string).collect();
    match lost.len() {
        0 => None,
        all if all == held.len() => Some(offer.territories.clone()),
        _ => Some(Territories::Only(lost)),
    }
}

/// Ends all that a statement offers and that has begun, as of an instant.
pub(super) fn ended(offers: &[Offer], at: DateTime<Utc>) -> Vec<Offer> {
    let running = offers.iter().filter(|offer| {
        is_past(offer.from, at) && !offer.until.is_some_and(|until| is_past(until, at))
    });
    running
        .map(|offer| Offer {
            until: Some(Moment::Instant(at)),
            ..offer.clone()
        })
        .collect()
}

fn is_past(moment: Moment, at: DateTime<Utc>) -> bool {
    match moment {
        Moment::Instant(instant) => instant <= at,
        Moment::Day(day) => day <= at.date_naive(),
    }
}

impl Withdrawn {
    /// What is withdrawn, in words: one sentence part for each deal.
    pub(super) fn words(&self) -> Vec<String> {
        let said = |offers: &[Offer], how: &str| {
            let words = offers.iter().map(|offer| {
                format!(
                    "{how} {}{} of {} in {}",
                    if offer.pre_order { "pre-order " } else { "" },
                    offer.model,
                    things(&offer.of),
                    places(&offer.territories)
                )
            });
            words.collect::<Vec<_>>()
        };
        let mut words = said(&self.ended, "ends");
        words.extend(said(&self.canceled, "cancels"));
        words.extend(said(&self.gone, "drops"));
        words
    }
}

fn things(of: &[String]) -> String {
    let tracks: Vec<&str> = of
        .iter()
        .filter(|id| *id != RELEASE)
        .map(String::as_str)
        .collect();
    match (tracks.len() == of.len(), tracks.as_slice()) {
        (false, []) => "the release".into(),
        (false, tracks) => format!("the release and {} tracks", tracks.len()),
        (true, tracks) => tracks.join(", "),
    }
}

fn places(territories: &Territories) -> String {
    let listed = |codes: &[String]| {
        let mut text = codes
            .iter()
            .take(NAMED)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        if codes.len() > NAMED {
            text.push_str(&format!(" and {} others", codes.len() - NAMED));
        }
        text
    };
    match territories {
        Territories::Worldwide => "all territories".into(),
        Territories::WorldwideExcept(codes) => format!("all territories but {}", listed(codes)),
        Territories::Only(codes) => listed(codes),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, TimeZone};

    use super::*;

    fn day(day: u32) -> Moment {
        Moment::Day(NaiveDate::from_ymd_opt(2025, 11, day).unwrap())
    }

    fn noon(day: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2025, 11, day, 12, 0, 0).unwrap()
    }

    fn only(codes: &[&str]) -> Territories {
        Territories::Only(codes.iter().map(ToString::to_string).collect())
    }

    fn offer(of: &[&str], territories: Territories, from: Moment) -> Offer {
        Offer {
            of: of.iter().map(ToString::to_string).collect(),
            model: "subscription".into(),
            territories,
            from,
            until: None,
            pre_order: false,
        }
    }

    fn statement(offers: Vec<Offer>) -> Statement {
        Statement {
            offers,
            media: Vec::new(),
        }
    }

    #[test]
    fn what_vanishes_is_ended_canceled_or_gone() {
        let availability = TrackAvailability::default();
        let items = [Item {
            id: "T1".into(),
            availability: &availability,
        }];
        let before = statement(vec![
            offer(&["release", "T1", "T2"], only(&["DE", "FR", "NO"]), day(1)),
            offer(&["T1"], only(&["JP"]), day(28)),
        ]);
        let now = [offer(&["release"], only(&["DE", "NO", "SE"]), day(1))];
        let found = withdrawn(&before, &now, &items, noon(10));
        assert_eq!(
            found.words(),
            [
                "ends subscription of the release in FR",
                "ends subscription of T1 in DE, FR, NO",
                "cancels subscription of T1 in JP",
                "drops subscription of T2 in DE, FR, NO",
            ]
        );
        let until = Some(Moment::Instant(noon(10)));
        assert!(found.ended.iter().all(|offer| offer.until == until));
        let again = withdrawn(&statement(now.to_vec()), &now, &items, noon(11));
        assert_eq!(again, Withdrawn::default());
    }

    #[test]
    fn a_deal_that_has_ended_needs_no_end() {
        let ended = Offer {
            until: Some(day(5)),
            ..offer(&["release"], Territories::Worldwide, day(1))
        };
        let found = withdrawn(&statement(vec![ended.clone()]), &[], &[], noon(10));
        assert_eq!(found, Withdrawn::default());
        assert!(super::ended(&[ended], noon(10)).is_empty());
        let running = offer(&["release"], Territories::Worldwide, day(1));
        assert_eq!(super::ended(&[running], noon(10)).len(), 1);
    }

    #[test]
    fn a_territory_of_the_whole_world_is_found() {
        let before = statement(vec![offer(&["release"], Territories::Worldwide, day(1))]);
        let except = Territories::WorldwideExcept(vec!["FR".into()]);
        let now = [offer(&["release"], except, day(1))];
        let found = withdrawn(&before, &now, &[], noon(10));
        assert_eq!(found.words(), ["ends subscription of the release in FR"]);
    }
}
