//! AAC in MP4 (`.m4a`): the boxes that say what the only audio track is, and whether the file holds
//! all that they promise. Layout and names are those of ISO/IEC 14496-12.

use bytes::{Buf, Bytes};

use super::{Content, EXPORT_AGAIN, Probed, duration};
use crate::package::{
    AudioCodec, AudioProperties,
    findings::{Objection, ProbeError},
    reader::Reader,
};

/// More boxes than a file with one track has beside each other.
const BOXES_LIMIT: usize = 1_000;

const COPY_AGAIN: &str = "Copy the file into the asset store again, or export it again.";

/// A box: its name and where its content is.
#[derive(Clone, Copy)]
struct Place {
    name: [u8; 4],
    from: u64,
    to: u64,
}

pub(super) async fn probe(file: &mut Reader<'_>) -> Result<Probed, ProbeError> {
    let size = file.size();
    let top = boxes(file, 0, size).await?;
    let Some(moov) = find(&top, *b"moov") else {
        return Err(Objection::new(
            "is truncated, or no sound MP4 file: it does not say what it holds (moov)",
            COPY_AGAIN,
        )
        .into());
    };
    if find(&top, *b"mdat").is_none() {
        return Err(Objection::new("holds no audio", EXPORT_AGAIN).into());
    }
    let mut found = None;
    for track in boxes(file, moov.from, moov.to).await? {
        if track.name == *b"trak"
            && let Some(described) = audio_track(file, track).await?
        {
            if found.is_some() {
                return Err(Objection::new("holds several audio tracks", EXPORT_AGAIN).into());
            }
            found = Some(described);
        }
    }
    let properties = found.ok_or_else(|| Objection::new("holds no audio track", EXPORT_AGAIN))?;
    Ok(Probed {
        properties,
        content: Content::Opaque,
        objections: Vec::new(),
    })
}

/// The boxes beside each other in a part of the file; each must end within it.
async fn boxes(file: &mut Reader<'_>, from: u64, to: u64) -> Result<Vec<Place>, ProbeError> {
    let mut at = from;
    let mut found = Vec::new();
    while at < to && found.len() < BOXES_LIMIT {
        let mut header = file.read(at, 16).await?;
        if header.len() < 8 {
            return Err(cut().into());
        }
        let short = u64::from(header.get_u32());
        let mut name = [0; 4];
        header.copy_to_slice(&mut name);
        let (head, length) = match short {
            0 => (8, to - at),
            1 if header.len() >= 8 => (16, header.get_u64()),
            length => (8, length),
        };
        let end = at
            .checked_add(length)
            .filter(|end| *end <= to && length >= head);
        let end = end.ok_or_else(cut)?;
        found.push(Place {
            name,
            from: at + head,
            to: end,
        });
        at = end;
    }
    Ok(found)
}

fn cut() -> Objection {
    Objection::new(
        "is truncated or damaged: a part of it ends beyond its end",
        COPY_AGAIN,
    )
}

fn find(boxes: &[Place], name: [u8; 4]) -> Option<Place> {
    boxes.iter().find(|one| one.name == name).copied()
}

/// A box below others, by its path.
async fn below(
    file: &mut Reader<'_>,
    place: Place,
    path: &[&[u8; 4]],
) -> Result<Option<Place>, ProbeError> {
    let mut place = place;
    for name in path {
        match find(&boxes(file, place.from, place.to).await?, **name) {
            Some(next) => place = next,
            None => return Ok(None),
        }
    }
    Ok(Some(place))
}

/// What a track holds, if it is audio.
async fn audio_track(
    file: &mut Reader<'_>,
    track: Place,
) -> Result<Option<AudioProperties>, ProbeError> {
    let Some(media) = below(file, track, &[b"mdia"]).await? else {
        return Ok(None);
    };
    let Some(description) = below(file, media, &[b"minf", b"stbl", b"stsd"]).await? else {
        return Ok(None);
    };
    // Version and flags, the number of entries, then the first entry's size and coding.
    let mut entry = file.read(description.from, 52).await?;
    if entry.len() < 44 {
        return Ok(None);
    }
    entry.advance(12);
    let coding = entry.split_to(4);
    match &coding[..] {
        b"mp4a" => {}
        b"alac" => {
            return Err(Objection::new(
                "is Apple Lossless (ALAC) in MP4, which is not taken",
                "Export the audio as FLAC or WAV: nothing is lost by it.",
            )
            .into());
        }
        b"enca" | b"drms" => {
            return Err(Objection::new(
                "is encrypted",
                "Export the audio from its original, without protection.",
            )
            .into());
        }
        _ => return Ok(None),
    }
    // Six reserved bytes, the index, eight reserved bytes, then what counts.
    entry.advance(16);
    let channels = entry.get_u16();
    let _bits = entry.get_u16();
    entry.advance(4);
    let rate_hz = entry.get_u32() >> 16;
    let Some(header) = below(file, media, &[b"mdhd"]).await? else {
        return Ok(None);
    };
    let (scale, units) = times(file.read(header.from, 32).await?);
    if scale == 0 || rate_hz == 0 {
        return Err(Objection::new("holds no audio", EXPORT_AGAIN).into());
    }
    Ok(Some(AudioProperties {
        codec: AudioCodec::Aac,
        sample_rate_hz: rate_hz,
        bits_per_sample: 0,
        channels: u8::try_from(channels).unwrap_or(u8::MAX),
        duration: duration(units, scale),
    }))
}

/// Units a second and length in units, of a media header; zeros where it is too short.
fn times(mut header: Bytes) -> (u32, u64) {
    if header.len() < 32 {
        header = Bytes::from([&header[..], &[0; 32]].concat());
    }
    let version = header.get_u32() >> 24;
    if version == 1 {
        header.advance(16);
        (header.get_u32(), header.get_u64())
    } else {
        header.advance(8);
        (header.get_u32(), u64::from(header.get_u32()))
    }
}
