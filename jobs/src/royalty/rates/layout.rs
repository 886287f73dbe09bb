//! The layouts of rates as CSV: the European Central Bank's reference rates (a row a day, a column a
//! currency, all per euro), and `base,quote,date,rate`.

use std::io::Read;

use chrono::NaiveDate;
use csv::{ByteRecord, Reader, ReaderBuilder, StringRecord};
use rust_decimal::Decimal;

use crate::royalty::money::Currency;

/// A line that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file's first line is that of no known layout.
    #[error(
        "the first line is {0:?}: expected `Date,USD,JPY,…` (the European Central Bank's \
         reference rates) or `base,quote,date,rate`"
    )]
    Layout(String),
    /// A field cannot be read.
    #[error("line {line}: {problem}")]
    Field {
        /// From 1.
        line: u64,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// It is no CSV, or cannot be read at all.
    #[error(transparent)]
    Csv(#[from] csv::Error),
}

/// A rate as a line says it.
pub(super) struct Line {
    pub(super) base: Currency,
    pub(super) quote: Currency,
    pub(super) date: NaiveDate,
    pub(super) rate: Decimal,
}

enum Layout {
    /// The currency of each column after the date; `None`: an empty one, as at the end of the ECB's
    /// lines.
    Reference(Vec<Option<Currency>>),
    /// In which column each of base, quote, date and rate stands.
    Pairs([usize; 4]),
}

/// Rates in the order of the file.
pub(super) struct Lines<R> {
    reader: Reader<R>,
    layout: Layout,
}

impl<R: Read> Lines<R> {
    /// Reads the first line.
    pub(super) fn open(input: R) -> Result<Self, Unreadable> {
        let mut reader = ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(input);
        let layout = layout(reader.headers()?)?;
        Ok(Self { reader, layout })
    }

    /// The rates of the next line, which may be none; `None`: the file ends.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Line>>, Unreadable> {
        let mut record = ByteRecord::new();
        if !self.reader.read_byte_record(&mut record)? {
            return Ok(None);
        }
        let line = record.position().map_or(0, csv::Position::line);
        let record = StringRecord::from_byte_record_lossy(record);
        let read = match &self.layout {
            Layout::Reference(currencies) => reference(&record, currencies),
            Layout::Pairs(columns) => pair(&record, columns),
        };
        read.map(Some)
            .map_err(|problem| Unreadable::Field { line, problem })
    }
}

fn layout(head: &StringRecord) -> Result<Layout, Unreadable> {
    let unknown = || Unreadable::Layout(head.iter().collect::<Vec<_>>().join(","));
    let is = |name: &str| {
        head.iter()
            .position(|field| field.eq_ignore_ascii_case(name))
    };
    if let (Some(base), Some(quote), Some(date), Some(rate)) =
        (is("base"), is("quote"), is("date"), is("rate"))
    {
        return Ok(Layout::Pairs([base, quote, date, rate]));
    }
    if is("date") != Some(0) {
        return Err(unknown());
    }
    let currencies: Result<Vec<_>, _> = head
        .iter()
        .skip(1)
        .map(|field| match field {
            "" => Ok(None),
            code => code.parse().map(Some),
        })
        .collect();
    match currencies {
        Ok(currencies) if currencies.iter().any(Option::is_some) => {
            Ok(Layout::Reference(currencies))
        }
        _ => Err(unknown()),
    }
}

fn reference(record: &StringRecord, currencies: &[Option<Currency>]) -> Result<Vec<Line>, String> {
    let date = day(record.get(0).unwrap_or_default())?;
    let mut lines = Vec::with_capacity(currencies.len());
    for (quote, field) in currencies.iter().zip(record.iter().skip(1)) {
        // A currency that was not quoted on that day.
        let Some(quote) = quote.filter(|_| !matches!(field, "" | "N/A")) else {
            continue;
        };
        let rate = positive(field).map_err(|problem| format!("{quote}: {problem}"))?;
        lines.push(Line {
            base: Currency::EUR,
            quote,
            date,
            rate,
        });
    }
    Ok(lines)
}

fn pair(record: &StringRecord, columns: &[usize; 4]) -> Result<Vec<Line>, String> {
    let [base, quote, date, rate] = columns.map(|column| record.get(column).unwrap_or_default());
    let currency = |text: &str| text.parse::<Currency>().map_err(|error| error.to_string());
    let line = Line {
        base: currency(base)?,
        quote: currency(quote)?,
        date: day(date)?,
        rate: positive(rate)?,
    };
    if line.base == line.quote {
        return Err(format!("base and quote are both {}", line.base));
    }
    Ok(vec![line])
}

/// `2026-10-30`, or as the ECB's file of one day has it, `30 October 2026`.
fn day(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .or_else(|_| NaiveDate::parse_from_str(text, "%d %B %Y"))
        .map_err(|_| format!("{text:?} is no date: expected year-month-day, such as 2026-10-30"))
}

fn positive(text: &str) -> Result<Decimal, String> {
    match Decimal::from_str_exact(text) {
        Ok(rate) if rate > Decimal::ZERO => Ok(rate),
        Ok(_) => Err(format!("the rate {text} is not above zero")),
        Err(_) => Err(format!(
            "{text:?} is no rate: expected a number with a decimal point and at most 28 digits"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Unreadable> {
        let mut lines = Lines::open(text.as_bytes())?;
        let mut all = Vec::new();
        while let Some(some) = lines.next()? {
            all.extend(
                some.iter()
                    .map(|one| format!("{}/{} {} {}", one.base, one.quote, one.date, one.rate)),
            );
        }
        Ok(all)
    }

    #[test]
    fn the_central_banks_layouts() {
        let history =
            "Date,USD,JPY,BGN,\n2026-10-30,1.1555,178.1,N/A,\n1999-01-04,1.1789,133.73,N/A,\n";
        assert_eq!(
            read(history).unwrap(),
            [
                "EUR/USD 2026-10-30 1.1555",
                "EUR/JPY 2026-10-30 178.1",
                "EUR/USD 1999-01-04 1.1789",
                "EUR/JPY 1999-01-04 133.73",
            ]
        );
        let day = "Date, USD, JPY, \n30 October 2026, 1.1555, 178.1, \n";
        assert_eq!(read(day).unwrap().len(), 2);
    }

    #[test]
    fn pairs_in_any_order_of_columns() {
        let text = "date,rate,base,quote\n2026-10-30,0.0000613,idr,USD\n";
        assert_eq!(read(text).unwrap(), ["IDR/USD 2026-10-30 0.0000613"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, part) in [
            ("a,b\n1,2\n", "the first line is \"a,b\""),
            ("Date,Dollars\n", "the first line"),
            (
                "Date,USD\n2026-10-30,-1\n",
                "line 2: USD: the rate -1 is not above zero",
            ),
            (
                "Date,USD\n2026-13-30,1\n",
                "line 2: \"2026-13-30\" is no date",
            ),
            (
                "base,quote,date,rate\nEUR,USD,2026-10-30,1\nEUR,EUR,2026-10-30,1\n",
                "line 3: base and quote",
            ),
            (
                "base,quote,date,rate\nEUR,USD,2026-10-30,\"1,5\"\n",
                "line 2: \"1,5\" is no rate",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
