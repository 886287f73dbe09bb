//! Front covers: a gradient with a few shapes, 3000 pixels square, different for every release.

use anyhow::Context;
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};

use super::Dice;

const SIDE_PX: u32 = 3000;
const QUALITY: u8 = 85;

type Colour = [u8; 3];

/// A shape by the pixels it takes from a row.
enum Shape {
    Disc {
        x: i64,
        y: i64,
        radius: i64,
    },
    Ring {
        x: i64,
        y: i64,
        radius: i64,
        width: i64,
    },
    Bar {
        left: i64,
        right: i64,
        top: i64,
    },
    Peak {
        x: i64,
        top: i64,
        slope_percent: i64,
    },
}

/// The cover as JPEG.
pub(super) fn jpeg(title: &str, upc: &str) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::with_capacity(1 << 20);
    JpegEncoder::new_with_quality(&mut file, QUALITY)
        .write_image(
            paint(&mut Dice::of(upc)).as_flattened(),
            SIDE_PX,
            SIDE_PX,
            ExtendedColorType::Rgb8,
        )
        .with_context(|| format!("the cover of {title:?} cannot be coded"))?;
    Ok(file)
}

fn paint(dice: &mut Dice) -> Vec<Colour> {
    let (top, bottom) = (colour(dice, 40, 110), colour(dice, 90, 160));
    let shapes: Vec<(Shape, Colour)> = (0..4 + dice.below(4))
        .map(|_| (shape(dice), colour(dice, 80, 170)))
        .collect();
    let mut pixels = Vec::with_capacity((SIDE_PX * SIDE_PX) as usize);
    let mut row = vec![top; SIDE_PX as usize];
    for y in 0..SIDE_PX {
        row.fill(blend(top, bottom, y));
        for (shape, colour) in &shapes {
            let tint = blend(*colour, bottom, y / 2);
            for (from, to) in shape.spans(i64::from(y)) {
                let clip = |x: i64| usize::try_from(x.clamp(0, i64::from(SIDE_PX))).unwrap_or(0);
                if let Some(span) = row.get_mut(clip(from)..clip(to)) {
                    span.fill(tint);
                }
            }
        }
        pixels.extend_from_slice(&row);
    }
    pixels
}

/// From `first` at the top to `last` at the bottom.
fn blend(first: Colour, last: Colour, y: u32) -> Colour {
    let mut mixed = first;
    for (mine, other) in mixed.iter_mut().zip(last) {
        let sum = u32::from(*mine) * (SIDE_PX - y) + u32::from(other) * y;
        *mine = u8::try_from(sum / SIDE_PX).unwrap_or(u8::MAX);
    }
    mixed
}

fn colour(dice: &mut Dice, base: u32, range: u32) -> Colour {
    [(); 3].map(|()| u8::try_from(base + dice.below(range)).unwrap_or(u8::MAX))
}

fn shape(dice: &mut Dice) -> Shape {
    let mut within = |from: u32, to: u32| i64::from(from + dice.below(to - from));
    match within(0, 4) {
        0 => Shape::Disc {
            x: within(400, 2600),
            y: within(400, 2600),
            radius: within(150, 800),
        },
        1 => Shape::Ring {
            x: within(400, 2600),
            y: within(400, 2600),
            radius: within(400, 1300),
            width: within(30, 140),
        },
        2 => {
            let left = within(0, 2600);
            Shape::Bar {
                left,
                right: left + within(60, 500),
                top: within(200, 2400),
            }
        }
        _ => Shape::Peak {
            x: within(300, 2700),
            top: within(900, 2300),
            slope_percent: within(40, 140),
        },
    }
}

impl Shape {
    /// The spans of row `y` that the shape covers; an empty one where it covers nothing.
    fn spans(&self, y: i64) -> [(i64, i64); 2] {
        const NOTHING: (i64, i64) = (0, 0);
        let half_chord =
            |centre: i64, radius: i64| (radius.pow(2) - (y - centre).pow(2)).max(0).isqrt();
        match *self {
            Self::Disc {
                x,
                y: centre,
                radius,
            } => {
                let half = half_chord(centre, radius);
                [(x - half, x + half), NOTHING]
            }
            Self::Ring {
                x,
                y: centre,
                radius,
                width,
            } => {
                let (outer, inner) = (
                    half_chord(centre, radius),
                    half_chord(centre, radius - width),
                );
                [(x - outer, x - inner), (x + inner, x + outer)]
            }
            Self::Bar { left, right, top } if y >= top => [(left, right), NOTHING],
            Self::Peak {
                x,
                top,
                slope_percent,
            } if y >= top => {
                let half = (y - top) * slope_percent / 100;
                [(x - half, x + half), NOTHING]
            }
            Self::Bar { .. } | Self::Peak { .. } => [NOTHING; 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cover_is_square_rgb_and_large_enough() {
        let file = jpeg("Midnight Ferry", "042601000115").unwrap();
        assert!(file.len() > 50_000 && file.len() < 20_000_000);
        let cover = image::load_from_memory_with_format(&file, image::ImageFormat::Jpeg).unwrap();
        assert_eq!((cover.width(), cover.height()), (3000, 3000));
        assert_eq!(cover.color(), image::ColorType::Rgb8);
        let other = jpeg("Another", "042601000999").unwrap();
        assert!(file != other);
    }
}
