//! What the columns of a file mean, and reading a line by it.

use std::{collections::BTreeMap, str::FromStr as _};

use chrono::NaiveDate;
use csv::ByteRecord;
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::royalty::money::Currency;

/// The layout of a platform's files: CSV with a line of column names. Columns are named as there, in
/// any case; those that are not named are not read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layout {
    /// Between two columns: one character.
    pub delimiter: char,
    /// Lines before the one with the column names.
    pub skip_lines: u32,
    /// The day of use.
    pub date: String,
    /// How it is written (chrono's strftime).
    pub date_format: String,
    /// The recording. Empty: there is none, lines are matched by UPC.
    pub isrc: String,
    /// The release: where there is no ISRC, or where several tracks have it.
    pub upc: String,
    /// Where it was used. Empty: unknown.
    pub territory: String,
    /// Codes of the platform's own for territories, and what they are.
    pub territories: BTreeMap<String, String>,
    /// Streams.
    pub streams: String,
    /// Downloads.
    pub downloads: String,
    /// Instead of the two: a count, of what another column says.
    pub quantity: String,
    /// The column that says of what.
    pub usage: String,
    /// What it says of streams.
    pub usage_streams: Vec<String>,
    /// What it says of downloads.
    pub usage_downloads: Vec<String>,
    /// What is paid for it.
    pub revenue: String,
    /// The currency of that. Empty: the accounting currency, or `default_currency`.
    pub currency: String,
    /// The currency of all lines, or of those that say none. Empty: the accounting currency.
    pub default_currency: String,
    /// Amounts are written 1,5 and not 1.5.
    pub decimal_comma: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            delimiter: ',',
            skip_lines: 0,
            date: "date".into(),
            date_format: "%Y-%m-%d".into(),
            isrc: "isrc".into(),
            upc: "upc".into(),
            territory: "territory".into(),
            territories: BTreeMap::new(),
            streams: "streams".into(),
            downloads: "downloads".into(),
            quantity: String::new(),
            usage: String::new(),
            usage_streams: Vec::new(),
            usage_downloads: Vec::new(),
            revenue: "revenue".into(),
            currency: "currency".into(),
            default_currency: String::new(),
            decimal_comma: false,
        }
    }
}

impl Layout {
    /// Whether the values can be.
    ///
    /// # Errors
    /// The key that cannot be, and what it should be.
    pub fn validate(&self) -> Result<(), String> {
        if !self.delimiter.is_ascii() || matches!(self.delimiter, '"' | '\n' | '\r') {
            return Err("delimiter must be one ASCII character that is no quote".into());
        }
        if self.date.is_empty() {
            return Err("date must name a column".into());
        }
        if self.isrc.is_empty() && self.upc.is_empty() {
            return Err("isrc or upc must name a column".into());
        }
        if self.quantity.is_empty() != self.usage.is_empty() {
            return Err("quantity and usage name columns together, or neither does".into());
        }
        if !self.default_currency.is_empty() {
            Currency::from_str(&self.default_currency)
                .map_err(|error| format!("default_currency: {error}"))?;
        }
        Ok(())
    }
}

/// Where a record stands in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1, without the one with the names of the columns.
    pub(super) record: u64,
    /// The line that it begins in, from 1, as an editor counts them.
    pub(super) line: u64,
}

/// A line as it says itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) date: NaiveDate,
    /// Without hyphens, in upper case; empty: there is none.
    pub(super) isrc: String,
    /// Without hyphens and leading zeros; empty: there is none.
    pub(super) upc: String,
    pub(super) territory: String,
    pub(super) streams: i32,
    pub(super) downloads: i32,
    pub(super) amount: Option<Decimal>,
    /// `None`: the accounting currency.
    pub(super) currency: Option<Currency>,
    /// What stands there, should it not be imported.
    pub(super) fields: ByteRecord,
}

/// A layout with the places of its columns in one file.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    date: usize,
    date_format: String,
    is_iso_date: bool,
    isrc: Option<usize>,
    upc: Option<usize>,
    territory: Option<usize>,
    territories: BTreeMap<String, String>,
    count: Count,
    revenue: Option<usize>,
    currency: Option<usize>,
    default_currency: Option<Currency>,
    decimal_comma: bool,
    /// No day after it can have been used.
    latest: NaiveDate,
}

