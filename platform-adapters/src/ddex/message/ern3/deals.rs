//! Terms of a deal in ERN 3.8.2.

use super::super::{
    super::xml::Document,
    Offer, Plan, date,
    deals::{end, rights_claim, start, territories, uses},
    vocabulary,
};
use crate::release::Moment;

/// Writes a deal's terms.
pub(super) fn terms(plan: &Plan<'_>, offer: &Offer, xml: &mut Document) {
    let Some(model) = vocabulary::model(&offer.model) else {
        return;
    };
    if offer.pre_order {
        xml.text("IsPreOrderDeal", "true");
    }
    xml.text("CommercialModelType", model.commercial_model);
    xml.element("Usage", |xml| {
        for kind in uses(plan, model) {
            xml.text("UseType", kind);
        }
    });
    territories(&offer.territories, xml);
    xml.element("ValidityPeriod", |xml| validity(offer, xml));
    rights_claim(model, xml);
}

/// Days where both ends are days; a deal that ends at an instant or begins at one has times.
fn validity(offer: &Offer, xml: &mut Document) {
    match (offer.from, offer.until) {
        (Moment::Day(from), None) => xml.text("StartDate", &date(from)),
        (Moment::Day(from), Some(Moment::Day(until))) => {
            xml.text("StartDate", &date(from));
            xml.text("EndDate", &date(until));
        }
        (from, until) => {
            xml.text("StartDateTime", &start(from));
            if let Some(until) = until {
                xml.text("EndDateTime", &end(until));
            }
        }
    }
}
