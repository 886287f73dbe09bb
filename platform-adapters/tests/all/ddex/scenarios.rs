//! The releases and hand-overs whose messages are kept, in every version.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chrono::{TimeDelta, TimeZone, Utc};
use platform_adapters::{
    Handover, Kind,
    ddex::{Message, Version, build},
    package::Package,
    release::{Credits, Moment, Musician, ReleaseType, Territories, Vocalist},
};
use serde_json::{Value, json};

use super::releases::{
    album, compilation, day, ep, handover, live, lyrics, package, platform, remix, single, track,
    without_files,
};

/// A message to be made.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) specs: Value,
    pub(super) handover: Handover,
    pub(super) package: Package,
}

impl Scenario {
    fn insert(name: &'static str, package: Package) -> Self {
        Self {
            name,
            specs: json!({}),
            handover: handover(Kind::Insert),
            package,
        }
    }

    fn with(mut self, specs: Value) -> Self {
        self.specs = specs;
        self
    }

    /// What follows on a message about `before` with these settings.
    fn after(name: &'static str, kind: Kind, before: &Package, package: Package) -> Self {
        Self::after_with(name, kind, before, package, json!({}))
    }

    fn after_with(
        name: &'static str,
        kind: Kind,
        before: &Package,
        package: Package,
        specs: Value,
    ) -> Self {
        let first = build(&platform(specs.clone()), &handover(Kind::Insert), before).unwrap();
        let mut next = handover(kind);
        next.revision = 2;
        next.started_at += TimeDelta::days(10);
        next.last_stated = Some(serde_json::to_value(first.statement).unwrap());
        Self {
            name,
            specs,
            handover: next,
            package,
        }
    }

    /// The message in a version.
    pub(super) fn message(&self, version: Version) -> Message {
        let mut specs = self.specs.clone();
        specs["version"] = version.as_str().into();
        build(&platform(specs), &self.handover, &self.package).unwrap()
    }
}

/// All of them: kinds of releases, deals, and a release's life.
pub(super) fn all() -> Vec<Scenario> {
    let mut scenarios = kinds();
    scenarios.extend(deals());
    scenarios.extend(life());
    scenarios
}

fn kinds() -> Vec<Scenario> {
    vec![
        Scenario::insert("single", single()),
        Scenario::insert("ep", ep()),
        Scenario::insert("album", album()),
        Scenario::insert("compilation", compilation()),
        Scenario::insert("best_of", best_of()),
        Scenario::insert("live", live()),
        Scenario::insert("remix", remix()),
        Scenario::insert("instrumental", instrumental()),
        Scenario::insert("romanised", romanised()),
        Scenario::insert("credits", full_credits()),
        Scenario::insert("single_of_three", single_of_three()),
        Scenario::insert("lyrics", sung()).with(json!({"lyrics": true})),
        Scenario::insert("lyrics_of_a_single", sung_single()).with(json!({"lyrics": true})),
    ]
}

fn deals() -> Vec<Scenario> {
    let every_model = json!({
        "models": ["subscription", "ad-supported", "download", "user-generated"],
        "use_types": {"ad-supported": ["OnDemandStream"]},
        "genres": {"Electronic/Techno": {"genre": "Dance", "sub_genre": "Techno & House"}},
    });
    let mut of_genre = ep();
    of_genre.release.sub_genre = Some("Techno".into());
    vec![
        Scenario::insert("every_model", of_genre).with(every_model),
        Scenario::insert("pre_order", pre_order()).with(json!({"models": ["download"]})),
        Scenario::insert("timed", timed()),
        Scenario::insert("track_deals", track_deals()),
        Scenario::insert("test_message", album()).with(json!({
            "test_messages": true,
            "on_behalf_of_dpid": "PADPIDA2013020802I",
            "on_behalf_of_name": "Nordlicht Records",
        })),
    ]
}

fn life() -> Vec<Scenario> {
    let before = ep();
    let changed = |change: fn(&mut Package)| {
        let mut package = before.clone();
        change(&mut package);
        package
    };
    let update = |name, change| Scenario::after(name, Kind::Update, &before, changed(change));
    let end_dates = json!({"takedown": "end-dates"});
    vec![
        update("update_territory_added", |package| {
            package.territories = only(&["DE", "EG", "FR", "NO"]);
        }),
        update("update_territory_removed", |package| {
            package.territories = only(&["DE", "NO"]);
        }),
        update("update_track_withdrawn", |package| {
            package.tracks[3].track.availability.withdrawn = true;
        }),
        Scenario::after_with(
            "update_without_media",
            Kind::Update,
            &before,
            changed(|package| package.release.label = "Südlicht".into()),
            json!({"update_media": "when-changed"}),
        ),
        Scenario::after_with(
            "update_lyrics_without_media",
            Kind::Update,
            &sung(),
            sung(),
            json!({"update_media": "when-changed", "lyrics": true}),
        ),
        message_alone(before.clone()),
        Scenario::after(
            "takedown",
            Kind::Takedown,
            &before,
            without_files(before.clone()),
        ),
        Scenario::after_with(
            "takedown_end_dates",
            Kind::Takedown,
            &before,
            without_files(before.clone()),
            end_dates,
        ),
        Scenario::after_with(
            "takedown_purge",
            Kind::Takedown,
            &before,
            without_files(before.clone()),
            json!({"takedown": "purge"}),
        ),
    ]
}

