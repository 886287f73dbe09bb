//! What a cover is, read from its headers and its end. The picture itself is not decoded.

mod tiff;

use bytes::Buf;

use super::{
    findings::{Objection, ProbeError},
    reader::Reader,
};
use crate::{package::ImageFormat, settings::ArtworkRequirements};

/// More segments than any tool writes before the picture.
const SEGMENTS_LIMIT: usize = 1_000;

const JPEG_START: &[u8] = &[0xFF, 0xD8, 0xFF];
const JPEG_END: &[u8] = &[0xFF, 0xD9];
const PNG_START: &[u8] = b"\x89PNG\r\n\x1a\n";
const PNG_END: &[u8] = b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// EXIF is one segment of a JPEG.
const EXIF_LIMIT_BYTES: u64 = 1 << 16;

const EXPORT_AGAIN: &str = "Export the cover again as JPEG or PNG and replace the file.";
const COPY_AGAIN: &str = "Copy the file into the asset store again, or export it again.";

/// A cover's properties, and whether the file is whole.
pub(super) struct Cover {
    pub(super) format: ImageFormat,
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    colour: Colour,
    /// How viewers are told to turn it: 1 as it is, 2 to 8 turned or mirrored (EXIF).
    orientation: u32,
    whole: bool,
}

/// How a picture's colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Rgb,
    Grey,
    Cmyk,
    Other,
}

impl Colour {
    /// The word in `requirements.artwork.colours`.
    fn word(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Grey => "grey",
            Self::Cmyk => "cmyk",
            Self::Other => "of another kind",
        }
    }
}

/// Reads a cover's properties; the format is told by content, never by name.
pub(super) async fn probe(file: &mut Reader<'_>) -> Result<Cover, ProbeError> {
    let head = file.read(0, 12).await?;
    if head.starts_with(JPEG_START) {
        jpeg(file).await
    } else if head.starts_with(PNG_START) {
        png(file).await
    } else if matches!(
        &head[..],
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..]
    ) {
        tiff::probe(file).await
    } else {
        let what = match &head[..] {
            [b'G', b'I', b'F', b'8', ..] => "a GIF picture",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => "a WebP picture",
            _ => "neither JPEG nor PNG nor TIFF",
        };
        Err(Objection::new(format!("is {what}"), EXPORT_AGAIN).into())
    }
}

/// Walks the segments to the frame header, then to the beginning of the picture's data.
async fn jpeg(file: &mut Reader<'_>) -> Result<Cover, ProbeError> {
    let mut at = 2;
    let mut frame = None;
    let mut orientation = 1;
    for _ in 0..SEGMENTS_LIMIT {
        let mut header = file.read(at, 9).await?;
        if header.len() < 9 {
            return Err(Objection::new("is truncated", COPY_AGAIN).into());
        }
        if header.get_u8() != 0xFF {
            break;
        }
        let marker = header.get_u8();
        if marker == 0xFF {
            // A fill byte before the marker.
            at += 1;
            continue;
        }
        let length = u64::from(header.get_u16());
        match (marker, frame) {
            (0xC0..=0xCF, _) if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                let _precision = header.get_u8();
                let height_px = u32::from(header.get_u16());
                let width_px = u32::from(header.get_u16());
                let components = file.read(at + 9, 1).await?.first().copied();
                frame = Some((width_px, height_px, components));
            }
            (0xE1, _) => {
                let exif = file.read(at + 4, length.min(EXIF_LIMIT_BYTES)).await?;
                orientation = exif
                    .strip_prefix(b"Exif\0\0")
                    .and_then(tiff::orientation)
                    .unwrap_or(orientation);
            }
            (0xDA, Some((width_px, height_px, components))) => {
                return Ok(Cover {
                    format: ImageFormat::Jpeg,
                    width_px,
                    height_px,
                    colour: match components {
                        Some(1) => Colour::Grey,
                        Some(3) => Colour::Rgb,
                        Some(4) => Colour::Cmyk,
                        _ => Colour::Other,
                    },
                    orientation,
                    whole: jpeg_ends(file, at + 2 + length).await?,
                });
            }
            _ => {}
        }
        at += 2 + length;
    }
    Err(Objection::new("is not a sound JPEG file", EXPORT_AGAIN).into())
}

