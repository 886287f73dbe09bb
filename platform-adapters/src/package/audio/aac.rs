//! AAC: whether its frames carry any sound. A frame is read as far as it says which bands have
//! coefficients (ISO/IEC 14496-3, 4.4.2.1 and 4.6); where none has any, every sample is zero. A frame that
//! uses more of the standard than silence needs counts as heard.

use std::io::Read;

use super::bits::Bits;
use crate::package::inspect::Flaw;

/// What is read of a frame: silence takes fewer bytes, but for what pads it.
const FRAME_HEAD_BYTES: u64 = 4096;

/// `id_syn_ele`: the elements of a frame that silence is made of.
const SINGLE_CHANNEL: u32 = 0;
const CHANNEL_PAIR: u32 = 1;
const LOW_FREQUENCY: u32 = 3;
const DATA_STREAM: u32 = 4;
const FILL: u32 = 6;
const END: u32 = 7;

/// `window_sequence`: eight short windows.
const SHORT_WINDOWS: u32 = 2;

/// Where a frame lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::package) struct Frame {
    pub(super) at: u64,
    pub(super) length: u64,
}

/// Listens to frames in the order in which they lie in the file, until one is not silent.
pub(super) fn listen(file: &mut impl Read, frames: &[Frame]) -> Vec<Flaw> {
    let mut passed = 0;
    let mut head = Vec::new();
    for frame in frames {
        let Some(before) = frame.at.checked_sub(passed) else {
            return Vec::new();
        };
        head.clear();
        let read = frame.length.min(FRAME_HEAD_BYTES);
        let is_read = std::io::copy(&mut file.take(before), &mut std::io::sink()).ok()
            == Some(before)
            && file.take(read).read_to_end(&mut head).is_ok();
        if !is_read || is_silent(&head) != Some(true) {
            return Vec::new();
        }
        passed = frame.at + read;
    }
    match frames {
        [] => Vec::new(),
        _ => vec![Flaw::Silent],
    }
}

/// Whether a frame (`raw_data_block`) has no coefficient. `None`: it cannot be told.
fn is_silent(frame: &[u8]) -> Option<bool> {
    let mut bits = Bits::new(frame);
    loop {
        let is_still = match bits.take(3)? {
            SINGLE_CHANNEL | LOW_FREQUENCY => {
                bits.skip(4)?;
                is_channel_silent(&mut bits, None)?
            }
            CHANNEL_PAIR => {
                bits.skip(4)?;
                is_pair_silent(&mut bits)?
            }
            DATA_STREAM => {
                pass_data(&mut bits)?;
                true
            }
            FILL => {
                pass_fill(&mut bits)?;
                true
            }
            END => return Some(true),
            _ => return None,
        };
        if !is_still {
            return Some(false);
        }
    }
}

/// How a channel's time is divided (`ics_info`).
#[derive(Clone, Copy)]
struct Windows {
    is_short: bool,
    groups: u32,
    /// Bands that may have coefficients, of each group (`max_sfb`).
    bands: u32,
}

impl Windows {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        bits.skip(1)?;
        let is_short = bits.take(2)? == SHORT_WINDOWS;
        bits.skip(1)?;
        if is_short {
            let bands = bits.take(4)?;
            // A zero begins a group; there are eight windows.
            let grouping = bits.take(7)?;
            return Some(Self {
                is_short,
                groups: 8 - grouping.count_ones(),
                bands,
            });
        }
        let bands = bits.take(6)?;
        let predicts = bits.is_set()?;
        (!predicts).then_some(Self {
            is_short,
            groups: 1,
            bands,
        })
    }
}

fn is_pair_silent(bits: &mut Bits<'_>) -> Option<bool> {
    let is_common = bits.is_set()?;
    let common = match is_common {
        true => {
            let windows = Windows::read(bits)?;
            // `ms_mask_present`: 1 is followed by a bit for each band.
            if bits.take(2)? == 1 {
                bits.skip(usize::try_from(windows.groups * windows.bands).ok()?)?;
            }
            Some(windows)
        }
        false => None,
    };
    Some(is_channel_silent(bits, common)? && is_channel_silent(bits, common)?)
}

/// `individual_channel_stream` without coefficients: then there are no scale factors either.
fn is_channel_silent(bits: &mut Bits<'_>, common: Option<Windows>) -> Option<bool> {
    bits.skip(8)?;
    let windows = match common {
        Some(windows) => windows,
        None => Windows::read(bits)?,
    };
    let length_bits = if windows.is_short { 3 } else { 5 };
    let more = (1 << length_bits) - 1;
    for _ in 0..windows.groups {
        let mut band = 0;
        while band < windows.bands {
            if bits.take(4)? != 0 {
                return Some(false);
            }
            loop {
                let length = bits.take(length_bits)?;
                band += length;
                if length != more {
                    break;
                }
            }
        }
    }
    // Pulses, noise shaping and gain control have nothing to work on.
    let uses_more = [bits.is_set()?, bits.is_set()?, bits.is_set()?];
    (uses_more == [false; 3]).then_some(true)
}

fn pass_data(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?;
    let is_aligned = bits.is_set()?;
    let count = match bits.take(8)? {
        255 => 255 + bits.take(8)?,
        count => count,
    };
    if is_aligned {
        bits.align()?;
    }
    bits.skip(8 * usize::try_from(count).ok()?)
}

fn pass_fill(bits: &mut Bits<'_>) -> Option<()> {
    let count = match bits.take(4)? {
        15 => 14 + bits.take(8)?,
        count => count,
    };
    bits.skip(8 * usize::try_from(count).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_encoders_is_told_from_sound() {
        for silence in [
            &[0x21, 0x10, 0x04, 0x60, 0x8C, 0x1C][..],
            &[0x01, 0x18, 0x20, 0x07],
            // After the encoder's name, in a fill element.
            b"\xDE\x02\0Lavc59.37.100\0\x42\x20\x08\xC1\x18\x38",
        ] {
            assert_eq!(is_silent(silence), Some(true), "{silence:x?}");
        }
        let sound = [
            0x21, 0x19, 0x4F, 0xFF, 0xFF, 0xFA, 0x00, 0x1C, 0xAC, 0xF0, 0x65, 0x4A, 0x0B, 0x42,
        ];
        assert_eq!(is_silent(&sound), Some(false));
    }

    #[test]
    fn no_bytes_are_taken_for_silence_by_their_end() {
        let silence = [0x21, 0x10, 0x04, 0x60, 0x8C, 0x1C];
        for end in 0..silence.len() {
            assert_ne!(is_silent(&silence[..end]), Some(true));
        }
    }
}
