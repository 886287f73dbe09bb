//! How a benchmark says what it found: a table for people, or one JSON object a line with `--json`.

#[allow(dead_code, reason = "not every benchmark counts it")]
pub(crate) mod processor;

use std::{fmt, process::ExitCode};

use serde_json::{Map, Value, json};

/// One figure of ours beside what it is held against. Larger is better.
pub(crate) struct Measure {
    /// What is measured, as `scripts/bench` names it.
    pub(crate) benchmark: &'static str,
    /// What the figures count.
    pub(crate) unit: &'static str,
    /// The median of our rounds.
    pub(crate) ours: f64,
    /// Other programs that do the same on the same machine: name with version, median.
    pub(crate) peers: Vec<(String, f64)>,
    /// The least that anybody must do, such as the bare inserts of the same rows.
    pub(crate) limit: Option<(String, f64)>,
    /// Ours to the best peer, or to the limit where there is no peer: what it should be at least.
    pub(crate) bar: f64,
}

impl Measure {
    /// Ours to the best peer, or to the limit where there is no peer.
    #[must_use]
    pub(crate) fn ratio(&self) -> f64 {
        let best_peer = self.peers.iter().map(|peer| peer.1).reduce(f64::max);
        let other = best_peer.or(self.limit.as_ref().map(|limit| limit.1));
        other.map_or(f64::NAN, |other| self.ours / other)
    }

    fn json(&self) -> Value {
        let peers: Map<_, _> = self
            .peers
            .iter()
            .map(|(name, value)| (name.clone(), json!(rounded(*value, 1.0))))
            .collect();
        json!({
            "benchmark": self.benchmark,
            "unit": self.unit,
            "ours": rounded(self.ours, 1.0),
            "peers": peers,
            "limit": self.limit.as_ref().map(|limit| rounded(limit.1, 1.0)),
            "limit_is": self.limit.as_ref().map(|limit| limit.0.as_str()),
            "ratio": rounded(self.ratio(), 1000.0),
            "bar": self.bar,
        })
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.benchmark, self.unit)?;
        writeln!(f, "  {:<52}{:>12}{:>8}", "", "median", "ratio")?;
        let version = env!("CARGO_PKG_VERSION");
        let mut line = |name: &str, value: f64| {
            let ratio = self.ours / value;
            writeln!(f, "  {name:<52}{value:>12.0}{ratio:>8.2}")
        };
        line(&format!("tunemantra-worker {version}"), self.ours)?;
        for (name, value) in self.peers.iter().chain(&self.limit) {
            line(name, *value)?;
        }
        write!(
            f,
            "  ratio {:.2}, should be {} or more",
            self.ratio(),
            self.bar
        )
    }
}

/// Prints the measures in the form that the command line asks for.
pub(crate) fn print(measures: &[Measure]) -> ExitCode {
    let wants_json = std::env::args().any(|argument| argument == "--json");
    for measure in measures {
        if wants_json {
            println!("{}", measure.json());
        } else {
            println!("{measure}");
        }
    }
    ExitCode::SUCCESS
}

/// The middle one; of an even number the upper of the two.
#[allow(dead_code, reason = "not every benchmark has rounds")]
#[must_use]
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
