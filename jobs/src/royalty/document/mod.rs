//! Statements as documents: CSV for programs and spreadsheets, PDF for people.

mod csv;
mod layout;
mod pdf;

pub use self::{
    csv::write_csv,
    pdf::{Fonts, FontsError, PdfError, write_pdf},
};
