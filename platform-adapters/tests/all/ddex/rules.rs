//! Rules beyond the schema: kept messages keep them, and what breaks one is named.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use platform_adapters::ddex::{Version, check_rules};

use super::scenarios::all;

#[test]
fn every_kept_message_keeps_the_rules() {
    for scenario in all() {
        for version in Version::ALL {
            let message = scenario.message(version);
            let found = check_rules(&message.xml).unwrap();
            assert!(
                found.is_empty(),
                "{} in {version}: {found:?}",
                scenario.name
            );
        }
    }
}

/// A resource that the release does not hold, before its cover.
const LOOSE_TEXT: &str =
    "<Text><ResourceReference>A77</ResourceReference><Type>LyricText</Type></Text><Image>";

/// What is said of the album's message with the first occurrence of a part replaced.
fn altered(version: Version, from: &str, to: &str) -> Vec<String> {
    altered_of("album", version, from, to)
}

fn altered_of(name: &str, version: Version, from: &str, to: &str) -> Vec<String> {
    let scenario = all().into_iter().find(|one| one.name == name).unwrap();
    let xml = String::from_utf8(scenario.message(version).xml).unwrap();
    assert!(xml.contains(from), "{from} is not in {xml}");
    check_rules(xml.replacen(from, to, 1).as_bytes()).unwrap()
}

#[test]
fn what_breaks_a_rule_is_named() {
    let new = [Version::Ern43, Version::Ern432].as_slice();
    let old = [Version::Ern382].as_slice();
    let every = Version::ALL.as_slice();
    let last = "<HashSumValue>00000000000000000000000000000384</HashSumValue>";
    for (versions, from, to, words) in [
        (
            every,
            "<DealReleaseReference>R1<",
            "<DealReleaseReference>R9<",
            "leads to no",
        ),
        (
            every,
            "<ReleaseReference>R1<",
            "<ReleaseReference>R2<",
            "given twice",
        ),
        (
            new,
            "<ArtistPartyReference>P1<",
            "<ArtistPartyReference>P99<",
            "P99",
        ),
        (new, "</Release>", "</Release><Release/>", "2 main releases"),
        (
            old,
            "IsMainRelease=\"true\"",
            "IsMainRelease=\"false\"",
            "0 main releases",
        ),
        (
            new,
            ">FrontCoverImage<",
            ">BackCoverImage<",
            "0 front covers",
        ),
        (
            old,
            ">FrontCoverImage<",
            ">BackCoverImage<",
            "0 front covers",
        ),
        (new, last, "", "no hash sum"),
        (
            every,
            "<FullName>TuneMantra<",
            "<FullName><",
            "FullName is empty",
        ),
        (
            every,
            ">TuneMantra<",
            ">Tune\u{85}Mantra<",
            "control character",
        ),
        (every, ">TuneMantra<", ">A\u{30a}sa<", "normal form C"),
        (
            every,
            ">PADPIDA2014120301C<",
            ">PA-DPIDA-2014120301-C<",
            "no DPID",
        ),
        (every, ">0036000291452<", ">0036000291453<", "no bar code"),
        (
            every,
            "<SequenceNumber>2<",
            "<SequenceNumber>3<",
            "sequence numbers",
        ),
        (
            every,
            "<DisplayArtist SequenceNumber=\"1\"",
            "<DisplayArtist",
            "sequence numbers",
        ),
        (new, "<Image>", LOOSE_TEXT, "A77 is part of no release"),
    ] {
        for version in versions {
            let found = altered(*version, from, to);
            assert!(
                found.iter().any(|finding| finding.contains(words)),
                "{version}, {to}: {found:?}"
            );
        }
    }
}

#[test]
fn a_release_without_a_date_is_named() {
    let scenario = all().into_iter().find(|one| one.name == "album").unwrap();
    for version in Version::ALL {
        let xml = String::from_utf8(scenario.message(version).xml).unwrap();
        let found = check_rules(xml.replace("ReleaseDate", "Day").as_bytes()).unwrap();
        assert!(found[0].contains("neither ReleaseDate"), "{found:?}");
    }
}

#[test]
fn a_purge_names_its_release_and_its_artists_in_order() {
    for version in Version::ALL {
        let found = |from, to| altered_of("takedown_purge", version, from, to);
        assert_eq!(
            found(">0036000291452<", ">0036000291453<"),
            ["the ICPN \"0036000291453\" is no bar code"]
        );
        let wrong = found("SequenceNumber=\"1\"", "SequenceNumber=\"2\"");
        assert!(wrong[0].contains("sequence numbers 2"), "{wrong:?}");
        let unnamed = found(">TuneMantra<", "><");
        assert_eq!(unnamed, ["FullName is empty"]);
    }
}
