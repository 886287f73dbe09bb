//! A statement as CSV: one table, whose first column says what a line is. Lines with `additive` 1
//! sum up; the others are detail.

use std::io::Write;

use csv::{Writer, WriterBuilder};
use rust_decimal::Decimal;

use crate::royalty::statement::{PartLine, Statement, TrackLine};

const HEAD: [&str; 17] = [
    "section",
    "period",
    "payee_id",
    "payee",
    "release",
    "upc",
    "track",
    "isrc",
    "month",
    "name",
    "percentage",
    "streams",
    "downloads",
    "revenue",
    "amount",
    "currency",
    "additive",
];

/// Writes statements, one after the other, under one head.
///
/// # Errors
/// Those of writing.
pub fn write_csv<'a>(
    out: impl Write,
    statements: impl IntoIterator<Item = &'a Statement>,
) -> Result<(), csv::Error> {
    let mut writer = WriterBuilder::new().from_writer(out);
    writer.write_record(HEAD)?;
    for statement in statements {
        for line in &statement.summary {
            let row = Row {
                name: line.kind.label().to_owned(),
                amount: line.amount,
                is_additive: true,
                ..Row::default()
            };
            row.write(&mut writer, statement, "summary")?;
        }
        let payable = Row {
            name: "payable".to_owned(),
            amount: statement.payable,
            ..Row::default()
        };
        payable.write(&mut writer, statement, "payable")?;
        for line in &statement.tracks {
            Row::of_track(line).write(&mut writer, statement, "track")?;
        }
        for line in &statement.platforms {
            Row::of_part(line).write(&mut writer, statement, "platform")?;
        }
        for line in &statement.territories {
            Row::of_part(line).write(&mut writer, statement, "territory")?;
        }
    }
    writer.flush()?;
    Ok(())
}

#[derive(Default)]
struct Row {
    release: String,
    upc: String,
    track: String,
    isrc: String,
    month: String,
    name: String,
    percentage: String,
    streams: String,
    downloads: String,
    revenue: String,
    amount: Decimal,
    is_additive: bool,
}

impl Row {
    fn of_track(line: &TrackLine) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            release: text(&line.release),
            upc: text(&line.upc),
            track: line.title.clone(),
            isrc: text(&line.isrc),
            month: line.month.to_string(),
            name: line.kind.label().to_owned(),
            percentage: line.percentage.to_string(),
            streams: line.streams.to_string(),
            downloads: line.downloads.to_string(),
            revenue: line.revenue.to_string(),
            amount: line.amount,
            is_additive: true,
        }
    }

    fn of_part(line: &PartLine) -> Self {
        Self {
            name: line.name.clone(),
            streams: line.streams.to_string(),
            downloads: line.downloads.to_string(),
            amount: line.amount,
            ..Self::default()
        }
    }

    fn write(
        &self,
        writer: &mut Writer<impl Write>,
        statement: &Statement,
        section: &str,
    ) -> Result<(), csv::Error> {
        let fields = [
            section,
            &statement.period.to_string(),
            &statement.payee.to_string(),
            &statement.payee_name,
            &self.release,
            &self.upc,
            &self.track,
            &self.isrc,
            &self.month,
            &self.name,
            &self.percentage,
            &self.streams,
            &self.downloads,
            &self.revenue,
            &self.amount.to_string(),
            &statement.currency,
            if self.is_additive { "1" } else { "0" },
        ];
        // A spreadsheet takes a text that begins like this for a formula.
        let is_formula = |text: &str| text.starts_with(['=', '+', '@', '\t', '\r']);
        writer.write_record(fields.map(|field| match is_formula(field) {
            true => format!("'{field}"),
            false => field.to_owned(),
        }))
    }
}
