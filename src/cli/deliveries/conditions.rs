//! Which deliveries: the conditions that `list` and what changes many of them have in common.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::delivery::{Selection, State};

/// All that fit every condition given.
#[derive(Debug, clap::Args)]
pub(super) struct Conditions {
    /// Only those in this state: queued, sending, batched, sent, accepted, rejected, retrying,
    /// unknown, failed, held, canceled. May be given several times, or with commas between them.
    #[arg(long, value_parser = state, value_delimiter = ',')]
    state: Vec<State>,
    /// Only those to this platform.
    #[arg(long, value_name = "ID")]
    platform: Option<i32>,
    /// Only those of this release.
    #[arg(long, value_name = "ID")]
    release: Option<i32>,
    /// Only those of releases with these words in the title or an artist's name.
    #[arg(long, value_name = "WORDS")]
    title: Option<String>,
    /// Only those of the release with this UPC.
    #[arg(long)]
    upc: Option<String>,
    /// Only those of the release that has a track with this ISRC.
    #[arg(long)]
    isrc: Option<String>,
    /// Only those of releases of this user.
    #[arg(long, value_name = "ID")]
    owner: Option<i32>,
    /// Only those with this fault, such as host_key_changed.
    #[arg(long, value_name = "CODE")]
    fault: Option<String>,
    /// Only those made longer ago than this: 90m, 12h, 3d.
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<TimeDelta>,
}

impl Conditions {
    pub(super) fn selection(&self, now: DateTime<Utc>) -> Selection {
        Selection {
            states: self.state.clone(),
            platform_id: self.platform,
            release_id: self.release,
            title: self.title.clone(),
            upc: self.upc.clone(),
            isrc: self.isrc.clone(),
            owner_id: self.owner,
            fault_code: self.fault.clone(),
            created_from: None,
            created_before: self.older_than.map(|age| now - age),
        }
    }
}

/// The state that a word names.
fn state(word: &str) -> Result<State, String> {
    State::from_word(word).ok_or_else(|| {
        let known = State::ALL.map(State::as_str).join(", ");
        format!("there is no such state; there are {known}")
    })
}

/// `90m`, `12h`, `3d`.
fn age(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("{text:?} is no age; write 90m, 12h or 3d");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    let age = match text.get(digits.len()..) {
        Some("s") => TimeDelta::try_seconds(number),
        Some("m") => TimeDelta::try_minutes(number),
        Some("h") => TimeDelta::try_hours(number),
        Some("d") => TimeDelta::try_days(number),
        _ => None,
    };
    // Longer ago than there are calendars is no time at all.
    age.filter(|age| (TimeDelta::zero()..TimeDelta::days(100_000)).contains(age))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_people_write_them() {
        assert_eq!(age("90m"), Ok(TimeDelta::minutes(90)));
        assert_eq!(age("3d"), Ok(TimeDelta::days(3)));
        for wrong in [
            "",
            "3",
            "d",
            "-1h",
            "3w",
            "9999999999999999d",
            "99999999h",
            "3dd",
        ] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
