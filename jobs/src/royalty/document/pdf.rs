//! A statement as PDF, to be sent to an artist: A4, searchable text, figures that are the ledger's.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use krilla::{
    Document, SerializeSettings,
    color::rgb,
    geom::{PathBuilder, Point},
    metadata::Metadata,
    page::PageSettings,
    paint::Stroke,
    surface::Surface,
    text::{Font, TextDirection},
};

use super::layout::{self, Align, Item, Measure, PAGE_HEIGHT, PAGE_WIDTH};
use crate::royalty::statement::Statement;

/// The fonts of statements. Each character is set in the first that has it.
#[derive(Clone)]
pub struct Fonts(Vec<Face>);

#[derive(Clone)]
struct Face {
    font: Font,
    /// Per character, in thousandths of the size; filled when the font is read.
    widths: BTreeMap<char, f32>,
}

/// Fonts that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FontsError {
    /// None is named.
    #[error("royalties.fonts names no font; PDF statements need one")]
    None,
    /// A file cannot be read.
    #[error(
        "the font {path} (royalties.fonts) cannot be read: {error}; install it (Debian: package \
         fonts-dejavu-core) or name another TrueType font"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is no font.
    #[error("{0} (royalties.fonts) is no TrueType or OpenType font")]
    NotAFont(PathBuf),
}

/// A document that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the statement of user {payee} cannot be written as PDF: {problem}")]
pub struct PdfError {
    payee: i32,
    problem: String,
}

impl Fonts {
    /// Reads fonts. The first must be there; others that are not are left out.
    ///
    /// # Errors
    /// [`FontsError`].
    pub fn read(paths: &[PathBuf]) -> Result<Self, FontsError> {
        let mut faces = Vec::new();
        for (path, place) in paths.iter().zip(0..) {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if place > 0 && error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(FontsError::Unreadable {
                        path: path.clone(),
                        error,
                    });
                }
            };
            let widths = widths(&bytes).ok_or_else(|| FontsError::NotAFont(path.clone()))?;
            let font =
                Font::new(bytes.into(), 0).ok_or_else(|| FontsError::NotAFont(path.clone()))?;
            faces.push(Face { font, widths });
        }
        if faces.is_empty() {
            return Err(FontsError::None);
        }
        Ok(Self(faces))
    }

    /// The face that sets a character: the first that has it, or the first.
    fn of(&self, character: char) -> Option<&Face> {
        let has = |face: &&Face| face.widths.contains_key(&character);
        self.0.iter().find(has).or_else(|| self.0.first())
    }
}

/// The advance width of every character that a font has.
fn widths(bytes: &[u8]) -> Option<BTreeMap<char, f32>> {
    let face = ttf_parser::Face::parse(bytes, 0).ok()?;
    let unit = f32::from(face.units_per_em());
    let mut widths = BTreeMap::new();
    let subtables = face.tables().cmap?.subtables;
    for subtable in subtables
        .into_iter()
        .filter(ttf_parser::cmap::Subtable::is_unicode)
    {
        subtable.codepoints(|code| {
            let Some(character) = char::from_u32(code) else {
                return;
            };
            if let Some(glyph) = face.glyph_index(character) {
                let width = f32::from(face.glyph_hor_advance(glyph).unwrap_or_default());
                widths.insert(character, width / unit);
            }
        });
    }
    Some(widths)
}

impl Measure for Fonts {
    fn width(&self, text: &str, size: f32) -> f32 {
        let of = |character| {
            let face = self.of(character)?;
            face.widths.get(&character).copied()
        };
        text.chars()
            .map(|character| of(character).unwrap_or(0.5) * size)
            .sum()
    }
}

/// Writes a statement as PDF. The same statement gives the same bytes.
///
/// # Errors
/// [`PdfError`].
pub fn write_pdf(statement: &Statement, fonts: &Fonts) -> Result<Vec<u8>, PdfError> {
    let fault = |problem: String| PdfError {
        payee: statement.payee,
        problem,
    };
    let mut document = Document::new_with(SerializeSettings::default());
    document.set_metadata(Metadata::new().title(layout::title(statement)));
    let pages = layout::lay_out(statement, fonts);
    for items in &pages {
        let settings = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT)
            .ok_or_else(|| fault("the size of a page".to_owned()))?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        for item in items {
            draw(&mut surface, item, fonts);
        }
        surface.finish();
        page.finish();
    }
    document
        .finish()
        .map_err(|error| fault(format!("{error:?}")))
}

fn draw(surface: &mut Surface<'_>, item: &Item, fonts: &Fonts) {
    match item {
        Item::Text {
            x,
            y,
            size,
            align,
            text,
        } => {
            let width = fonts.width(text, *size);
            let x = if *align == Align::Right {
                x - width
            } else {
                *x
            };
            draw_text(surface, x, *y, *size, text, fonts);
        }
        Item::Rule { y } => {
            let mut path = PathBuilder::new();
            path.move_to(layout::MARGIN, *y);
            path.line_to(PAGE_WIDTH - layout::MARGIN, *y);
            if let Some(path) = path.finish() {
                surface.set_fill(None);
                surface.set_stroke(Some(Stroke {
                    paint: rgb::Color::new(160, 160, 160).into(),
                    width: 0.5,
                    ..Stroke::default()
                }));
                surface.draw_path(&path);
                surface.set_stroke(None);
            }
        }
    }
}

/// Sets a text, each run of characters in the font that has them.
fn draw_text(surface: &mut Surface<'_>, mut x: f32, y: f32, size: f32, text: &str, fonts: &Fonts) {
    let mut runs: Vec<(&Font, String)> = Vec::new();
    for character in text.chars() {
        let Some(face) = fonts.of(character) else {
            return;
        };
        match runs.last_mut() {
            Some((font, run)) if **font == face.font => run.push(character),
            _ => runs.push((&face.font, character.to_string())),
        }
    }
    for (font, run) in runs {
        surface.draw_text(
            Point::from_xy(x, y),
            font.clone(),
            size,
            &run,
            false,
            TextDirection::Auto,
        );
        x += fonts.width(&run, size);
    }
}
