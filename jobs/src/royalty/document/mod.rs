//! Statements as documents: CSV for programs and spreadsheets, PDF for people.

mod csv;
mod layout;
mod pdf;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::{
    csv::write_csv,
    pdf::{Fonts, FontsError, PdfError, write_pdf},
};
use super::statement::Statement;

/// How statements are written as files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RoyaltyStatementLayout)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Layout {
    /// For spreadsheets and programs.
    Csv,
    /// To be sent to an artist.
    Pdf,
}

impl Layout {
    /// How the names of its files end, and how it is called.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Pdf => "pdf",
        }
    }

    /// The layout of that extension.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Csv, Self::Pdf]
            .into_iter()
            .find(|layout| layout.extension() == word)
    }

    /// What its files are.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Pdf => "application/pdf",
        }
    }

    /// What writes it, with the fonts at these paths if it needs any.
    ///
    /// # Errors
    /// [`FontsError`].
    pub fn writer(self, fonts: &[PathBuf]) -> Result<Writer, FontsError> {
        Ok(match self {
            Self::Csv => Writer::Csv,
            Self::Pdf => Writer::Pdf(Fonts::read(fonts)?),
        })
    }
}

/// Writes statements in one layout.
#[derive(Clone)]
pub enum Writer {
    /// [`Layout::Csv`].
    Csv,
    /// [`Layout::Pdf`], with its fonts.
    Pdf(Fonts),
}

/// A statement that cannot be written as a file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// As CSV.
    #[error(transparent)]
    Csv(#[from] ::csv::Error),
    /// As PDF.
    #[error(transparent)]
    Pdf(#[from] PdfError),
}

impl Writer {
    /// A statement as a file.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&self, statement: &Statement) -> Result<Vec<u8>, WriteError> {
        match self {
            Self::Csv => {
                let mut body = Vec::new();
                write_csv(&mut body, [statement])?;
                Ok(body)
            }
            Self::Pdf(fonts) => Ok(write_pdf(statement, fonts)?),
        }
    }
}
