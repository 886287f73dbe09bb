//! Misbehaviour on request: what a partner of the sandbox does wrong, and how often, before it does
//! right. What was done is kept under the partner's root, so that a partner that is started again
//! goes on where it was and does not begin to fail anew.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::Duration,
};

/// What was done already, a line each, under the partner's root.
const KEPT: &str = "misbehaved";

/// One thing that a partner can do wrong with a hand-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// 503, with this `Retry-After`.
    Unavailable {
        /// The header's value, sensible or not.
        retry_after: Option<String>,
    },
    /// 429, with this `Retry-After`.
    TooManyRequests {
        /// The header's value, sensible or not.
        retry_after: Option<String>,
    },
    /// The connection is cut when this many bytes of metadata and files have come.
    CutAfter {
        /// Bytes.
        bytes: u64,
    },
    /// The hand-over is taken, and the connection cut before the answer.
    CutBeforeAnswer,
    /// 401, whatever the credentials.
    RefuseCredentials,
    /// 200 with a page that is no answer; nothing is taken.
    Garbage,
    /// 422 with this reason; nothing is taken.
    Refuse {
        /// The reason.
        reason: String,
    },
    /// The hand-over is received, and rejected with this reason when its state is asked for.
    RejectLater {
        /// The reason.
        reason: String,
    },
    /// Nothing is read or answered for this long; then all goes well.
    Slow {
        /// How long.
        by: Duration,
    },
}

/// What a partner does wrong, in this order, before it does right.
#[derive(Clone, Debug, Default)]
pub struct Misbehaviours {
    steps: Vec<(u32, Misbehaviour)>,
    for_each_handover: bool,
}

impl Misbehaviours {
    /// A partner that does right from the start.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds `times` requests that are answered so.
    #[must_use]
    pub fn then(mut self, times: u32, what: Misbehaviour) -> Self {
        self.steps.push((times, what));
        self
    }

    /// Each hand-over goes through all of it by itself; otherwise the partner does so once,
    /// whatever hand-overs it meets.
    #[must_use]
    pub fn for_each_handover(mut self) -> Self {
        self.for_each_handover = true;
        self
    }

    /// Forgets what the partner with this root did wrong so far: started again, it begins anew.
    ///
    /// # Errors
    /// When what is kept cannot be removed.
    pub fn forget(root: &Path) -> io::Result<()> {
        match fs::remove_file(root.join(KEPT)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Misbehaviour {
    /// Whether a partner that only acknowledges, as one behind SFTP, can do it.
    #[must_use]
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::RejectLater { .. })
    }
}

impl Misbehaviours {
    /// Whether a partner that only acknowledges can do all of it.
    pub(super) fn are_rejections(&self) -> bool {
        self.steps.iter().all(|(_, what)| what.is_rejection())
    }
}

/// Which misbehaviour comes next.
#[derive(Debug)]
pub(super) struct Course {
    plan: Misbehaviours,
    done: HashMap<String, u32>,
    kept: File,
}

impl Course {
    /// Goes on with a plan where the file under the partner's root says that it stopped.
    pub(super) fn resume(plan: Misbehaviours, root: &Path) -> io::Result<Self> {
        let path = &root.join(KEPT);
        let mut done = HashMap::new();
        match fs::read_to_string(path) {
            Ok(text) => {
                for key in text.lines() {
                    *done.entry(key.to_owned()).or_default() += 1;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let kept = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { plan, done, kept })
    }

    /// What to do wrong with a request for this hand-over.
    pub(super) fn next(&mut self, key: &str) -> io::Result<Option<Misbehaviour>> {
        let so_far = if self.plan.for_each_handover {
            self.done.get(key).copied().unwrap_or_default()
        } else {
            self.done.values().sum()
        };
        let mut passed = 0;
        for (times, what) in &self.plan.steps {
            passed += times;
            if so_far < passed {
                writeln!(self.kept, "{key}")?;
                *self.done.entry(key.to_owned()).or_default() += 1;
                return Ok(Some(what.clone()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_goes_on_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        let plan = Misbehaviours::none()
            .then(2, Misbehaviour::Garbage)
            .then(1, Misbehaviour::RefuseCredentials);
        let mut course = Course::resume(plan.clone(), path).unwrap();
        assert_eq!(course.next("a").unwrap(), Some(Misbehaviour::Garbage));
        let mut course = Course::resume(plan.clone(), path).unwrap();
        assert_eq!(course.next("b").unwrap(), Some(Misbehaviour::Garbage));
        assert_eq!(
            course.next("a").unwrap(),
            Some(Misbehaviour::RefuseCredentials)
        );
        assert_eq!(course.next("a").unwrap(), None);

        let mut each = Course::resume(plan.for_each_handover(), path).unwrap();
        assert_eq!(
            each.next("a").unwrap(),
            Some(Misbehaviour::RefuseCredentials),
            "a has been through two already"
        );
        assert_eq!(each.next("c").unwrap(), Some(Misbehaviour::Garbage));
        Misbehaviours::forget(path).unwrap();
        let plan = Misbehaviours::none().then(1, Misbehaviour::CutBeforeAnswer);
        let mut anew = Course::resume(plan, path).unwrap();
        assert_eq!(anew.next("c").unwrap(), Some(Misbehaviour::CutBeforeAnswer));
    }
}
