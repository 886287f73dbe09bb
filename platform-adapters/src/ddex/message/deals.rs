//! `DealList`: where, from when and how the release may be used.

use chrono::{NaiveTime, SecondsFormat};

use super::{super::xml::Document, Offer, Plan, vocabulary};
use crate::{
    Code, Fault, Finding,
    package::Package,
    release::{Moment, Territories},
    settings::{DdexSpecs, Platform},
};

/// The commercial models that the platform's settings name, each once, as our own words.
pub(super) fn models(platform: &Platform, specs: &DdexSpecs) -> Result<Vec<&'static str>, Fault> {
    let wrong = |key: &str, problem: String| {
        Fault::new(
            Code::SettingsInvalid,
            format!(
                "format_specs.ddex.{key} of platform {} ({:?}): {problem}",
                platform.id, platform.name
            ),
        )
    };
    let find = |key: &str, word: &str| {
        vocabulary::model(word.trim()).ok_or_else(|| {
            let known: Vec<&str> = vocabulary::MODELS.iter().map(|model| model.word).collect();
            wrong(key, format!("{word:?} is not one of {}", known.join(", ")))
        })
    };
    let mut models: Vec<&str> = Vec::new();
    for word in &specs.models {
        let model = find("models", word)?.word;
        if !models.contains(&model) {
            models.push(model);
        }
    }
    if models.is_empty() {
        return Err(wrong(
            "models",
            "is empty: without a commercial model nothing may be used".into(),
        ));
    }
    for (word, uses) in &specs.use_types {
        find("use_types", word)?;
        let is_word = |word: &String| word.bytes().all(|b| b.is_ascii_alphabetic());
        if uses.is_empty() || !uses.iter().all(|word| !word.is_empty() && is_word(word)) {
            return Err(wrong(
                "use_types",
                format!("{word:?} must name DDEX's use types, as OnDemandStream"),
            ));
        }
    }
    Ok(models)
}

/// Refuses a release that may be sold nowhere: a message without deals would be a takedown.
pub(super) fn check_territories(package: &Package) -> Result<(), Fault> {
    if package.territories == Territories::Only(Vec::new()) {
        return Err(Fault::package_invalid(vec![Finding {
            field: "territories".into(),
            problem: "the release may be sold in none of the platform's territories".into(),
            remedy: "Widen the release's territories, or take the platform off its schedule."
                .into(),
        }]));
    }
    Ok(())
}

/// Writes `DealList`, where there are deals, each with its terms. What has no deal may not be used
/// any more.
pub(super) fn write(
    plan: &Plan<'_>,
    xml: &mut Document,
    terms: fn(&Plan<'_>, &Offer, &mut Document),
) {
    let groups = plan.deals();
    if groups.is_empty() {
        return;
    }
    xml.element("DealList", |xml| {
        for (references, offers) in &groups {
            xml.element("ReleaseDeal", |xml| {
                for reference in references {
                    xml.text("DealReleaseReference", reference);
                }
                for offer in offers {
                    xml.element("Deal", |xml| {
                        xml.element("DealTerms", |xml| terms(plan, offer, xml));
                    });
                }
            });
        }
    });
}

/// Writes a deal's terms.
pub(super) fn terms(plan: &Plan<'_>, offer: &Offer, xml: &mut Document) {
    territories(&offer.territories, xml);
    // Days alone are deprecated in deals; a time without zone is the territory's own.
    xml.element("ValidityPeriod", |xml| {
        xml.text("StartDateTime", &start(offer.from));
        if let Some(until) = offer.until {
            xml.text("EndDateTime", &end(until));
        }
    });
    let Some(model) = vocabulary::model(&offer.model) else {
        return;
    };
    xml.text("CommercialModelType", model.commercial_model);
    for kind in uses(plan, model) {
        xml.text("UseType", kind);
    }
    rights_claim(model, xml);
    if offer.pre_order {
        xml.text("IsPreOrderDeal", "true");
    }
}

/// What is done with a consumer's own upload that holds the recording.
pub(super) fn rights_claim(model: &vocabulary::Model, xml: &mut Document) {
    if let Some(policy) = model.rights_claim {
        xml.element("RightsClaimPolicy", |xml| {
            xml.text("RightsClaimPolicyType", policy);
        });
    }
}

/// `UseType`s of a model: those that the partner wants, else ours.
pub(super) fn uses<'a>(plan: &'a Plan<'_>, model: &'a vocabulary::Model) -> Vec<&'a str> {
    let own = plan
        .specs
        .use_types
        .iter()
        .find(|(word, _)| word.trim().eq_ignore_ascii_case(model.word));
    own.map_or_else(
        || model.uses.to_vec(),
        |(_, uses)| uses.iter().map(String::as_str).collect(),
    )
}

/// Writes where a deal holds.
pub(super) fn territories(territories: &Territories, xml: &mut Document) {
    match territories {
        Territories::Worldwide => xml.text("TerritoryCode", "Worldwide"),
        Territories::WorldwideExcept(excluded) => {
            for code in excluded {
                xml.text("ExcludedTerritoryCode", code);
            }
        }
        Territories::Only(included) => {
            for code in included {
                xml.text("TerritoryCode", code);
            }
        }
    }
}

/// The first second.
pub(super) fn start(moment: Moment) -> String {
    match moment {
        Moment::Instant(at) => at.to_rfc3339_opts(SecondsFormat::Secs, true),
        Moment::Day(day) => format!("{}T00:00:00", super::date(day)),
    }
}

/// The last second: of a day its last.
pub(super) fn end(moment: Moment) -> String {
    match moment {
        Moment::Day(day) => {
            let last = NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default();
            format!("{}T{last}", super::date(day))
        }
        instant @ Moment::Instant(_) => start(instant),
    }
}
