//! What a message says, decided before it is written.

use std::time::Duration;

use super::{
    super::version::Version,
    credits::{self, Contributor, DisplayArtist},
    deals, duration, genre, language,
    offers::{self, Item, Offer, Statement},
    parties::Parties,
    profile::Profile,
    vocabulary,
};
use crate::{
    Code, Fault, Finding, Handover, Kind,
    package::{Package, PackagedFile, PackagedTrack},
    release::Territories,
    settings::{
        Choreography, DdexSpecs, GenreWords, Platform, TakedownForm, UpdateMedia, WithdrawalForm,
    },
};

/// What a message says.
pub(super) struct Plan<'a> {
    pub(super) platform: &'a Platform,
    pub(super) specs: &'a DdexSpecs,
    pub(super) handover: &'a Handover,
    pub(super) package: &'a Package,
    pub(super) version: Version,
    pub(super) profile: Profile,
    pub(super) icpn: String,
    pub(super) parties: Parties,
    pub(super) label: String,
    pub(super) artists: Vec<DisplayArtist>,
    pub(super) recordings: Vec<Recording<'a>>,
    /// The files go with the message.
    pub(super) has_media: bool,
    /// What the message's deals say, ended ones last. Empty where there are none.
    pub(super) offers: Vec<Offer>,
    pub(super) statement: Statement,
    pub(super) withdrawals: Vec<String>,
}

/// The lyrics of a recording, as a resource of their own.
pub(super) struct Lyrics<'p, 'a> {
    /// After the cover's: in `A14` and `T14`.
    pub(super) number: usize,
    pub(super) recording: &'p Recording<'a>,
    pub(super) file: &'a PackagedFile,
}

impl Lyrics<'_, '_> {
    pub(super) fn resource_reference(&self) -> String {
        format!("A{}", self.number)
    }

    /// Whether the text is written with the letters of ASCII alone.
    pub(super) fn is_ascii(&self) -> bool {
        self.file.text.as_ref().is_some_and(|text| text.is_ascii())
    }

    /// What the text is known by: the recording's id, which is unique on the release.
    pub(super) fn id(&self) -> String {
        format!("{}_LYRICS", self.recording.release_id)
    }
}

/// A distinct recording: the same code and the same audio.
pub(super) struct Recording<'a> {
    /// From 1: in `A1`, `T1` and `R1`.
    pub(super) number: usize,
    /// The first track that has it.
    pub(super) track: &'a PackagedTrack,
    /// Unique to the recording on this release and the same at every update. Only where a release
    /// carries one ISRC for different recordings does the later one get its number too.
    pub(super) release_id: String,
    pub(super) artists: Vec<DisplayArtist>,
    pub(super) contributors: Vec<Contributor>,
}

