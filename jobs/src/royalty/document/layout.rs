//! Where everything of a statement stands on its pages. Drawing it is `pdf`.

use crate::royalty::statement::{PartLine, Statement};

/// A4, in points.
pub(super) const PAGE_WIDTH: f32 = 595.0;
pub(super) const PAGE_HEIGHT: f32 = 842.0;
pub(super) const MARGIN: f32 = 45.0;
const RIGHT: f32 = PAGE_WIDTH - MARGIN;
const BOTTOM: f32 = PAGE_HEIGHT - 60.0;
const TEXT: f32 = 8.5;
const LINE: f32 = 13.0;

/// To which side of its place a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Something on a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Text {
        x: f32,
        y: f32,
        size: f32,
        align: Align,
        text: String,
    },
    Rule {
        y: f32,
    },
}

/// How wide a text is.
pub(super) trait Measure {
    fn width(&self, text: &str, size: f32) -> f32;
}

/// A column of a table: where it begins or, aligned right, ends, and how wide it may be.
#[derive(Clone, Copy)]
struct Column {
    x: f32,
    width: f32,
    align: Align,
}

const fn left(x: f32, width: f32) -> Column {
    Column {
        x,
        width,
        align: Align::Left,
    }
}

const fn right(x: f32, width: f32) -> Column {
    Column {
        x,
        width,
        align: Align::Right,
    }
}

const SUMMARY: [Column; 3] = [
    left(MARGIN, 250.0),
    right(430.0, 110.0),
    right(RIGHT, 110.0),
];
const TRACKS: [Column; 7] = [
    left(MARGIN, 125.0),
    left(173.0, 110.0),
    left(286.0, 38.0),
    left(327.0, 72.0),
    right(432.0, 32.0),
    right(490.0, 56.0),
    right(RIGHT, 58.0),
];
const PARTS: [Column; 4] = [
    left(MARGIN, 230.0),
    right(350.0, 70.0),
    right(430.0, 70.0),
    right(RIGHT, 110.0),
];

/// The statement's title.
pub(super) fn title(statement: &Statement) -> String {
    let draft = if statement.state.is_final() {
        ""
    } else {
        " (draft)"
    };
    match statement.revision {
        1 => format!("Royalty statement {}{draft}", statement.period),
        revision => format!(
            "Royalty statement {}, correction {}{draft}",
            statement.period,
            revision - 1
        ),
    }
}

/// Lays a statement out on pages.
pub(super) fn lay_out(statement: &Statement, measure: &impl Measure) -> Vec<Vec<Item>> {
    let mut sheet = Sheet {
        measure,
        pages: vec![Vec::new()],
        y: MARGIN + 20.0,
    };
    sheet.heading(18.0, &title(statement));
    sheet.line(10.0, &statement.payee_name);
    sheet.line(
        TEXT,
        &format!(
            "Payee {} · all amounts in {} · run {}",
            statement.payee, statement.currency, statement.run
        ),
    );
    summary(&mut sheet, statement);
    tracks(&mut sheet, statement);
    parts(&mut sheet, "By platform", &statement.platforms);
    parts(&mut sheet, "By territory", &statement.territories);
    sheet.numbered(&statement.payee_name)
}

fn summary(sheet: &mut Sheet<'_, impl Measure>, statement: &Statement) {
    let previous = statement
        .previous_period
        .map_or_else(String::new, |period| period.to_string());
    sheet.heading(11.0, "Summary");
    sheet.head(&SUMMARY, &["", &statement.period.to_string(), &previous]);
    for line in &statement.summary {
        let before = line
            .previous
            .map_or_else(String::new, |amount| amount.to_string());
        sheet.row(
            &SUMMARY,
            &[line.kind.label(), &line.amount.to_string(), &before],
        );
    }
    sheet.rule();
    let before = statement
        .previous_payable
        .map_or_else(String::new, |amount| amount.to_string());
    sheet.row(
        &SUMMARY,
        &["Payable", &statement.payable.to_string(), &before],
    );
}

