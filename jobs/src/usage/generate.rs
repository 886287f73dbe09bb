//! Believable usage, to try reports, statistics and royalties with: few tracks have most of it, each
//! territory and platform its part, weekends more than weekdays; some lines come late, and some take
//! back what an earlier one said. The same seed gives the same bytes.

use std::{
    collections::VecDeque,
    io::{self, Write},
};

use chrono::{Datelike as _, Days, NaiveDate, Weekday};
use sqlx::PgPool;

/// Territories with their parts in a thousand, and what a stream there brings in units of 10⁻⁶.
const TERRITORIES: [(&str, u32, u64); 12] = [
    ("US", 310, 4100),
    ("DE", 140, 3900),
    ("GB", 120, 4000),
    ("FR", 90, 3300),
    ("BR", 80, 1200),
    ("MX", 60, 1100),
    ("JP", 55, 4700),
    ("SE", 40, 5100),
    ("IN", 40, 700),
    ("NO", 30, 5400),
    ("NG", 20, 500),
    ("", 15, 2000),
];
/// The streams of a line of the track that is heard most.
const MOST_STREAMS: f64 = 40_000.0;
/// What a download brings in units of 10⁻⁶.
const DOWNLOAD: u64 = 690_000;
/// One line of so many has a download.
const DOWNLOADS_EVERY: u64 = 40;
/// One line of so many is of a day before the report's first.
const LATE_EVERY: u64 = 120;
/// How many days before, at most.
const LATE_DAYS: u64 = 45;
/// One line of so many takes back one before it.
const CORRECTED_EVERY: u64 = 200;
/// Lines that may still be taken back.
const REMEMBERED: usize = 500;

/// A report to be made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    /// Recordings, the one that is heard most first.
    pub isrcs: &'a [String],
    /// The report's days.
    pub first_day: NaiveDate,
    /// The last of them.
    pub last_day: NaiveDate,
    /// Lines without the head.
    pub lines: u64,
    /// Which of all such reports.
    pub seed: u64,
}

/// One line.
#[derive(Clone, Debug)]
struct Line<'a> {
    date: NaiveDate,
    isrc: &'a str,
    territory: &'static str,
    streams: u64,
    downloads: u64,
    /// In units of 10⁻⁴.
    revenue: u64,
}

/// The catalogue's recordings, to make a report of.
///
/// # Errors
/// The database's.
pub async fn isrcs(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct isrc as "isrc!" from public.tracks where isrc ~ '^[A-Za-z0-9-]+$' order by isrc"#
    )
    .fetch_all(pool)
    .await
}

/// Writes a report in the layout `plain`, in the order in which lines would come in. Without recordings
/// or days it has a head alone.
///
/// # Errors
/// Those of writing.
pub fn generate(out: &mut impl Write, plan: &Plan<'_>) -> io::Result<()> {
    writeln!(out, "date,isrc,territory,streams,downloads,revenue")?;
    let days = plan
        .last_day
        .signed_duration_since(plan.first_day)
        .num_days();
    let days = u64::try_from(days + 1).unwrap_or(0);
    if days == 0 || plan.isrcs.is_empty() {
        return Ok(());
    }
    let mut dice = Dice(plan.seed);
    let mut remembered: VecDeque<Line<'_>> = VecDeque::new();
    for number in 0..plan.lines {
        if dice.below(CORRECTED_EVERY) == 0
            && let Some(line) = remembered.pop_front()
        {
            line.write(out, "-")?;
            continue;
        }
        // The days go by as the lines do.
        let day = Days::new(number * days / plan.lines);
        let Some(line) = plan.line(plan.first_day + day, &mut dice) else {
            return Ok(());
        };
        line.write(out, "")?;
        remembered.push_back(line);
        if remembered.len() > REMEMBERED {
            remembered.pop_front();
        }
    }
    Ok(())
}

impl<'a> Plan<'a> {
    fn line(&self, day: NaiveDate, dice: &mut Dice) -> Option<Line<'a>> {
        let date = match dice.below(LATE_EVERY) {
            0 => self.first_day - Days::new(1 + dice.below(LATE_DAYS)),
            _ => day,
        };
        // Each draw halves what is left on average: a few are had by most lines, most by few.
        let mut rank = u64::try_from(self.isrcs.len()).unwrap_or(u64::MAX);
        for _ in 0..3 {
            rank = dice.below(rank) + 1;
        }
        let isrc = usize::try_from(rank - 1)
            .ok()
            .and_then(|place| self.isrcs.get(place))?;
        let (territory, part, rate) = dice.territory();
        let weekend = match date.weekday() {
            Weekday::Fri | Weekday::Sat => 1.3,
            Weekday::Sun => 1.1,
            _ => 0.9,
        };
        let most = MOST_STREAMS / (rank as f64).sqrt() * f64::from(part) / 310.0 * weekend;
        let streams = 1 + (most * dice.part() * dice.part()) as u64;
        let downloads = u64::from(dice.below(DOWNLOADS_EVERY) == 0);
        Some(Line {
            date,
            isrc,
            territory,
            streams,
            downloads,
            revenue: (streams * rate + downloads * DOWNLOAD) / 100,
        })
    }
}

impl Line<'_> {
    fn write(&self, out: &mut impl Write, sign: &str) -> io::Result<()> {
        let downloads = if self.downloads == 0 { "" } else { sign };
        writeln!(
            out,
            "{},{},{},{sign}{},{downloads}{},{sign}{}.{:04}",
            self.date,
            self.isrc,
            self.territory,
            self.streams,
            self.downloads,
            self.revenue / 10_000,
            self.revenue % 10_000
        )
    }
}

/// SplitMix64: the same numbers on every machine and with every version.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// From 0 to 1, without 1.
    fn part(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn territory(&mut self) -> (&'static str, u32, u64) {
        let mut left = u32::try_from(self.below(1000)).unwrap_or(0);
        for (name, part, rate) in TERRITORIES {
            if left < part {
                return (name, part, rate);
            }
            left -= part;
        }
        ("", 15, 2000)
    }
}