impl Recording<'_> {
    pub(super) fn resource_reference(&self) -> String {
        format!("A{}", self.number)
    }

    pub(super) fn release_reference(&self) -> String {
        format!("R{}", self.number)
    }
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        platform: &'a Platform,
        handover: &'a Handover,
        package: &'a Package,
    ) -> Result<Self, Fault> {
        let (specs, version) = specs(platform)?;
        let release = &package.release;
        if handover.kind != Kind::Takedown {
            deals::check_territories(package)?;
            check_cover(package)?;
        }
        let mut parties = Parties::default();
        let artists =
            credits::display_artists(&release.display_artist, &release.credits, &mut parties);
        let label = parties.label(&release.label).ok_or_else(|| {
            missing(
                "label",
                "the release has no label",
                "Give the release a label.",
            )
        })?;
        let icpn = package.upc.to_gtin13();
        let recordings = recordings(package, &icpn, &mut parties);
        let mut plan = Self {
            profile: Profile::of(platform, specs, version, package, recordings.len())?,
            platform,
            specs,
            handover,
            package,
            version,
            icpn,
            parties,
            label,
            artists,
            recordings,
            has_media: false,
            offers: Vec::new(),
            statement: Statement::default(),
            withdrawals: Vec::new(),
        };
        plan.decide()?;
        Ok(plan)
    }

    /// Decides what is offered, what is withdrawn, and whether files go with the message.
    fn decide(&mut self) -> Result<(), Fault> {
        let models = deals::models(self.platform, self.specs)?;
        let before = statement(self.handover.last_stated.as_ref())?;
        let items = self.items();
        let offered = offers::of_package(self.package, &items, &models);
        if self.handover.kind == Kind::Takedown {
            self.offers = self.ended(before, offered);
            return Ok(());
        }
        let media = self.package.files().map(|file| file.sha256.clone());
        let mut media: Vec<String> = media.collect();
        media.sort();
        let statement = Statement {
            offers: offered.clone(),
            media,
        };
        let mut offers = offered;
        let mut withdrawals = Vec::new();
        let has_media = self.needs_media(before.as_ref(), &statement)?;
        if let Some(before) = before {
            let at = self.handover.started_at;
            let withdrawn = offers::withdrawn(&before, &offers, &items, at);
            withdrawals = withdrawn.words();
            if self.specs.withdrawal == WithdrawalForm::EndDates {
                offers.extend(withdrawn.ended);
            }
        }
        self.offers = offers;
        self.has_media = has_media;
        self.statement = statement;
        self.withdrawals = withdrawals;
        Ok(())
    }

    /// Whether the files go with the message. Never without, where one of them is not what the
    /// partner has.
    fn needs_media(&self, before: Option<&Statement>, now: &Statement) -> Result<bool, Fault> {
        let handover = self.handover;
        if let Some(sent) = statement(handover.resend_of.as_ref())? {
            return Ok(sent.media != now.media);
        }
        Ok(self.specs.update_media == UpdateMedia::Always
            || handover.kind != Kind::Update
            || handover.transmission > 1
            || before.is_none_or(|before| before.media != now.media))
    }

    /// The release is to be forgotten.
    pub(super) fn is_purge(&self) -> bool {
        self.handover.kind == Kind::Takedown
            && (self.handover.purges || self.specs.takedown == TakedownForm::Purge)
    }

    fn items(&self) -> Vec<Item<'a>> {
        let tracks = self.track_releases().iter();
        tracks
            .map(|recording| Item {
                id: recording.release_id.clone(),
                availability: &recording.track.track.availability,
            })
            .collect()
    }

    /// A takedown's deals: none, or what was offered with its end.
    fn ended(&self, before: Option<Statement>, offered: Vec<Offer>) -> Vec<Offer> {
        if self.specs.takedown != TakedownForm::EndDates {
            return Vec::new();
        }
        let offers = before.map_or(offered, |before| before.offers);
        let mut ended = offers::ended(&offers, self.handover.started_at);
        ended.retain(|offer| offer.territories != Territories::Only(Vec::new()));
        ended
    }

    /// The language and script of the message's titles: the release's. A release without words says
    /// nothing of its titles' language, and a message must name one.
    pub(super) fn language(&self) -> String {
        let release = &self.package.release;
        language::language_and_script(&release.language, &release.title)
            .unwrap_or_else(|| "en".into())
    }

    /// The language and script of a recording's titles, where they are not the message's.
    pub(super) fn own_language(&self, recording: &Recording<'_>) -> Option<String> {
        let track = &recording.track.track;
        language::language_and_script(&track.language, &track.title)
            .filter(|language| *language != self.language())
    }

    /// The files, each once, in the message's order.
    pub(super) fn files(&self) -> Vec<PackagedFile> {
        if !self.has_media {
            return Vec::new();
        }
        let audio = self.recordings.iter().filter_map(|recording| {
            let audio = recording.track.audio.as_ref()?;
            Some(&audio.file)
        });
        let cover = self.package.artwork.iter().map(|artwork| &artwork.file);
        let lyrics = self.lyrics().map(|lyrics| lyrics.file);
        audio.chain(cover).chain(lyrics).cloned().collect()
    }

    /// The lyrics that go along, in the order of their recordings.
    pub(super) fn lyrics(&self) -> impl Iterator<Item = Lyrics<'_, 'a>> {
        let sung = self.recordings.iter().filter_map(|recording| {
            let file = recording.track.lyrics.as_ref()?;
            Some((recording, file))
        });
        let first = self.cover_number() + 1;
        (first..)
            .zip(sung)
            .map(|(number, (recording, file))| Lyrics {
                number,
                recording,
                file,
            })
    }

    /// The lyrics of a recording, where they go along.
    pub(super) fn lyrics_of(&self, recording: &Recording<'_>) -> Option<Lyrics<'_, 'a>> {
        recording.track.lyrics.as_ref()?;
        self.lyrics()
            .find(|lyrics| lyrics.recording.number == recording.number)
    }

    /// The recordings that have a track release of their own.
    pub(super) fn track_releases(&self) -> &[Recording<'a>] {
        match self.profile {
            Profile::SimpleAudioSingle => &[],
            Profile::Audio | Profile::AudioAlbumMusicOnly | Profile::AudioSingle => {
                &self.recordings
            }
        }
    }

    /// The deals: references of the releases that have the same offers, and these. Each release
    /// stands in one place only.
    pub(super) fn deals(&self) -> Vec<(Vec<String>, Vec<&Offer>)> {
        let tracks = self.track_releases().iter();
        let tracks = tracks.map(|recording| {
            let id = recording.release_id.as_str();
            (id, recording.release_reference())
        });
        let mut groups: Vec<(Vec<String>, Vec<&Offer>)> = Vec::new();
        for (id, reference) in std::iter::once((offers::RELEASE, "R0".to_owned())).chain(tracks) {
            let named = |offer: &&Offer| offer.of.iter().any(|named| named == id);
            let offers: Vec<&Offer> = self.offers.iter().filter(named).collect();
            match groups.iter_mut().find(|(_, known)| *known == offers) {
                _ if offers.is_empty() => {}
                Some((references, _)) => references.push(reference),
                None => groups.push((vec![reference], offers)),
            }
        }
        groups
    }

    /// The recording that a track of the package plays.
    pub(super) fn recording_of(&self, track: &PackagedTrack) -> Option<&Recording<'a>> {
        self.recordings
            .iter()
            .find(|recording| same_recording(recording.track, track))
    }

    /// The discs in order, each with its tracks.
    pub(super) fn discs(&self) -> Vec<Vec<&'a PackagedTrack>> {
        let mut discs: Vec<Vec<&PackagedTrack>> = Vec::new();
        for track in &self.package.tracks {
            let number = |track: &PackagedTrack| track.track.disc;
            match discs.last_mut() {
                Some(disc) if disc.first().map(|first| number(first)) == Some(number(track)) => {
                    disc.push(track);
                }
                _ => discs.push(vec![track]),
            }
        }
        discs
    }

    /// The cover's reference: the resource after the last recording.
    pub(super) fn cover_number(&self) -> usize {
        self.recordings.len() + 1
    }

    pub(super) fn is_explicit(&self) -> bool {
        let tracks = &self.package.tracks;
        self.package.release.is_explicit || tracks.iter().any(|track| track.track.is_explicit)
    }

    /// The release's playing time as the message's durations add up to it.
    pub(super) fn playing_time(&self) -> Duration {
        self.package.tracks.iter().map(duration).sum()
    }

    /// Genre and sub-genre in the partner's words: of a track, or where it has none of the release.
    pub(super) fn genre(&self, track: Option<&PackagedTrack>) -> GenreWords {
        let words = &self.specs.genres;
        let of_track = track.and_then(|track| {
            let track = &track.track;
            genre::of(track.genre.as_deref(), track.sub_genre.as_deref(), words)
        });
        let release = &self.package.release;
        let of_release = || {
            let (genre, sub_genre) = (release.genre.as_deref(), release.sub_genre.as_deref());
            genre::of(genre, sub_genre, words)
        };
        of_track.or_else(of_release).unwrap_or_else(|| GenreWords {
            genre: vocabulary::NO_GENRE.into(),
            sub_genre: None,
        })
    }
}

