//! `MessageHeader`: who sends which message to whom, when, and whether it counts.

use chrono::SecondsFormat;

use super::{super::xml::Document, Plan};
use crate::release::Dpid;

/// Writes `MessageHeader`.
pub(super) fn write(plan: &Plan<'_>, xml: &mut Document) {
    let recipient_name = plan
        .specs
        .recipient_name
        .as_deref()
        .unwrap_or(&plan.platform.name);
    let control = if plan.specs.test_messages {
        "TestMessage"
    } else {
        "LiveMessage"
    };
    xml.element("MessageHeader", |xml| {
        xml.text("MessageThreadId", &thread(plan));
        xml.text("MessageId", &plan.handover.key());
        xml.element("MessageSender", |xml| {
            party(xml, &plan.specs.sender_dpid, &plan.specs.sender_name);
        });
        if let Some(dpid) = &plan.specs.on_behalf_of_dpid {
            let name = plan.specs.on_behalf_of_name.as_deref();
            xml.element("SentOnBehalfOf", |xml| {
                party(xml, dpid, name.unwrap_or(&plan.specs.sender_name));
            });
        }
        xml.element("MessageRecipient", |xml| {
            party(xml, &plan.specs.recipient_dpid, recipient_name);
        });
        xml.text(
            "MessageCreatedDateTime",
            &plan
                .handover
                .started_at
                .to_rfc3339_opts(SecondsFormat::Secs, true),
        );
        xml.text("MessageControlType", control);
    });
}

/// One thread for all messages about a release on a platform, whatever delivery they are of.
fn thread(plan: &Plan<'_>) -> String {
    format!("{}-{}", plan.icpn, plan.platform.id)
}

fn party(xml: &mut Document, dpid: &Dpid, name: &str) {
    xml.text("PartyId", dpid.as_str());
    xml.element("PartyName", |xml| xml.text("FullName", name));
}
