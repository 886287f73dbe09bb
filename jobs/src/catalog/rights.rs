//! Whether a release may be sent at all: its own status, its owner's account, its approval, and
//! the rights to it and its tracks. Everything that stands against it is found, not only the first.
//! Whether what is sent is complete and correct is the package's check.

use chrono::{DateTime, NaiveDateTime, Utc};
use platform_adapters::{Code, Fault, release::Territories};
use serde::{Deserialize, Deserializer};

use super::TrackRow;

/// Why a release in order is not sent all the same (configuration `catalog`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Withholding {
    /// `releases.status` that are not sent.
    pub release_statuses: Vec<String>,
    /// `users.status` of owners who are not sent for.
    pub owner_statuses: Vec<String>,
    /// Rights must be there and verified; otherwise absent rows pass.
    pub require_verified_rights: bool,
    /// An approval must be there; otherwise a release without one passes.
    pub require_approval: bool,
    /// What becomes of a delivery whose release is withheld.
    pub withheld: Withheld,
}

/// What becomes of a delivery whose release is withheld.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Withheld {
    /// It fails with the reasons.
    #[default]
    Fail,
    /// It waits until an operator releases it, and is looked at again then.
    Hold,
}

impl Default for Withholding {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Self {
            release_statuses: words(&["draft", "rejected", "archived", "deleted", "taken_down"]),
            owner_statuses: words(&["suspended", "deactivated", "rejected", "locked"]),
            require_verified_rights: false,
            require_approval: false,
            withheld: Withheld::default(),
        }
    }
}

/// What a release is to be held against before it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What is withheld.
    pub withholding: &'a Withholding,
    /// Where the platform must not sell (`distribution_platforms.territory_restrictions`).
    pub restrictions: &'a [String],
    /// When rights must still hold.
    pub now: DateTime<Utc>,
}

/// One thing that stands against sending, and what to do about it.
struct Reason {
    /// Goes on from "the release".
    problem: String,
    remedy: &'static str,
}

/// What the release's own row says.
pub(super) struct Standing<'a> {
    pub(super) release_id: i32,
    pub(super) title: &'a str,
    pub(super) status: &'a str,
    pub(super) owner_name: &'a str,
    pub(super) owner_status: &'a str,
    /// What its newest approval says, in lower case.
    pub(super) approval: Option<&'a str>,
    pub(super) tracks: &'a [TrackRow],
}

/// All rows of rights to a release and its tracks.
#[derive(Debug, Deserialize)]
pub(super) struct Rights(Vec<Right>);

/// What the check of a release wants of a row of `rights_management`.
#[derive(Debug, Deserialize)]
struct Right {
    id: i32,
    track_id: Option<i32>,
    /// `verification_status`, in lower case.
    status: String,
    expires: Option<NaiveDateTime>,
    /// Upper case; empty: everywhere.
    #[serde(deserialize_with = "territories")]
    territories: Vec<String>,
}

impl Right {
    fn name(&self) -> String {
        match self.track_id {
            Some(track) => format!("rights_management {} of track {track}", self.id),
            None => format!("rights_management {}", self.id),
        }
    }
}

impl Rights {
    /// Where all rights together allow the release to be sold. Every row narrows the release, also
    /// one of a single track: a release is sold whole, and no message says of a track that it is
    /// sold elsewhere than its release.
    pub(super) fn territories(&self) -> Territories {
        let limited = self.0.iter().map(|right| &right.territories);
        limited
            .filter(|codes| !codes.is_empty())
            .fold(Territories::Worldwide, |all, codes| match all {
                Territories::Only(already) => Territories::Only(
                    already
                        .into_iter()
                        .filter(|code| codes.contains(code))
                        .collect(),
                ),
                _ => Territories::Only(codes.clone()),
            })
    }

    fn reasons(&self, terms: &Terms<'_>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for right in &self.0 {
            let name = right.name();
            let refused = matches!(right.status.as_str(), "rejected" | "refused" | "revoked");
            if refused {
                reasons.push(Reason {
                    problem: format!("has rights ({name}) that were {}", right.status),
                    remedy: "Clear the rights.",
                });
            }
            let has_passed = right.expires.is_some_and(|at| at.and_utc() <= terms.now);
            let has_expired = has_passed || right.status == "expired";
            if has_expired {
                let on = right
                    .expires
                    .map_or_else(String::new, |at| format!(" on {}", at.format("%F")));
                reasons.push(Reason {
                    problem: format!("has rights ({name}) that have expired{on}"),
                    remedy: "Renew the rights.",
                });
            }
            let is_open = right.status != "verified" && !refused && !has_expired;
            if is_open && terms.withholding.require_verified_rights {
                reasons.push(Reason {
                    problem: format!(
                        "has rights ({name}) that are not verified but {}",
                        right.status
                    ),
                    remedy: "Verify the rights.",
                });
            }
        }
        reasons.extend(self.nothing_to_sell(terms.restrictions));
        reasons
    }

    fn nothing_to_sell(&self, restrictions: &[String]) -> Option<Reason> {
        let own = self.territories();
        let nowhere = Territories::Only(Vec::new());
        if own == nowhere {
            let each: Vec<String> = self
                .0
                .iter()
                .filter(|right| !right.territories.is_empty())
                .map(|right| format!("{}: {}", right.name(), right.territories.join(", ")))
                .collect();
            return Some(Reason {
                problem: format!(
                    "has rights whose territories have none in common, so there is nothing to sell ({})",
                    each.join("; ")
                ),
                remedy: "Widen the territories of the rights.",
            });
        }
        if own.without(&codes(restrictions)) != nowhere {
            return None;
        }
        let Territories::Only(left) = own else {
            return None;
        };
        Some(Reason {
            problem: format!(
                "may be sold only in {}, where the platform must not sell, so there is nothing to sell",
                left.join(", ")
            ),
            remedy: "Widen the territories of the rights, mend the platform's \
                     territory_restrictions, or take the platform off the schedule.",
        })
    }
}

