//! `DealList`: where, from when and how the release may be used.

use super::{super::xml::Document, Plan, vocabulary};
use crate::{Code, Fault, Finding, package::Package, release::Territories, settings::Platform};

/// The commercial models that the platform's settings name.
pub(super) fn models(
    platform: &Platform,
    words: &[String],
) -> Result<Vec<&'static vocabulary::Model>, Fault> {
    let wrong = |problem: String| {
        Fault::new(
            Code::SettingsInvalid,
            format!(
                "format_specs.ddex.models of platform {} ({:?}): {problem}",
                platform.id, platform.name
            ),
        )
    };
    let mut models: Vec<&vocabulary::Model> = Vec::new();
    for word in words {
        let model = vocabulary::MODELS
            .iter()
            .find(|model| model.word.eq_ignore_ascii_case(word.trim()))
            .ok_or_else(|| {
                let known: Vec<&str> = vocabulary::MODELS.iter().map(|model| model.word).collect();
                wrong(format!("{word:?} is not one of {}", known.join(", ")))
            })?;
        if !models.iter().any(|known| known.word == model.word) {
            models.push(model);
        }
    }
    if models.is_empty() {
        return Err(wrong(
            "is empty: without a commercial model nothing may be used".into(),
        ));
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

/// Writes `DealList`: each model's deal, for the release and for each of its tracks. A takedown has
/// none: what has no deal may not be used any more.
pub(super) fn write(plan: &Plan<'_>, xml: &mut Document) {
    if plan.models.is_empty() {
        return;
    }
    xml.element("DealList", |xml| {
        xml.element("ReleaseDeal", |xml| {
            xml.text("DealReleaseReference", "R0");
            for recording in plan.track_releases() {
                xml.text("DealReleaseReference", &recording.release_reference());
            }
            for model in &plan.models {
                xml.element("Deal", |xml| terms(plan, model, xml));
            }
        });
    });
}

fn terms(plan: &Plan<'_>, model: &vocabulary::Model, xml: &mut Document) {
    xml.element("DealTerms", |xml| {
        match &plan.package.territories {
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
        xml.element("ValidityPeriod", |xml| {
            let street_date = plan.package.release.release_date;
            xml.text("StartDate", &super::date(street_date));
        });
        xml.text("CommercialModelType", model.commercial_model);
        for kind in model.uses {
            xml.text("UseType", kind);
        }
    });
}
