//! Kept messages: at least forty over the three versions. They are as they were, valid by DDEX's
//! schemas, and say to their recipient what was meant.
#![allow(clippy::unwrap_used)]

use platform_adapters::ddex::{Message, ReceivedMessage, Version, read_message};

use super::{
    scenarios::{Scenario, all},
    schemas::{assert_valid, schemas},
};

fn each() -> impl Iterator<Item = (String, Scenario, Message)> {
    all().into_iter().flat_map(|scenario| {
        Version::ALL.map(|version| {
            let number = version.as_str().replace('.', "");
            let scenario = Scenario {
                name: scenario.name,
                specs: scenario.specs.clone(),
                handover: scenario.handover.clone(),
                package: scenario.package.clone(),
            };
            let message = scenario.message(version);
            (format!("{number}_{}.xml", scenario.name), scenario, message)
        })
    })
}

fn find(messages: &[(String, ReceivedMessage)], name: &str) -> Vec<ReceivedMessage> {
    let found: Vec<_> = messages
        .iter()
        .filter(|(known, _)| known.ends_with(&format!("_{name}.xml")))
        .map(|(_, message)| message.clone())
        .collect();
    assert_eq!(found.len(), 3, "{name}");
    found
}

#[test]
fn messages_are_as_they_were() {
    for (name, _, message) in each() {
        insta::assert_binary_snapshot!(&name, message.xml);
    }
}

#[tokio::test]
async fn every_kept_message_is_valid_by_ddexs_schema() {
    let Some(schemas) = schemas("every_kept_message_is_valid_by_ddexs_schema") else {
        return;
    };
    let mut count = 0;
    for (name, _, message) in each() {
        let namespace = message.version.namespace();
        assert_valid(&schemas, namespace, &name, &message.xml).await;
        count += 1;
    }
    assert!(count >= 40, "only {count}");
}

/// What the model carries comes back from every version.
#[test]
fn a_recipient_reads_from_every_version_what_was_meant() {
    for (
        name,
        Scenario {
            package, handover, ..
        },
        message,
    ) in each()
    {
        let read = read_message(&message.xml).unwrap();
        assert_eq!(read.is_purge, name.ends_with("_purge.xml"), "{name}");
        if read.is_purge {
            // It says no more than which release is meant.
            assert_eq!(read.message_id, handover.key(), "{name}");
            assert_eq!(read.release.icpn, "0036000291452", "{name}");
            assert_eq!(read.release.title, package.release.title, "{name}");
            assert!(!read.has_deals && message.files.is_empty(), "{name}");
            continue;
        }
        assert_eq!(read.version, message.version, "{name}");
        assert_eq!(read.message_id, handover.key(), "{name}");
        assert_eq!(read.thread_id, "0036000291452-7", "{name}");
        let release = &package.release;
        assert_eq!(read.release.icpn, "0036000291452", "{name}");
        assert_eq!(read.release.label, release.label, "{name}");
        let date = release.release_date.to_string();
        assert_eq!(read.release.release_date, Some(date), "{name}");
        assert!(read.release.p_line.is_some(), "{name}");
        let explicit = release.is_explicit || package.tracks.iter().any(|t| t.track.is_explicit);
        assert_eq!(
            read.release.parental_warning == "Explicit",
            explicit,
            "{name}"
        );
        assert_eq!(read.recordings.len(), package.tracks.len(), "{name}");
        for (read, track) in read.recordings.iter().zip(&package.tracks) {
            assert_eq!(read.isrc, track.isrc.as_str(), "{name}");
            assert_eq!(read.title, track.track.title, "{name}");
            assert_eq!(read.display_artist, track.track.display_artist, "{name}");
            assert_eq!(
                read.parental_warning == "Explicit",
                track.track.is_explicit,
                "{name}"
            );
        }
        let order: Vec<&String> = read.release.discs.iter().flatten().collect();
        let references: Vec<&String> = read.recordings.iter().map(|r| &r.reference).collect();
        assert_eq!(order, references, "{name}");
        assert_eq!(read.resources.len(), message.files.len(), "{name}");
        for (resource, file) in read.resources.iter().zip(&message.files) {
            assert_eq!(resource.uri, format!("resources/{}", file.name), "{name}");
            assert_eq!(resource.hash, file.md5, "{name}");
        }
    }
}

#[test]
fn every_version_credits_the_same_people() {
    let read: Vec<_> = each()
        .map(|(name, _, message)| (name, read_message(&message.xml).unwrap()))
        .collect();
    let [old, first, second] = find(&read, "credits").try_into().unwrap();
    let first = first.recordings.into_iter().next().unwrap();
    let second = second.recordings.into_iter().next().unwrap();
    assert_eq!(first.contributors, second.contributors);
    assert_eq!(first.artists, second.artists);
    let old = old.recordings.into_iter().next().unwrap();
    assert_eq!(old.artists, first.artists);
    let mut names: Vec<_> = first.contributors.iter().map(|(name, _)| name).collect();
    let mut old_names: Vec<_> = old.contributors.iter().map(|(name, _)| name).collect();
    for names in [&mut names, &mut old_names] {
        names.sort();
        names.dedup();
    }
    assert_eq!(names, old_names);
    let composer = ("Mari Holm".to_owned(), "Composer".to_owned());
    assert!(old.contributors.contains(&composer));
    assert!(first.contributors.contains(&composer));
}

