//! What is to be done wrong, as it is written on the command line.

use std::{fmt, str::FromStr, time::Duration};

use platform_adapters::sandbox::{Misbehaviour, Misbehaviours};

/// One `--misbehave`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) times: u32,
    pub(super) what: Misbehaviour,
    /// The partners that it is for; `None`: all.
    way: Option<Way>,
    text: String,
}

impl Wish {
    /// Whether a partner of this kind can do it.
    pub(super) fn suits(&self, way: Way) -> bool {
        self.way.is_none_or(|own| own == way)
    }
}

/// How a partner is delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Http,
    Sftp,
}

/// All wishes that a partner can fulfil, in their order.
pub(super) fn plan(wishes: &[Wish], way: Way, for_each: bool) -> Misbehaviours {
    let plan = wishes
        .iter()
        .filter(|wish| wish.suits(way))
        .fold(Misbehaviours::none(), |plan, wish| {
            plan.then(wish.times, wish.what.clone())
        });
    if for_each {
        plan.for_each_handover()
    } else {
        plan
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let (times, name) = match name.split_once(':') {
            Some((times, name)) => {
                let times = times.parse().ok().filter(|times| *times > 0);
                let times = times.ok_or("what stands before the colon is no number of times")?;
                (times, name)
            }
            None => (1, name),
        };
        let way = match name.strip_prefix(SFTP) {
            Some(_) => Some(Way::Sftp),
            None => (name != "reject-later").then_some(Way::Http),
        };
        Ok(Self {
            times,
            what: misbehaviour(name, value)?,
            way,
            text: text.to_owned(),
        })
    }
}

/// What the names of those begin with that are for SFTP partners.
const SFTP: &str = "sftp-";

fn misbehaviour(name: &str, value: Option<String>) -> Result<Misbehaviour, String> {
    let bytes = |bytes: &str| number(name, bytes, "bytes");
    let seconds = |seconds: &str| number(name, seconds, "seconds").map(Duration::from_secs);
    Ok(match (name, value) {
        ("unavailable", retry_after) => Misbehaviour::Unavailable { retry_after },
        ("throttle", retry_after) => Misbehaviour::TooManyRequests { retry_after },
        ("refuse", Some(reason)) => Misbehaviour::Refuse { reason },
        ("reject-later", Some(reason)) => Misbehaviour::RejectLater { reason },
        ("cut-after" | "sftp-cut-after", Some(value)) => Misbehaviour::CutAfter {
            bytes: bytes(&value)?,
        },
        ("slow" | "sftp-slow", Some(value)) => Misbehaviour::Slow {
            by: seconds(&value)?,
        },
        ("sftp-stall", after) => Misbehaviour::Stall {
            after: after.as_deref().map_or(Ok(0), bytes)?,
        },
        ("refuse" | "reject-later", None) => {
            return Err(format!("{name} needs a reason: {name}=\"no cover art\""));
        }
        ("cut-after" | "sftp-cut-after", None) => {
            return Err(format!("{name} needs a number of bytes"));
        }
        ("slow" | "sftp-slow", None) => return Err(format!("{name} needs a number of seconds")),
        (name, value) => match (plain(name), value) {
            (Some(_), Some(_)) => return Err(format!("{name} takes no value")),
            (Some(what), None) => what,
            (None, _) => {
                return Err(format!(
                    "there is no {name:?}; there are unavailable, throttle, refuse-credentials, \
                     refuse, garbage, cut-after, cut-before-answer, slow, reject-later, \
                     sftp-refuse-credentials, sftp-garbage, sftp-cut-after, sftp-slow, sftp-busy, \
                     sftp-stall, sftp-full, sftp-read-only, sftp-other-host-key"
                ));
            }
        },
    })
}

/// Those that take no value.
fn plain(name: &str) -> Option<Misbehaviour> {
    Some(match name {
        "refuse-credentials" | "sftp-refuse-credentials" => Misbehaviour::RefuseCredentials,
        "garbage" | "sftp-garbage" => Misbehaviour::Garbage,
        "cut-before-answer" => Misbehaviour::CutBeforeAnswer,
        "sftp-busy" => Misbehaviour::Unavailable { retry_after: None },
        "sftp-full" => Misbehaviour::Full,
        "sftp-read-only" => Misbehaviour::ReadOnly,
        "sftp-other-host-key" => Misbehaviour::OtherHostKey,
        _ => return None,
    })
}

fn number(name: &str, text: &str, unit: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("{name}: {text:?} is no number of {unit}"))
}
