//! Discs and track numbers: which number each track gets, and what is wrong with those it has.

use super::findings::Findings;
use crate::release::Track;

/// A track at its place on the release.
pub(super) struct Placed<'a> {
    pub(super) track: &'a Track,
    /// From 1 on each disc. The track's own number, or its place in the order.
    pub(super) number: u32,
    /// How findings name it: `track 3`, on a release of several discs `disc 2 track 3`.
    pub(super) name: String,
}

/// Puts the tracks into playing order: by disc, then by number.
///
/// Where no track of the release has a number, they are numbered in the order given. Where some
/// have, all must, since the order of the others would be a guess.
pub(super) fn place<'a>(tracks: &'a [Track], findings: &mut Findings) -> Vec<Placed<'a>> {
    let mut ordered: Vec<&Track> = tracks.iter().collect();
    ordered.sort_by_key(|track| (track.disc, track.number));
    let numbered = tracks.iter().any(|track| track.number.is_some());

    let mut discs: Vec<Vec<&Track>> = Vec::new();
    for track in ordered {
        match discs.last_mut() {
            Some(disc) if disc.first().is_some_and(|first| first.disc == track.disc) => {
                disc.push(track);
            }
            _ => discs.push(vec![track]),
        }
    }
    let several = discs.len() > 1;
    let mut placed = Vec::with_capacity(tracks.len());
    for (index, disc) in discs.iter().enumerate() {
        let number = disc.first().map_or(0, |first| first.disc);
        check_disc_number(number, index + 1, findings);
        if numbered {
            check_numbers(number, disc, several, findings);
        }
        placed.extend(disc.iter().zip(1..).map(|(track, place)| Placed {
            track,
            number: place,
            name: if several {
                format!("disc {number} track {place}")
            } else {
                format!("track {place}")
            },
        }));
    }
    placed
}

fn check_disc_number(number: u32, expected: usize, findings: &mut Findings) {
    if usize::try_from(number) != Ok(expected) {
        findings.add(
            format!("disc {number}"),
            format!("is number {expected} of the release's discs in order"),
            "Number the discs 1, 2, 3 without gaps in the tracks' metadata.disc_number.",
        );
    }
}

/// `disc` is in order, so its numbers must be 1, 2, 3 ….
fn check_numbers(number: u32, disc: &[&Track], several: bool, findings: &mut Findings) {
    let sound = disc
        .iter()
        .zip(1..)
        .all(|(track, place)| track.number == Some(place));
    if sound {
        return;
    }
    let numbers: Vec<String> = disc
        .iter()
        .map(|track| {
            track
                .number
                .map_or("none".into(), |number| number.to_string())
        })
        .collect();
    findings.add(
        if several {
            format!("disc {number} track numbers")
        } else {
            "track numbers".into()
        },
        format!(
            "are {}, they must go from 1 to {}",
            numbers.join(", "),
            disc.len()
        ),
        "Number the tracks of each disc 1, 2, 3 without gaps and repetitions, or leave all \
         numbers of the release empty.",
    );
}
