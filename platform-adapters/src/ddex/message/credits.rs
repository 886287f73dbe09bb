//! Who made a recording: the artists it is shown under, and the contributors from its credits.

use super::{parties::Parties, vocabulary};
use crate::release::{Credits, Release, ReleaseType, Track};

/// An artist as shown, in the order shown.
#[derive(Debug)]
pub(super) struct DisplayArtist {
    pub(super) party: String,
    pub(super) role: &'static str,
}

/// Somebody who contributed, with all that they did.
#[derive(Debug)]
pub(super) struct Contributor {
    pub(super) party: String,
    pub(super) roles: Vec<&'static str>,
    pub(super) instruments: Vec<Instrument>,
}

impl Contributor {
    /// The role in which the contributor plays the instruments: the first of a player's; where
    /// there is none, the last role.
    pub(super) fn player_role(&self) -> Option<&'static str> {
        let mut roles = self.roles.iter().copied();
        roles
            .find(|role| vocabulary::is_player(role))
            .or(self.roles.last().copied())
    }
}

/// An instrument by DDEX's word, or by the credit's own where DDEX has none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Instrument {
    Known(&'static str),
    Own(String),
}

/// The artists that a name on a sleeve is made of: the primary ones, then the featured ones. Where
/// the credits name nobody, the name as shown is one artist, which DDEX allows for names that
/// cannot be taken apart.
pub(super) fn display_artists(
    shown: &str,
    credits: &Credits,
    parties: &mut Parties,
) -> Vec<DisplayArtist> {
    let mut artists: Vec<DisplayArtist> = Vec::new();
    let mut add = |name: &str, role: &'static str, parties: &mut Parties| {
        if let Some(party) = parties.creator(name)
            && !artists.iter().any(|artist| artist.party == party)
        {
            artists.push(DisplayArtist { party, role });
        }
    };
    if vocabulary::is_various(shown) {
        add(vocabulary::VARIOUS_ARTISTS, "MainArtist", parties);
        return artists;
    }
    for name in &credits.primary_artist {
        add(name, "MainArtist", parties);
    }
    if credits
        .primary_artist
        .iter()
        .all(|name| name.trim().is_empty())
    {
        add(shown, "MainArtist", parties);
    }
    for name in &credits.featured_artists {
        add(name, "FeaturedArtist", parties);
    }
    artists
}

/// The credits that hold for a track: its own, or the release's where it has none and the release
/// is by one artist. On a compilation the release's credits say nothing about a single track.
pub(super) fn of_track<'a>(track: &'a Track, release: &'a Release) -> &'a Credits {
    let own = track.credits != Credits::default();
    let shared = release.release_type != ReleaseType::Compilation
        && track.display_artist.trim() == release.display_artist.trim();
    if own || !shared {
        &track.credits
    } else {
        &release.credits
    }
}

/// The contributors of a recording: one entry a party, with all its roles.
pub(super) fn contributors(credits: &Credits, parties: &mut Parties) -> Vec<Contributor> {
    let mut list = Vec::new();
    let roles: [(&[String], &'static str); 5] = [
        (&credits.composers, "Composer"),
        (&credits.lyricists, "Lyricist"),
        (&credits.producers, "StudioProducer"),
        (&credits.mixing_engineers, "MixingEngineer"),
        (&credits.mastering_engineers, "MasteringEngineer"),
    ];
    for (names, role) in roles {
        for name in names {
            add(&mut list, parties, name, role, None);
        }
    }
    for musician in &credits.musicians {
        let instrument = match musician.instrument.as_deref().map(str::trim) {
            Some(word) if !word.is_empty() => Some(
                vocabulary::instrument(word)
                    .map_or_else(|| Instrument::Own(word.to_owned()), Instrument::Known),
            ),
            _ => vocabulary::instrument(&musician.role).map(Instrument::Known),
        };
        let role = vocabulary::player_role(&musician.role);
        add(&mut list, parties, &musician.name, role, instrument);
    }
    for vocalist in &credits.vocalists {
        let role = vocabulary::singer_role(&vocalist.role);
        add(&mut list, parties, &vocalist.name, role, None);
    }
    list
}

fn add(
    list: &mut Vec<Contributor>,
    parties: &mut Parties,
    name: &str,
    role: &'static str,
    instrument: Option<Instrument>,
) {
    let Some(party) = parties.creator(name) else {
        return;
    };
    let at = list.iter().position(|known| known.party == party);
    let at = at.unwrap_or_else(|| {
        list.push(Contributor {
            party,
            roles: Vec::new(),
            instruments: Vec::new(),
        });
        list.len() - 1
    });
    if let Some(contributor) = list.get_mut(at) {
        if !contributor.roles.contains(&role) {
            contributor.roles.push(role);
        }
        if let Some(instrument) = instrument
            && !contributor.instruments.contains(&instrument)
        {
            contributor.instruments.push(instrument);
        }
    }
}