fn tracks(sheet: &mut Sheet<'_, impl Measure>, statement: &Statement) {
    if statement.tracks.is_empty() {
        return;
    }
    sheet.heading(11.0, "By release and track");
    let head = ["Track", "Release", "Month", "As", "%", "Revenue", "Yours"];
    sheet.head(&TRACKS, &head);
    for line in &statement.tracks {
        let cells = [
            line.title.as_str(),
            line.release.as_deref().unwrap_or_default(),
            &line.month.to_string(),
            line.kind.label(),
            &line.percentage.normalize().to_string(),
            &line.revenue.to_string(),
            &line.amount.to_string(),
        ];
        if sheet.row(&TRACKS, &cells) {
            sheet.head(&TRACKS, &head);
        }
    }
}

fn parts(sheet: &mut Sheet<'_, impl Measure>, title: &str, lines: &[PartLine]) {
    if lines.is_empty() {
        return;
    }
    sheet.heading(11.0, title);
    sheet.line(
        TEXT,
        "Shares of amounts that are shared out by track, not rounded: they need not sum to the total.",
    );
    let head = ["", "Streams", "Downloads", "Yours"];
    sheet.head(&PARTS, &head);
    for line in lines {
        let cells = [
            line.name.as_str(),
            &line.streams.to_string(),
            &line.downloads.to_string(),
            &line.amount.to_string(),
        ];
        if sheet.row(&PARTS, &cells) {
            sheet.head(&PARTS, &head);
        }
    }
}

struct Sheet<'a, M> {
    measure: &'a M,
    pages: Vec<Vec<Item>>,
    y: f32,
}

impl<M: Measure> Sheet<'_, M> {
    fn put(&mut self, item: Item) {
        if let Some(page) = self.pages.last_mut() {
            page.push(item);
        }
    }

    fn text(&mut self, x: f32, size: f32, align: Align, text: String) {
        let y = self.y;
        self.put(Item::Text {
            x,
            y,
            size,
            align,
            text,
        });
    }

    /// Goes on to another page if less than `height` is left. Whether it did.
    fn need(&mut self, height: f32) -> bool {
        if self.y + height <= BOTTOM {
            return false;
        }
        self.pages.push(Vec::new());
        self.y = MARGIN + 10.0;
        true
    }

    fn heading(&mut self, size: f32, text: &str) {
        // A heading does not stand alone at the foot of a page.
        self.need(5.0 * LINE);
        self.y += size;
        self.text(MARGIN, size, Align::Left, text.to_owned());
        self.y += size * 0.6 + 6.0;
    }

    fn line(&mut self, size: f32, text: &str) {
        self.need(LINE);
        let text = self.cut(text, size, RIGHT - MARGIN);
        self.text(MARGIN, size, Align::Left, text);
        self.y += LINE;
    }

    fn head<const N: usize>(&mut self, columns: &[Column; N], cells: &[&str; N]) {
        self.row(columns, cells);
        self.rule();
    }

    fn rule(&mut self) {
        let y = self.y - LINE * 0.6;
        self.put(Item::Rule { y });
        self.y += LINE * 0.2;
    }

    /// A line of a table. Whether it stands on a new page.
    fn row<const N: usize>(&mut self, columns: &[Column; N], cells: &[&str; N]) -> bool {
        let is_new = self.need(LINE);
        for (column, cell) in columns.iter().zip(cells) {
            // A figure is never cut.
            let text = match column.align {
                Align::Left => self.cut(cell, TEXT, column.width),
                Align::Right => (*cell).to_owned(),
            };
            self.text(column.x, TEXT, column.align, text);
        }
        self.y += LINE;
        is_new
    }

    /// The text, shortened to a width.
    fn cut(&self, text: &str, size: f32, width: f32) -> String {
        if self.measure.width(text, size) <= width {
            return text.to_owned();
        }
        let mut kept = String::new();
        for character in text.chars() {
            kept.push(character);
            if self.measure.width(&kept, size) + self.measure.width("…", size) > width {
                kept.pop();
                break;
            }
        }
        kept.push('…');
        kept
    }

    /// All pages, each with its number.
    fn numbered(mut self, name: &str) -> Vec<Vec<Item>> {
        let count = self.pages.len();
        for (page, number) in self.pages.iter_mut().zip(1..) {
            page.push(Item::Text {
                x: RIGHT,
                y: PAGE_HEIGHT - 30.0,
                size: TEXT,
                align: Align::Right,
                text: format!("{name} · page {number} of {count}"),
            });
        }
        self.pages
    }
}