#[test]
fn every_version_ties_words_to_their_recordings() {
    let mut read = Vec::new();
    for (name, scenario, message) in each() {
        let sung = scenario.package.tracks.iter().map(|track| &track.lyrics);
        let sung: Vec<bool> = sung.map(Option::is_some).collect();
        let message = read_message(&message.xml).unwrap();
        if !message.is_purge {
            let tied = message.recordings.iter().map(|one| one.lyrics.is_some());
            assert_eq!(tied.collect::<Vec<_>>(), sung, "{name}");
        }
        read.push((name, message));
    }
    for message in find(&read, "lyrics") {
        let files: Vec<&str> = message
            .resources
            .iter()
            .map(|one| one.uri.as_str())
            .collect();
        // Recordings, cover, words.
        assert_eq!(files.len(), 9);
        assert_eq!(
            files[7..],
            [
                "resources/0036000291452_01_002.txt",
                "resources/0036000291452_02_002.txt",
            ]
        );
        let tied: Vec<_> = message.recordings.iter().map(|one| &one.lyrics).collect();
        assert_eq!(tied[1].as_deref(), Some("A8"));
        assert_eq!(tied[4].as_deref(), Some("A9"));
    }
}

#[test]
fn deals_say_when_where_and_how() {
    let read: Vec<_> = each()
        .map(|(name, _, message)| (name, read_message(&message.xml).unwrap()))
        .collect();
    for message in find(&read, "every_model") {
        let models: Vec<_> = message
            .deals
            .iter()
            .map(|deal| (deal.commercial_models.join(""), deal.use_types.join(" ")))
            .collect();
        let expected = [
            (
                "SubscriptionModel",
                "ConditionalDownload NonInteractiveStream OnDemandStream",
            ),
            ("AdvertisementSupportedModel", "OnDemandStream"),
            ("PayAsYouGoModel", "PermanentDownload"),
            ("RightsClaimModel", "UserMakeAvailableUserProvided"),
        ];
        let expected = expected.map(|(model, uses)| (model.to_owned(), uses.to_owned()));
        assert_eq!(models, expected);
        assert_eq!(message.release.genre, "Dance");
        assert_eq!(message.release.sub_genre.as_deref(), Some("Techno & House"));
    }
    for message in find(&read, "pre_order") {
        let ordered = message.deals.iter().find(|deal| deal.is_pre_order).unwrap();
        assert_eq!(ordered.releases, ["R0"]);
        assert!(ordered.start.as_ref().unwrap().starts_with("2025-11-14"));
        assert!(ordered.end.as_ref().unwrap().starts_with("2025-11-27"));
    }
    for message in find(&read, "timed") {
        let ahead = message
            .deals
            .iter()
            .find(|deal| deal.releases == ["R1"])
            .unwrap();
        assert_eq!(ahead.start.as_deref(), Some("2025-11-21T05:00:00Z"));
        assert_eq!(ahead.territories, ["Worldwide"]);
    }
    for message in find(&read, "track_deals") {
        let of = |reference: &str| {
            let mut deals = message.deals.iter();
            deals.find(|deal| deal.releases.iter().any(|release| release == reference))
        };
        assert_eq!(of("R1").unwrap().territories, ["DE"]);
        assert!(
            of("R2")
                .unwrap()
                .end
                .as_ref()
                .unwrap()
                .starts_with("2026-12-31")
        );
        assert_eq!(of("R3"), None);
        assert_eq!(of("R4"), of("R0"));
    }
}

#[test]
fn what_vanishes_from_an_update_is_ended() {
    for (name, _, message) in each() {
        let read = read_message(&message.xml).unwrap();
        let ended: Vec<_> = read
            .deals
            .iter()
            .filter(|deal| {
                deal.end
                    .as_ref()
                    .is_some_and(|end| end.starts_with("2025-12-04"))
            })
            .collect();
        if name.ends_with("update_territory_removed.xml") {
            assert_eq!(ended.len(), 2, "{name}");
            assert!(
                ended.iter().all(|deal| deal.territories == ["EG"]),
                "{name}"
            );
            assert!(ended.iter().all(|deal| deal.releases.len() == 5), "{name}");
            assert_eq!(
                message.withdrawals,
                [
                    "ends subscription of the release and 4 tracks in EG",
                    "ends ad-supported of the release and 4 tracks in EG",
                ]
            );
        } else if name.ends_with("update_track_withdrawn.xml") {
            assert!(ended.iter().all(|deal| deal.releases == ["R4"]), "{name}");
            assert_eq!(ended.len(), 2, "{name}");
        } else if name.ends_with("takedown_end_dates.xml") {
            assert_eq!(ended.len(), read.deals.len(), "{name}");
            assert!(!read.has_deals && !ended.is_empty(), "{name}");
        } else {
            assert!(ended.is_empty() && message.withdrawals.is_empty(), "{name}");
        }
        if name.ends_with("_without_media.xml") || name.ends_with("resend_message_alone.xml") {
            assert!(message.files.is_empty() && read.has_deals, "{name}");
        }
        if name.ends_with("takedown.xml") {
            assert!(read.deals.is_empty(), "{name}");
        }
    }
}