#[derive(Clone, Debug)]
enum Count {
    Separate {
        streams: Option<usize>,
        downloads: Option<usize>,
    },
    Of {
        quantity: usize,
        usage: usize,
        streams: Vec<String>,
        downloads: Vec<String>,
    },
}

impl Columns {
    /// Finds the columns by the line of their names.
    pub(super) fn find(
        layout: &Layout,
        head: &ByteRecord,
        latest: NaiveDate,
    ) -> Result<Self, String> {
        let names: Vec<String> = head
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_lowercase())
            .collect();
        let find = |name: &str| {
            let wanted = name.trim().to_lowercase();
            (!wanted.is_empty()).then(|| names.iter().position(|one| *one == wanted))
        };
        let missing = |name: &str| {
            format!(
                "there is no column {name:?} in its first line ({}); see that the layout is the right one",
                names.join(", ").chars().take(200).collect::<String>()
            )
        };
        let needed = |name: &str| find(name).flatten().ok_or_else(|| missing(name));
        let (isrc, upc) = (find(&layout.isrc).flatten(), find(&layout.upc).flatten());
        if isrc.is_none() && upc.is_none() {
            return Err(missing(if layout.isrc.is_empty() {
                &layout.upc
            } else {
                &layout.isrc
            }));
        }
        let count = if layout.quantity.is_empty() {
            let streams = find(&layout.streams).flatten();
            let downloads = find(&layout.downloads).flatten();
            if streams.is_none() && downloads.is_none() {
                return Err(missing(&layout.streams));
            }
            Count::Separate { streams, downloads }
        } else {
            Count::Of {
                quantity: needed(&layout.quantity)?,
                usage: needed(&layout.usage)?,
                streams: layout
                    .usage_streams
                    .iter()
                    .map(|one| one.to_lowercase())
                    .collect(),
                downloads: layout
                    .usage_downloads
                    .iter()
                    .map(|one| one.to_lowercase())
                    .collect(),
            }
        };
        Ok(Self {
            date: needed(&layout.date)?,
            date_format: layout.date_format.clone(),
            is_iso_date: layout.date_format == "%Y-%m-%d",
            isrc,
            upc,
            territory: find(&layout.territory).flatten(),
            territories: layout
                .territories
                .iter()
                .map(|(from, to)| (from.to_uppercase(), to.clone()))
                .collect(),
            count,
            revenue: find(&layout.revenue).flatten(),
            currency: find(&layout.currency).flatten(),
            default_currency: layout.default_currency.parse().ok(),
            decimal_comma: layout.decimal_comma,
            latest,
        })
    }

    /// Reads a line; what is wrong with it where it cannot be read.
    pub(super) fn read(
        &self,
        place: Place,
        record: ByteRecord,
    ) -> Result<Line, (String, ByteRecord)> {
        match self.fields(&record) {
            Ok(mut line) => {
                line.place = place;
                line.fields = record;
                Ok(line)
            }
            Err(problem) => Err((problem, record)),
        }
    }

    fn fields(&self, record: &ByteRecord) -> Result<Line, String> {
        let date = self.date(text(record, self.date, "date")?)?;
        let isrc = match self.isrc {
            Some(at) => identifier(text(record, at, "ISRC")?),
            None => String::new(),
        };
        let upc = match self.upc {
            Some(at) => {
                let upc = identifier(text(record, at, "UPC")?);
                upc.trim_start_matches('0').to_owned()
            }
            None => String::new(),
        };
        if isrc.is_empty() && upc.is_empty() {
            return Err("it has neither an ISRC nor a UPC".into());
        }
        let (streams, downloads) = self.counts(record)?;
        let amount = match self.revenue {
            Some(at) => self.amount(text(record, at, "revenue")?)?,
            None => None,
        };
        Ok(Line {
            place: Place::default(),
            date,
            isrc,
            upc,
            territory: self.territory(record)?,
            streams,
            downloads,
            amount,
            currency: self.currency(record)?,
            fields: ByteRecord::new(),
        })
    }

    fn date(&self, text: &str) -> Result<NaiveDate, String> {
        let date = match self.is_iso_date {
            true => iso_date(text),
            false => NaiveDate::parse_from_str(text, &self.date_format).ok(),
        };
        let first = NaiveDate::from_ymd_opt(1990, 1, 1).unwrap_or_default();
        match date {
            None => Err(format!(
                "{text:?} is no date of the form {}",
                self.date_format
            )),
            Some(date) if date < first || date > self.latest => Err(format!(
                "{date} is no day that there can be usage of by now"
            )),
            Some(date) => Ok(date),
        }
    }

    fn counts(&self, record: &ByteRecord) -> Result<(i32, i32), String> {
        match &self.count {
            Count::Separate { streams, downloads } => {
                let count = |at: &Option<usize>, name| match at {
                    Some(at) => count(text(record, *at, name)?),
                    None => Ok(0),
                };
                Ok((count(streams, "streams")?, count(downloads, "downloads")?))
            }
            Count::Of {
                quantity,
                usage,
                streams,
                downloads,
            } => {
                let quantity = count(text(record, *quantity, "quantity")?)?;
                let usage = text(record, *usage, "usage")?.to_lowercase();
                if streams.contains(&usage) {
                    Ok((quantity, 0))
                } else if downloads.contains(&usage) {
                    Ok((0, quantity))
                } else {
                    Err(format!(
                        "the layout does not say whether {usage:?} are streams or downloads"
                    ))
                }
            }
        }
    }

    fn amount(&self, text: &str) -> Result<Option<Decimal>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let parsed = match self.decimal_comma {
            // A point there separates thousands, and may as well be a mistake.
            true if text.contains('.') => {
                return Err(format!("{text:?} is no amount with a decimal comma"));
            }
            true => decimal(&text.replace(',', ".")),
            false => decimal(text),
        };
        parsed
            .map(Some)
            .ok_or_else(|| format!("{text:?} is no amount"))
    }

    fn territory(&self, record: &ByteRecord) -> Result<String, String> {
        let Some(at) = self.territory else {
            return Ok(String::new());
        };
        let territory = text(record, at, "territory")?;
        let known = match self.territories.is_empty() {
            true => None,
            false => self.territories.get(&territory.to_uppercase()).cloned(),
        };
        let territory = known.unwrap_or_else(|| match territory.len() {
            ..=3 => territory.to_ascii_uppercase(),
            _ => territory.to_owned(),
        });
        if territory.chars().count() > 50 || territory.contains('\0') {
            return Err("its territory is longer than 50 characters".into());
        }
        Ok(territory)
    }

    fn currency(&self, record: &ByteRecord) -> Result<Option<Currency>, String> {
        let said = match self.currency {
            Some(at) => text(record, at, "currency")?,
            None => "",
        };
        if said.is_empty() {
            return Ok(self.default_currency);
        }
        said.parse()
            .map(Some)
            .map_err(|_| format!("{said:?} is no currency"))
    }
}

