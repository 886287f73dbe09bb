//! `PurgeReleaseMessage`: the release is to be forgotten, as if it had never been there. It names the
//! release by its bar code, and for people by its title and artists.

use super::{super::version::Version, super::xml::Document, Plan, ern3, header, vocabulary};

/// Writes the message.
pub(super) fn write(plan: &Plan<'_>, xml: &mut Document) {
    let language = plan.language();
    let (edition, contributor) = match plan.version {
        Version::Ern382 => (
            ("MessageSchemaVersionId", ern3::SCHEMA),
            "ResourceContributor",
        ),
        Version::Ern43 | Version::Ern432 => {
            (("AvsVersionId", vocabulary::AVS_VERSION), "Contributor")
        }
    };
    let attributes = [
        ("xmlns:ern", plan.version.namespace()),
        edition,
        ("LanguageAndScriptCode", &language),
    ];
    xml.element_with("ern:PurgeReleaseMessage", &attributes, |xml| {
        header::write(plan, xml);
        xml.element("PurgedRelease", |xml| release(plan, contributor, xml));
    });
}

fn release(plan: &Plan<'_>, contributor: &str, xml: &mut Document) {
    let release = &plan.package.release;
    xml.element("ReleaseId", |xml| match plan.version {
        Version::Ern382 => ern3::icpn(plan, xml),
        Version::Ern43 | Version::Ern432 => xml.text("ICPN", &plan.icpn),
    });
    xml.element("Title", |xml| {
        ern3::parts(&release.title, release.subtitle.as_deref(), xml);
    });
    for (at, artist) in plan.artists.iter().enumerate() {
        let number = (at + 1).to_string();
        xml.element_with(contributor, &[("SequenceNumber", &number)], |xml| {
            ern3::party_name(plan, &artist.party, xml);
        });
    }
}