/// Everything that stands against sending the release, as one fault.
pub(super) fn check(
    standing: &Standing<'_>,
    rights: &Rights,
    terms: &Terms<'_>,
) -> Result<(), Fault> {
    let mut reasons = standing_reasons(standing, terms.withholding);
    reasons.extend(approval(standing, terms.withholding));
    reasons.extend(rights.reasons(terms));
    if terms.withholding.require_verified_rights {
        reasons.extend(missing(standing, rights));
    }
    match reasons.as_slice() {
        [] => Ok(()),
        reasons => Err(withheld(standing, terms.withholding.withheld, reasons)),
    }
}

fn withheld(standing: &Standing<'_>, then: Withheld, reasons: &[Reason]) -> Fault {
    let problems: Vec<&str> = reasons
        .iter()
        .map(|reason| reason.problem.as_str())
        .collect();
    let mut remedies: Vec<&str> = Vec::new();
    for reason in reasons {
        if !remedies.contains(&reason.remedy) {
            remedies.push(reason.remedy);
        }
    }
    remedies.push(match then {
        Withheld::Fail => "Then schedule the release again.",
        Withheld::Hold => "Then release the delivery.",
    });
    Fault::new(
        Code::ReleaseWithheld,
        format!(
            "release {} ({:?}) {}",
            standing.release_id,
            standing.title,
            problems.join("; it ")
        ),
    )
    .with_remedy(remedies.join(" "))
}

fn standing_reasons(standing: &Standing<'_>, withholding: &Withholding) -> Vec<Reason> {
    let holds = |list: &[String], word: &str| list.iter().any(|listed| listed == word);
    let mut reasons = Vec::new();
    if holds(&withholding.release_statuses, standing.status) {
        reasons.push(Reason {
            problem: format!("has status {:?}", standing.status),
            remedy: "Approve the release.",
        });
    }
    if holds(&withholding.owner_statuses, standing.owner_status) {
        reasons.push(Reason {
            problem: format!(
                "belongs to {:?}, whose account is {}",
                standing.owner_name, standing.owner_status
            ),
            remedy: "Settle the account's state.",
        });
    }
    reasons
}

/// The newest approval decides: a release that was refused and then approved is approved.
fn approval(standing: &Standing<'_>, withholding: &Withholding) -> Option<Reason> {
    let problem = match standing.approval {
        Some("approved") => return None,
        Some("rejected") => "has an approval that was refused".to_owned(),
        Some(status) => format!("has an approval that is still open ({status})"),
        None if withholding.require_approval => "has no approval".to_owned(),
        None => return None,
    };
    Some(Reason {
        problem,
        remedy: "Approve the release.",
    })
}

/// A row of the release covers all its tracks; without one, each track needs its own.
fn missing(standing: &Standing<'_>, rights: &Rights) -> Option<Reason> {
    if rights.0.iter().any(|right| right.track_id.is_none()) {
        return None;
    }
    let tracks = standing.tracks.iter().map(|track| track.id);
    let bare: Vec<String> = tracks
        .filter(|id| !rights.0.iter().any(|right| right.track_id == Some(*id)))
        .map(|id| id.to_string())
        .collect();
    let problem = if rights.0.is_empty() {
        "has no rights recorded".to_owned()
    } else if bare.is_empty() {
        return None;
    } else {
        format!("has no rights recorded for its tracks {}", bare.join(", "))
    };
    Some(Reason {
        problem,
        remedy: "Record the rights and verify them.",
    })
}

fn territories<'de, D: Deserializer<'de>>(listed: D) -> Result<Vec<String>, D::Error> {
    // An element of the column may be null.
    let listed = Vec::<Option<String>>::deserialize(listed)?;
    let listed: Vec<String> = listed.into_iter().flatten().collect();
    Ok(codes(&listed))
}

/// Territory codes in upper case; none where the list says everywhere.
fn codes(listed: &[String]) -> Vec<String> {
    let codes: Vec<String> = listed
        .iter()
        .map(|code| code.trim().to_ascii_uppercase())
        .filter(|code| !code.is_empty())
        .collect();
    if codes
        .iter()
        .any(|code| matches!(code.as_str(), "WORLDWIDE" | "WORLD" | "WW" | "GLOBAL"))
    {
        return Vec::new();
    }
    codes
}