fn text<'a>(record: &'a ByteRecord, at: usize, name: &str) -> Result<&'a str, String> {
    let field = record
        .get(at)
        .ok_or_else(|| format!("it has {} columns and no {name}", record.len()))?;
    std::str::from_utf8(field)
        .map(str::trim)
        .map_err(|_| format!("its {name} is not UTF-8"))
}

fn identifier(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    kept.extend(
        text.chars()
            .filter(|one| *one != '-' && *one != '\0')
            .map(|one| one.to_ascii_uppercase()),
    );
    kept
}

/// Four digits, two, two. The general reader takes ten times as long.
fn iso_date(text: &str) -> Option<NaiveDate> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else {
        return None;
    };
    let number = |digits: &[&u8]| {
        digits.iter().try_fold(0_u32, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + u32::from(**digit - b'0'))
        })
    };
    NaiveDate::from_ymd_opt(
        i32::try_from(number(&[y1, y2, y3, y4])?).ok()?,
        number(&[m1, m2])?,
        number(&[d1, d2])?,
    )
}

/// A whole number, which some write `12.0`. Negative ones take usage back.
fn count(text: &str) -> Result<i32, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => text,
    };
    whole
        .parse()
        .map_err(|_| format!("{text:?} is no whole number that fits (to 2147483647)"))
}

fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text)
        .or_else(|_| Decimal::from_scientific(text))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(layout: &Layout, head: &str) -> Result<Columns, String> {
        let head = ByteRecord::from(head.split(',').collect::<Vec<_>>());
        Columns::find(layout, &head, NaiveDate::from_ymd_opt(2026, 6, 1).unwrap())
    }

    fn read(columns: &Columns, line: &str) -> Result<Line, String> {
        let record = ByteRecord::from(line.split('|').collect::<Vec<_>>());
        columns
            .read(Place::default(), record)
            .map_err(|(problem, _)| problem)
    }

    #[test]
    fn a_plain_line_is_read() {
        let columns = columns(
            &Layout::default(),
            "\u{20}Date,ISRC,Streams,Revenue,currency,territory",
        )
        .unwrap();
        let line = read(&columns, "2026-05-03| de-a01-26-00001 |12.0|1e-3|eur|us").unwrap();
        assert_eq!((line.isrc.as_str(), line.streams), ("DEA012600001", 12));
        assert_eq!(line.amount, Some("0.001".parse().unwrap()));
        assert_eq!(
            (line.currency, line.territory.as_str()),
            (Some(Currency::EUR), "US")
        );
    }

    #[test]
    fn what_cannot_be_is_said() {
        let columns = columns(&Layout::default(), "date,isrc,streams,revenue").unwrap();
        for (line, problem) in [
            ("2026-02-30|A|1|1", "no date"),
            ("2027-01-01|A|1|1", "no day that"),
            ("2026-01-01||1|1", "neither"),
            ("2026-01-01|A|1.5|1", "whole number"),
            ("2026-01-01|A|2147483648|1", "whole number"),
            ("2026-01-01|A|1|1,5", "no amount"),
            ("2026-01-01|A|1|NaN", "no amount"),
            ("2026-01-01|A|1|\0", "no amount"),
            ("2026-01-01|A|1", "3 columns"),
            ("+026-01-01|A|1|1", "no date"),
        ] {
            let found = read(&columns, line).unwrap_err();
            assert!(found.contains(problem), "{line}: {found}");
        }
    }

    #[test]
    fn a_platforms_own_words_are_mapped() {
        let layout = Layout {
            date: "Reporting Date".into(),
            date_format: "%d.%m.%Y".into(),
            isrc: String::new(),
            upc: "EAN".into(),
            territories: BTreeMap::from([("uk".into(), "GB".into())]),
            quantity: "Units".into(),
            usage: "Type".into(),
            usage_streams: vec!["Premium Stream".into()],
            usage_downloads: vec!["Track Sale".into()],
            revenue: "Net".into(),
            decimal_comma: true,
            default_currency: "EUR".into(),
            ..Layout::default()
        };
        assert_eq!(layout.validate(), Ok(()));
        let columns = columns(&layout, "reporting date,ean,territory,units,type,net").unwrap();
        let line = read(&columns, "03.05.2026|0-842600000019|UK|3|track sale|1,25").unwrap();
        assert_eq!(
            (line.upc.as_str(), line.territory.as_str()),
            ("842600000019", "GB")
        );
        assert_eq!((line.streams, line.downloads), (0, 3));
        assert_eq!(line.amount, Some("1.25".parse().unwrap()));
        assert!(
            read(&columns, "03.05.2026|1|UK|3|loan|1,25")
                .unwrap_err()
                .contains("loan")
        );
        assert!(read(&columns, "03.05.2026|1|UK|3|track sale|1.250").is_err());
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        let error = columns(&Layout::default(), "day,isrc,streams").unwrap_err();
        assert!(
            error.contains("\"date\"") && error.contains("day, isrc"),
            "{error}"
        );
    }
}