/// What the partner was told of this release, as an earlier receipt holds it.
fn statement(stated: Option<&serde_json::Value>) -> Result<Option<Statement>, Fault> {
    stated
        .map(|stated| serde_json::from_value(stated.clone()))
        .transpose()
        .map_err(|error| {
            Fault::new(
                Code::WorkerFault,
                format!("what the partner was told of the release cannot be read: {error}"),
            )
        })
}

/// The platform's DDEX settings, and the version that they name.
pub(super) fn specs(platform: &Platform) -> Result<(&DdexSpecs, Version), Fault> {
    let wrong = |key: &str, problem: String| {
        Fault::new(
            Code::SettingsInvalid,
            format!(
                "format_specs.ddex{key} of platform {} ({:?}) {problem}",
                platform.id, platform.name
            ),
        )
    };
    let specs = platform.format_specs.ddex.as_ref().ok_or_else(|| {
        wrong(
            "",
            "is missing; it names sender_dpid and recipient_dpid".into(),
        )
    })?;
    let version = Version::of_number(&specs.version).ok_or_else(|| {
        let spoken = Version::ALL.map(Version::as_str).join(", ");
        wrong(
            ".version",
            format!("is {:?}; {spoken} are supported", specs.version),
        )
    })?;
    let purges = [
        (
            ".takedown",
            "\"purge\"",
            specs.takedown == TakedownForm::Purge,
        ),
        (".purge", "true", specs.purge),
    ];
    let purges = purges.into_iter().find(|(_, _, purges)| *purges);
    if let (Choreography::Batch, Some((key, value, _))) = (specs.choreography, purges) {
        let why =
            "and no batch can hold a PurgeReleaseMessage: DDEX's choreography has no word for it";
        return Err(wrong(key, format!("is {value}, {why}")));
    }
    Ok((specs, version))
}

