//! What is to be done wrong, as it is written on the command line.

use std::{fmt, str::FromStr, time::Duration};

use platform_adapters::sandbox::{Misbehaviour, Misbehaviours};

/// One `--misbehave`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) times: u32,
    pub(super) what: Misbehaviour,
    text: String,
}

impl Wish {
    /// Whether a partner of this kind can do it.
    pub(super) fn suits(&self, way: Way) -> bool {
        match way {
            Way::Http => self.what.is_for_http(),
            Way::Sftp => self.what.is_for_sftp(),
        }
    }
}

/// How a partner is delivered to.
#[derive(Clone, Copy, Debug)]
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
        let what = match (name, value) {
            ("unavailable", retry_after) => Misbehaviour::Unavailable { retry_after },
            ("throttle", retry_after) => Misbehaviour::TooManyRequests { retry_after },
            ("refuse-credentials", None) => Misbehaviour::RefuseCredentials,
            ("garbage", None) => Misbehaviour::Garbage,
            ("cut-before-answer", None) => Misbehaviour::CutBeforeAnswer,
            ("full", None) => Misbehaviour::Full,
            ("read-only", None) => Misbehaviour::ReadOnly,
            ("other-host-key", None) => Misbehaviour::OtherHostKey,
            ("stall", after) => Misbehaviour::Stall {
                after: after.map_or(Ok(0), |bytes| number(name, &bytes, "bytes"))?,
            },
            (
                "refuse-credentials" | "garbage" | "cut-before-answer" | "full" | "read-only"
                | "other-host-key",
                Some(_),
            ) => {
                return Err(format!("{name} takes no value"));
            }
            ("refuse", Some(reason)) => Misbehaviour::Refuse { reason },
            ("reject-later", Some(reason)) => Misbehaviour::RejectLater { reason },
            ("cut-after", Some(bytes)) => Misbehaviour::CutAfter {
                bytes: number(name, &bytes, "bytes")?,
            },
            ("slow", Some(seconds)) => Misbehaviour::Slow {
                by: Duration::from_secs(number(name, &seconds, "seconds")?),
            },
            ("refuse" | "reject-later", None) => {
                return Err(format!("{name} needs a reason: {name}=\"no cover art\""));
            }
            ("cut-after", None) => return Err("cut-after needs a number of bytes".into()),
            ("slow", None) => return Err("slow needs a number of seconds".into()),
            _ => {
                return Err(format!(
                    "there is no {name:?}; there are unavailable, throttle, refuse-credentials, \
                     refuse, garbage, cut-after, cut-before-answer, slow, stall, full, read-only, \
                     other-host-key, reject-later"
                ));
            }
        };
        Ok(Self {
            times,
            what,
            text: text.to_owned(),
        })
    }
}

fn number(name: &str, text: &str, unit: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("{name}: {text:?} is no number of {unit}"))
}
