//! ℗ and © lines.

use chrono::Datelike;

use super::super::xml::Document;
use crate::{package::Package, release::RightsLine};

/// The year and text of a ℗ line. Where the catalogue has none it is what a label prints by
/// default: the year of first release and the label's name.
pub(super) fn p_line(given: Option<&RightsLine>, package: &Package) -> RightsLine {
    let release = &package.release;
    given.cloned().unwrap_or_else(|| RightsLine {
        year: release
            .original_release_date
            .unwrap_or(release.release_date)
            .year(),
        text: release.label.clone(),
    })
}

/// Writes `PLine` or `CLine`, with the sign in letters, as the line is printed.
pub(super) fn write(line: &RightsLine, sign: char, xml: &mut Document) {
    let (name, text_name) = if sign == 'P' {
        ("PLine", "PLineText")
    } else {
        ("CLine", "CLineText")
    };
    let has_year = (1..=9999).contains(&line.year);
    let bare = line
        .text
        .trim()
        .trim_start_matches(['℗', '©'])
        .trim_start_matches("(P)")
        .trim_start_matches("(C)")
        .trim();
    let year = format!("{:04}", line.year);
    let text = match has_year && !bare.starts_with(&year) {
        true => format!("({sign}) {year} {bare}"),
        false => format!("({sign}) {bare}"),
    };
    xml.element(name, |xml| {
        if has_year {
            xml.text("Year", &year);
        }
        xml.text(text_name, text.trim_end());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_lines_carry_sign_and_year_once() {
        let written = |text: &str| {
            let mut xml = Document::new();
            let line = RightsLine {
                year: 2021,
                text: text.into(),
            };
            write(&line, 'P', &mut xml);
            String::from_utf8(xml.finish().unwrap()).unwrap()
        };
        for text in ["Nord", "℗ 2021 Nord", "(P) 2021 Nord", "2021 Nord"] {
            assert!(
                written(text).contains("<PLineText>(P) 2021 Nord</PLineText>"),
                "{}",
                written(text)
            );
        }
    }
}