/// The message once more, to a partner that has the files.
fn message_alone(package: Package) -> Scenario {
    let first = build(&platform(json!({})), &handover(Kind::Insert), &package).unwrap();
    let mut again = Scenario::insert("resend_message_alone", package);
    again.handover.transmission = 2;
    again.handover.started_at += TimeDelta::hours(1);
    again.handover.resend_of = Some(serde_json::to_value(first.statement).unwrap());
    again
}

/// Two of an album's tracks have words: explicit ones in English, and others in Japanese.
pub(super) fn sung() -> Package {
    let mut package = album();
    package.tracks[1].track.is_explicit = true;
    package.tracks[1].lyrics = Some(lyrics("0036000291452_01_002.txt", "Wave after wave\n"));
    let japanese = &mut package.tracks[4];
    japanese.track.title = "波".into();
    japanese.track.language = "ja".into();
    japanese.track.iswc = Some("T-034.524.680-1".into());
    japanese.lyrics = Some(lyrics("0036000291452_02_002.txt", "波の音\n"));
    package
}

fn sung_single() -> Package {
    let mut package = single();
    package.tracks[0].lyrics = Some(lyrics("0036000291452_01_001.txt", "夢のはじまり\n"));
    package
}

pub(super) fn only(codes: &[&str]) -> Territories {
    Territories::Only(codes.iter().map(ToString::to_string).collect())
}

fn best_of() -> Package {
    let mut package = package(
        ReleaseType::Compilation,
        (1..=5).map(|number| track(1, number)).collect(),
    );
    package.release.title = "Best of Åsa".into();
    package.release.original_release_date = Some(day(2020, 5, 8));
    for packaged in &mut package.tracks {
        packaged.track.p_line.as_mut().unwrap().year = 2000 + packaged.track.id % 10;
    }
    package
}

fn instrumental() -> Package {
    let mut only = track(1, 1);
    only.track.language = "zxx".into();
    only.track.subtitle = Some("Instrumental".into());
    only.track.credits.composers = vec!["Åsa Nørgård".into()];
    let mut package = package(ReleaseType::Single, vec![only]);
    package.release.language = "zxx".into();
    package
}

fn romanised() -> Package {
    let mut package = single();
    package.release.title = "Yume no Hajimari".into();
    package.release.sub_genre = Some("City Pop".into());
    package.release.artwork = Some("front.png".into());
    package.tracks[0].track.genre = None;
    package
}

fn full_credits() -> Package {
    let mut package = album();
    let musicians = [
        ("Oslo Strings", "Orchestra", None),
        ("Mari Holm", "Conductor", None),
        ("Kor Nord", "Choir", None),
        ("Jens Lund", "Session musician", Some("Violin")),
        ("Jens Lund", "", Some("Hardanger fiddle")),
        ("Bo Berg", "Arranger", None),
        ("Eli", "Programming", Some("Drum machine")),
    ];
    package.tracks[0].track.credits = Credits {
        primary_artist: vec!["Åsa Nørgård".into(), "Jón Þór".into()],
        featured_artists: vec!["美咲".into()],
        composers: vec!["Mari Holm".into()],
        lyricists: vec!["Åsa Nørgård".into()],
        producers: vec!["Jens Lund".into()],
        mixing_engineers: vec!["Dana Mix".into()],
        mastering_engineers: vec!["Max Master".into()],
        musicians: musicians
            .iter()
            .map(|(name, role, instrument)| Musician {
                name: (*name).into(),
                role: (*role).into(),
                instrument: instrument.map(str::to_owned),
            })
            .collect(),
        vocalists: vec![
            Vocalist {
                name: "Åsa Nørgård".into(),
                role: "Lead".into(),
            },
            Vocalist {
                name: "Kor Nord".into(),
                role: "Harmony".into(),
            },
        ],
    };
    package
}

fn single_of_three() -> Package {
    let mut tracks: Vec<_> = (1..=3).map(|number| track(1, number)).collect();
    tracks[1].track.subtitle = Some("Radio Edit".into());
    tracks[2].track.subtitle = Some("Kölsch Remix".into());
    package(ReleaseType::Single, tracks)
}

/// Ordered two weeks ahead.
fn pre_order() -> Package {
    let mut package = album();
    package.release.availability.pre_order_from = Some(day(2025, 11, 14));
    package
}

/// From an instant on, everywhere at once; one track goes ahead, everywhere.
fn timed() -> Package {
    let mut package = album();
    package.territories = Territories::Worldwide;
    let at = |day| Moment::Instant(Utc.with_ymd_and_hms(2025, 11, day, 5, 0, 0).unwrap());
    package.release.availability.from = Some(at(28));
    package.tracks[0].track.availability.from = Some(at(21));
    package
}

/// One track in fewer countries, one for a time, one not alone.
fn track_deals() -> Package {
    let mut package = ep();
    package.tracks[0].track.availability.territories = vec!["DE".into(), "US".into()];
    package.tracks[1].track.availability.until = Some(Moment::Day(day(2026, 12, 31)));
    package.tracks[2].track.availability.withdrawn = true;
    package
}