fn recordings<'a>(package: &'a Package, icpn: &str, parties: &mut Parties) -> Vec<Recording<'a>> {
    let mut recordings: Vec<Recording<'a>> = Vec::new();
    for track in &package.tracks {
        if recordings
            .iter()
            .any(|known| same_recording(known.track, track))
        {
            continue;
        }
        let held = credits::of_track(&track.track, &package.release);
        let artists = credits::display_artists(&track.track.display_artist, held, parties);
        let contributors = credits::contributors(held, parties);
        let number = recordings.len() + 1;
        let isrc = &track.isrc;
        let is_double = recordings.iter().any(|other| other.track.isrc == *isrc);
        recordings.push(Recording {
            number,
            track,
            release_id: match is_double {
                true => format!("{icpn}_{isrc}_{number}"),
                false => format!("{icpn}_{isrc}"),
            },
            artists,
            contributors,
        });
    }
    recordings
}

/// An ISRC alone is no key: catalogues carry wrong ones. Without files there is nothing else.
fn same_recording(one: &PackagedTrack, other: &PackagedTrack) -> bool {
    let sum = |track: &PackagedTrack| track.audio.as_ref().map(|audio| audio.file.sha256.clone());
    one.isrc == other.isrc && sum(one) == sum(other)
}

fn check_cover(package: &Package) -> Result<(), Fault> {
    if package.artwork.is_none() {
        return Err(missing(
            "artwork",
            "the release has no front cover",
            "Give the release artwork.",
        ));
    }
    Ok(())
}

fn missing(field: &str, problem: &str, remedy: &str) -> Fault {
    Fault::package_invalid(vec![Finding {
        field: field.into(),
        problem: problem.into(),
        remedy: remedy.into(),
    }])
}
