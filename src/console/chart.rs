//! Charts as SVG, drawn on the server: without scripts, and with their numbers as text beside them.

use jobs::overview::Hour;

/// The drawing's own units.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 150;
const GAP: i64 = 4;

/// A bar of one outcome in one hour.
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) hour: String,
    pub(super) count: i64,
}

/// Bars of the last hours, and where the axis begins and ends.
pub(super) struct Chart {
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) bars: Vec<Bar>,
    pub(super) most: i64,
    pub(super) from: String,
    pub(super) until: String,
    pub(super) total: i64,
}

/// Outcomes by the hour, one on the other.
pub(super) fn throughput(hours: &[Hour]) -> Chart {
    let most = hours
        .iter()
        .map(|hour| hour.accepted + hour.rejected + hour.failed)
        .max()
        .unwrap_or_default()
        .max(1);
    let step = WIDTH / i64::try_from(hours.len().max(1)).unwrap_or(1);
    let mut bars = Vec::new();
    let mut x = 0;
    for hour in hours {
        let mut floor = HEIGHT;
        for (class, count) in [
            ("good", hour.accepted),
            ("warn", hour.rejected),
            ("bad", hour.failed),
        ] {
            if count > 0 {
                // What there is is seen, however little beside the others.
                let height = (count * HEIGHT / most).max(2);
                floor -= height;
                bars.push(Bar {
                    class,
                    x: x + GAP / 2,
                    y: floor.max(0),
                    width: step - GAP,
                    height,
                    hour: hour.from.format("%F %H:00 UTC").to_string(),
                    count,
                });
            }
        }
        x += step;
    }
    let time = |hour: Option<&Hour>| {
        hour.map_or_else(String::new, |hour| hour.from.format("%H:00").to_string())
    };
    Chart {
        width: WIDTH,
        height: HEIGHT,
        bars,
        most,
        from: time(hours.first()),
        until: time(hours.last()),
        total: hours
            .iter()
            .map(|hour| hour.accepted + hour.rejected + hour.failed)
            .sum(),
    }
}
