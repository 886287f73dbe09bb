//! What goes wrong, when, to whom, and for how long: all of it drawn from a seed beforehand, so that
//! the same seed makes the same plan.

use std::{fmt, str::FromStr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// Nothing goes wrong before: daemons and partners are at work by then.
const FIRST: Duration = Duration::from_secs(2);
/// The mean time between two faults, at least and at most; where there are few kinds, at most so much
/// for each.
const APART: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(6));
const APART_EACH: Duration = Duration::from_secs(2);

macro_rules! kinds {
    ($($name:ident $word:literal $shortest:literal..$longest:literal $text:literal,)*) => {
        /// One way of going wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Kind { $($name),* }

        impl Kind {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is named to `scripts/chaos --only`.
            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// Between how many seconds it lasts.
            fn lasts_s(self) -> (f64, f64) {
                match self { $(Self::$name => ($shortest, $longest)),* }
            }

            fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

kinds! {
    Kill "kill" 0.0..2.0 "SIGKILL of a daemon",
    KillAll "kill-all" 0.0..2.0 "SIGKILL of all daemons at once",
    Suspend "suspend" 4.0..9.0 "SIGSTOP of a daemon past its lease, then SIGCONT",
    Drain "drain" 0.0..2.0 "SIGTERM of a daemon in the middle of its work",
    Reload "reload" 0.0..0.1 "SIGHUP of a daemon",
    WrongReload "wrong-reload" 0.0..0.1 "SIGHUP of a daemon with a configuration that cannot be",
    DayAhead "day-ahead" 3.0..6.0 "a daemon whose clock is a day ahead",
    DayBehind "day-behind" 3.0..6.0 "a daemon whose clock is a day behind",
    FullDisk "full-disk" 3.0..8.0 "a daemon whose logs go to a full disk",
    DatabaseRestart "database-restart" 1.9..2.1 "the database is restarted",
    DatabaseOutage "database-outage" 60.0..60.1 "the database is away",
    DatabaseCrash "database-crash" 0.0..3.0 "the database crashes",
    ReadOnly "read-only" 2.0..6.0 "the database is read-only",
    ConnectionsTaken "connections-taken" 2.0..6.0 "others have all of the database's connections",
    DatabaseCut "database-cut" 0.0..0.1 "all connections to the database are cut",
    DatabaseCutAt "database-cut-at" 0.0..0.1 "a connection to the database is cut at a byte",
    DatabaseSilent "database-silent" 3.0..12.0 "the network to the database is silent",
    DatabaseForgotten "database-forgotten" 0.0..0.1 "the network forgets all connections to the database",
    Cut "cut" 0.0..0.1 "a connection to a partner is cut at a byte",
    CutAll "cut-all" 0.0..0.1 "all connections to a partner are cut",
    Forgotten "forgotten" 0.0..0.1 "the network forgets all connections to a partner",
    Silent "silent" 3.0..12.0 "the network to a partner is silent",
    Slow "slow" 3.0..9.0 "1 KB/s to a partner",
    Away "away" 2.0..6.0 "a partner takes no connections",
    Unavailable "unavailable" 2.0..5.0 "a partner answers 503",
    TooMany "too-many" 2.0..5.0 "a partner answers 429",
    BadRequest "bad-request" 0.5..1.5 "a partner refuses everything",
    Garbage "garbage" 2.0..5.0 "a partner answers 200 with garbage",
    CutBeforeAnswer "cut-before-answer" 2.0..5.0 "a partner takes what comes and cuts before the answer",
    Credentials "credentials" 2.0..5.0 "a partner does not take our credentials",
    HostKey "host-key" 2.0..5.0 "a partner shows another host key",
    PartnerFull "partner-full" 2.0..5.0 "a partner's disk is full",
    PartnerReadOnly "partner-read-only" 2.0..5.0 "a partner lets nobody write",
    Acknowledgements "acknowledgements" 3.0..6.0 "a partner's acknowledgements are no good",
    Poison "poison" 0.0..0.1 "a job kills every daemon that takes it up",
}

impl Kind {
    /// All daemons are at a loss while it lasts.
    pub(super) fn is_of_database(self) -> bool {
        matches!(
            self,
            Self::DatabaseRestart
                | Self::DatabaseOutage
                | Self::DatabaseCrash
                | Self::ReadOnly
                | Self::ConnectionsTaken
                | Self::DatabaseSilent
        )
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|kind| kind.word() == word);
        found.copied().ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|kind| kind.word()).collect();
            format!("{word:?} is none of {}", words.join(", "))
        })
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fault {
    /// When it begins, since the storm began.
    pub(super) at: Duration,
    pub(super) kind: Kind,
    /// To which of those that it can happen to.
    pub(super) whom: usize,
    /// For how long, or until a daemon is started again.
    pub(super) lasts: Duration,
    /// Which of its varieties, or at how many bytes.
    pub(super) number: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            kind,
            whom,
            lasts,
            number,
        } = self;
        write!(
            f,
            "{:7.1} s  {} ({}; whom {whom}, {:.1} s, number {number})",
            at.as_secs_f64(),
            kind.text(),
            kind.word(),
            lasts.as_secs_f64(),
        )
    }
}

/// Draws what goes wrong in this time: every kind once before any comes again.
pub(super) fn draw(seed: u64, kinds: &[Kind], lasts: Duration, daemons: usize) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let count = u32::try_from(kinds.len()).unwrap();
    // Many daemons bear more.
    let crowd = 2.0 / daemons.max(2) as f64;
    let most = APART.1.min(APART_EACH * count);
    let apart = (lasts * 2 / 3 / count).clamp(APART.0, most).mul_f64(crowd);
    let mut plan = Vec::new();
    let mut deck: Vec<Kind> = Vec::new();
    let mut at = FIRST;
    while at < lasts {
        if deck.is_empty() {
            deck = kinds.to_vec();
            deck.shuffle(&mut random);
        }
        let kind = deck.pop().unwrap();
        let (shortest, longest) = kind.lasts_s();
        let drawn = Duration::from_secs_f64(random.random_range(shortest..=longest));
        // A short storm has no long outages, and the database is not away for the better part of it.
        let most = lasts / if kind.is_of_database() { 12 } else { 6 };
        plan.push(Fault {
            at,
            kind,
            whom: random.random_range(0..1000),
            lasts: drawn.min(most).min(lasts - at),
            number: random.random_range(0..400_000),
        });
        at += apart.mul_f64(random.random_range(0.3..1.7));
    }
    plan
}

#[test]
fn a_seed_makes_a_plan_with_every_kind_and_always_the_same() {
    let lasts = Duration::from_secs(45);
    let plan = draw(7, Kind::ALL, lasts, 2);
    assert_eq!(plan, draw(7, Kind::ALL, lasts, 2));
    assert_ne!(plan, draw(8, Kind::ALL, lasts, 2));
    for kind in Kind::ALL {
        assert!(plan.iter().any(|fault| fault.kind == *kind), "{kind:?}");
        assert_eq!(kind.word().parse(), Ok(*kind));
    }
    assert!(plan.iter().all(|fault| fault.at + fault.lasts <= lasts));
}
