//! AAC in MP4 (`.m4a`): the boxes that say what the only audio track is, and whether the file holds
//! all that they promise. Layout and names are those of ISO/IEC 14496-12.

use bytes::{Buf, Bytes};

use super::{Content, EXPORT_AGAIN, Probed, aac::Frame, duration};
use crate::package::{
    AudioCodec, AudioProperties,
    findings::{Objection, ProbeError},
    reader::Reader,
};

/// More boxes than a file with one track has beside each other.
const BOXES_LIMIT: usize = 1_000;

/// Bytes of the longest table that is read: more than a day of audio takes.
const TABLE_LIMIT: u64 = 16 << 20;

/// Low complexity, and with the bands above it described beside it: `audioObjectType` 2, 5 and 29.
const OBJECT_TYPES: [u8; 3] = [2, 5, 29];

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
    let (properties, table) =
        found.ok_or_else(|| Objection::new("holds no audio track", EXPORT_AGAIN))?;
    let content = match frames(file, table).await? {
        Some(frames) => Content::Aac(frames),
        None => Content::Opaque,
    };
    Ok(Probed {
        properties,
        content,
        objections: Vec::new(),
    })
}

/// Where the track's frames lie, by its table of samples: their sizes, the chunks in which they lie one
/// after the other, and how many of them lie in each. `None`: it does not say so in the usual way, they
/// do not follow each other in the file, or they are not of the usual AAC.
async fn frames(file: &mut Reader<'_>, table: Place) -> Result<Option<Vec<Frame>>, ProbeError> {
    let parts = boxes(file, table.from, table.to).await?;
    let mut read = Vec::new();
    for name in [b"stsd", b"stsz", b"stco", b"stsc"] {
        let Some(part) = find(&parts, *name).filter(|part| part.to - part.from <= TABLE_LIMIT)
        else {
            return Ok(None);
        };
        read.push(file.read(part.from, part.to - part.from).await?);
    }
    let [description, sizes, chunks, runs] = read.as_slice() else {
        return Ok(None);
    };
    let is_usual = object_type(description).is_some_and(|kind| OBJECT_TYPES.contains(&kind));
    Ok(is_usual.then(|| placed(sizes, chunks, runs)).flatten())
}

/// The coding's kind: the first bits of the decoder's configuration (ISO/IEC 14496-1, 7.2.6; descriptors
/// within each other, each with its length in bytes of seven bits).
fn object_type(description: &[u8]) -> Option<u8> {
    let at = description.windows(4).position(|name| name == b"esds")?;
    let mut rest = description.get(at + 8..)?;
    for (tag, fixed) in [(3, 3), (4, 13), (5, 0)] {
        let (found, after) = rest.split_first()?;
        if *found != tag {
            return None;
        }
        let length = after.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
        rest = after.get(length + fixed..)?;
    }
    Some(rest.first()? >> 3)
}

/// Every frame's place; they must follow each other.
fn placed(sizes: &[u8], chunks: &[u8], runs: &[u8]) -> Option<Vec<Frame>> {
    let mut sizes = numbers(sizes)?;
    let (same, count) = (sizes.next()?, sizes.next()?);
    let mut size_of_next = move || if same > 0 { Some(same) } else { sizes.next() };
    let mut runs = numbers(runs)?.skip(1);
    let mut run = (runs.next()?, runs.next()?, runs.next()?);
    let mut following = runs.next();
    let mut frames = Vec::new();
    let mut end = 0;
    for (number, chunk) in (1..).zip(numbers(chunks)?.skip(1)) {
        if following == Some(number) {
            run = (number, runs.next()?, runs.next()?);
            following = runs.next();
        }
        let mut at = u64::from(chunk);
        for _ in 0..run.1 {
            if frames.len() >= usize::try_from(count).ok()? {
                return None;
            }
            let length = u64::from(size_of_next()?);
            if at < end {
                return None;
            }
            frames.push(Frame { at, length });
            at += length;
            end = at;
        }
    }
    (frames.len() == usize::try_from(count).ok()?).then_some(frames)
}

/// The numbers of a table, after its version and flags.
fn numbers(table: &[u8]) -> Option<impl Iterator<Item = u32>> {
    let (numbers, _) = table.get(4..)?.as_chunks::<4>();
    Some(numbers.iter().map(|bytes| u32::from_be_bytes(*bytes)))
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

/// What a track holds, if it is audio, and its table of samples.
async fn audio_track(
    file: &mut Reader<'_>,
    track: Place,
) -> Result<Option<(AudioProperties, Place)>, ProbeError> {
    let Some(media) = below(file, track, &[b"mdia"]).await? else {
        return Ok(None);
    };
    let Some(table) = below(file, media, &[b"minf", b"stbl"]).await? else {
        return Ok(None);
    };
    let Some(description) = below(file, table, &[b"stsd"]).await? else {
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
    let properties = AudioProperties {
        codec: AudioCodec::Aac,
        sample_rate_hz: rate_hz,
        bits_per_sample: 0,
        channels: u8::try_from(channels).unwrap_or(u8::MAX),
        duration: duration(units, scale),
    };
    Ok(Some((properties, table)))
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