/// Whether the picture's data, which begin at `start`, end with the marker for it. Some tools pad
/// the file afterwards.
async fn jpeg_ends(file: &mut Reader<'_>, start: u64) -> Result<bool, ProbeError> {
    const PADDING_LIMIT_BYTES: u64 = 4096;
    let from = start.max(file.size().saturating_sub(PADDING_LIMIT_BYTES));
    let tail = file.read(from, PADDING_LIMIT_BYTES).await?;
    let padding = tail
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, 0 | b'\n' | b'\r' | b' '))
        .count();
    Ok(tail
        .get(..tail.len() - padding)
        .is_some_and(|tail| tail.ends_with(JPEG_END)))
}

async fn png(file: &mut Reader<'_>) -> Result<Cover, ProbeError> {
    let mut header = file.read(8, 18).await?;
    if header.len() < 18 {
        return Err(Objection::new("is truncated", COPY_AGAIN).into());
    }
    if header.get_u32() != 13 || header.get_u32() != u32::from_be_bytes(*b"IHDR") {
        return Err(Objection::new("is not a sound PNG file", EXPORT_AGAIN).into());
    }
    let (width_px, height_px) = (header.get_u32(), header.get_u32());
    let _depth = header.get_u8();
    let colour_type = header.get_u8();
    let end = file.read(file.size().saturating_sub(12), 12).await?;
    Ok(Cover {
        format: ImageFormat::Png,
        width_px,
        height_px,
        // Bit 1 says colour: RGB, palette, RGB with alpha.
        colour: if colour_type & 2 == 0 {
            Colour::Grey
        } else {
            Colour::Rgb
        },
        orientation: 1,
        whole: end == PNG_END,
    })
}

/// What a platform and common sense object to in a cover.
pub(super) fn objections(cover: &Cover, required: &ArtworkRequirements) -> Vec<Objection> {
    let mut objections = Vec::new();
    let (width, height) = (cover.width_px, cover.height_px);
    let words: &[&str] = match cover.format {
        ImageFormat::Jpeg => &["jpeg", "jpg"],
        ImageFormat::Png => &["png"],
        ImageFormat::Tiff => &["tiff", "tif"],
    };
    let taken = |format: &String| words.iter().any(|word| format.eq_ignore_ascii_case(word));
    if !required.formats.iter().any(taken) {
        let formats = required.formats.join(", ");
        objections.push(Objection::new(
            format!(
                "is {}, the platform takes {formats} only",
                words.first().unwrap_or(&"")
            ),
            format!("Export the cover as {formats}."),
        ));
    }
    if width != height {
        objections.push(Objection::new(
            format!("is {width} × {height} pixels, it must be square"),
            "Crop the cover to a square.",
        ));
    }
    if width.min(height) < required.min_px {
        objections.push(Objection::new(
            format!(
                "is {width} × {height} pixels, at least {min} × {min} are needed",
                min = required.min_px
            ),
            "Export the cover larger from the original; do not scale it up.",
        ));
    }
    if width.max(height) > required.max_px {
        objections.push(Objection::new(
            format!(
                "is {width} × {height} pixels, at most {max} × {max} are taken",
                max = required.max_px
            ),
            "Export the cover smaller.",
        ));
    }
    let colour = cover.colour.word();
    if !required
        .colours
        .iter()
        .any(|taken| taken.eq_ignore_ascii_case(colour))
    {
        let taken = required.colours.join(", ");
        objections.push(Objection::new(
            format!("has colours that are {colour}, the platform takes {taken} only"),
            "Export the cover in RGB.",
        ));
    }
    if cover.orientation > 1 {
        objections.push(Objection::new(
            format!(
                "carries an orientation tag ({}): who does not heed it shows it turned or mirrored",
                cover.orientation
            ),
            "Turn the picture itself and export it without the tag.",
        ));
    }
    if !cover.whole {
        objections.push(Objection::new(
            "is truncated: the end of the picture is missing",
            COPY_AGAIN,
        ));
    }
    objections
}
