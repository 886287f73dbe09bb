//! TIFF, revision 6: the first image directory, also as EXIF carries one inside a JPEG.

use bytes::Bytes;

use super::{COPY_AGAIN, Colour, Cover, EXPORT_AGAIN};
use crate::package::{
    ImageFormat,
    findings::{Objection, ProbeError},
    reader::Reader,
};

/// More entries than a directory of a picture has.
const ENTRIES_LIMIT: u16 = 1_000;

/// Strips or tiles of a picture; a limit on what is read to see whether they are all there.
const STRIPS_LIMIT: u32 = 200_000;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const PHOTOMETRIC: u16 = 262;
const STRIP_OFFSETS: u16 = 273;
const ORIENTATION: u16 = 274;
const STRIP_COUNTS: u16 = 279;
const TILE_OFFSETS: u16 = 324;
const TILE_COUNTS: u16 = 325;

/// The order of bytes in numbers.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    /// By the first four bytes.
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [b'I', b'I', b'*', 0, ..] => Some(Self::Little),
            [b'M', b'M', 0, b'*', ..] => Some(Self::Big),
            _ => None,
        }
    }

    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = <[u8; 2]>::try_from(bytes.get(at..at.checked_add(2)?)?).ok()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = <[u8; 4]>::try_from(bytes.get(at..at.checked_add(4)?)?).ok()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        })
    }
}

/// One entry of a directory.
#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    /// 3: 16 bits, 4: 32 bits.
    kind: u16,
    count: u32,
    /// The value where there is one and it fits, otherwise where the values are.
    value: u32,
}

fn entries(order: Order, directory: &[u8]) -> Vec<Entry> {
    directory
        .chunks_exact(12)
        .filter_map(|entry| {
            let (kind, count) = (order.u16(entry, 2)?, order.u32(entry, 4)?);
            let value = match (kind, count) {
                (3, 1) => u32::from(order.u16(entry, 8)?),
                _ => order.u32(entry, 8)?,
            };
            let tag = order.u16(entry, 0)?;
            Some(Entry {
                tag,
                kind,
                count,
                value,
            })
        })
        .collect()
}

fn value(entries: &[Entry], tag: u16) -> Option<u32> {
    let found = entries.iter().find(|entry| entry.tag == tag);
    found.map(|entry| entry.value)
}

/// The orientation that a directory in memory gives, such as EXIF's in a JPEG.
pub(super) fn orientation(tiff: &[u8]) -> Option<u32> {
    let order = Order::of(tiff)?;
    let at = usize::try_from(order.u32(tiff, 4)?).ok()?;
    let count = usize::from(order.u16(tiff, at)?.min(ENTRIES_LIMIT));
    let from = at.checked_add(2)?;
    let to = from.checked_add(count * 12)?.min(tiff.len());
    value(&entries(order, tiff.get(from..to)?), ORIENTATION)
}

pub(super) async fn probe(file: &mut Reader<'_>) -> Result<Cover, ProbeError> {
    let unsound = || Objection::new("is not a sound TIFF file", EXPORT_AGAIN);
    let truncated = || Objection::new("is truncated", COPY_AGAIN);
    let head = file.read(0, 8).await?;
    let order = Order::of(&head).ok_or_else(unsound)?;
    let at = u64::from(order.u32(&head, 4).ok_or_else(truncated)?);
    let count = file.read(at, 2).await?;
    let count = order.u16(&count, 0).ok_or_else(truncated)?;
    let length = u64::from(count.min(ENTRIES_LIMIT)) * 12;
    let directory = file.read(at + 2, length).await?;
    if (directory.len() as u64) < length {
        return Err(truncated().into());
    }
    let entries = entries(order, &directory);
    let (Some(width_px), Some(height_px)) = (value(&entries, WIDTH), value(&entries, HEIGHT))
    else {
        return Err(unsound().into());
    };
    Ok(Cover {
        format: ImageFormat::Tiff,
        width_px,
        height_px,
        colour: match value(&entries, PHOTOMETRIC) {
            Some(0 | 1) => Colour::Grey,
            Some(2 | 3 | 6) => Colour::Rgb,
            Some(5) => Colour::Cmyk,
            _ => Colour::Other,
        },
        orientation: value(&entries, ORIENTATION).unwrap_or(1),
        whole: is_whole(file, order, &entries).await?,
    })
}

/// Whether every strip or tile lies within the file.
async fn is_whole(
    file: &mut Reader<'_>,
    order: Order,
    entries: &[Entry],
) -> Result<bool, ProbeError> {
    let of = |tag: u16| entries.iter().find(|entry| entry.tag == tag).copied();
    let offsets = of(STRIP_OFFSETS).or_else(|| of(TILE_OFFSETS));
    let counts = of(STRIP_COUNTS).or_else(|| of(TILE_COUNTS));
    let (Some(offsets), Some(counts)) = (offsets, counts) else {
        return Ok(false);
    };
    if offsets.count != counts.count || offsets.count > STRIPS_LIMIT {
        return Ok(false);
    }
    let offsets = numbers(file, order, offsets).await?;
    let counts = numbers(file, order, counts).await?;
    let ends = offsets
        .iter()
        .zip(&counts)
        .map(|(offset, count)| u64::from(*offset) + u64::from(*count));
    Ok(!offsets.is_empty() && offsets.len() == counts.len() && ends.max() <= Some(file.size()))
}

/// The numbers of an entry; fewer than it promises where the file ends.
async fn numbers(
    file: &mut Reader<'_>,
    order: Order,
    entry: Entry,
) -> Result<Vec<u32>, ProbeError> {
    if entry.count == 1 {
        return Ok(vec![entry.value]);
    }
    let width = if entry.kind == 3 { 2 } else { 4 };
    // Two numbers of 16 bits stand in the entry itself; such a picture has two strips.
    if entry.count * width <= 4 {
        let halves = match order {
            Order::Little => [entry.value & 0xFFFF, entry.value >> 16],
            Order::Big => [entry.value >> 16, entry.value & 0xFFFF],
        };
        return Ok(halves.to_vec());
    }
    let length = u64::from(entry.count) * u64::from(width);
    let bytes: Bytes = file.read(u64::from(entry.value), length).await?;
    let width = usize::try_from(width).unwrap_or(4);
    Ok(bytes
        .chunks_exact(width)
        .filter_map(|number| match width {
            2 => order.u16(number, 0).map(u32::from),
            _ => order.u32(number, 0),
        })
        .collect())
}
