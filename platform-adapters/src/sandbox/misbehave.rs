//! Misbehaviour on request: what a partner of the sandbox does wrong, and how often, before it does
//! right. What was done is kept under the partner's root, so that a partner that is started again
//! goes on where it was and does not begin to fail anew.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What was done already, a line each, under the partner's root.
const KEPT: &str = "misbehaved";

/// The same of connections, at a partner behind SFTP.
const KEPT_OF_CONNECTIONS: &str = "misbehaved-connections";

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
    /// SFTP: when this many bytes have come nothing more is read or answered; the connection stays.
    Stall {
        /// Bytes.
        after: u64,
    },
    /// SFTP: there is no room for a single byte.
    Full,
    /// SFTP: nothing may be written.
    ReadOnly,
    /// SFTP: the server shows another host key.
    OtherHostKey,
    /// SFTP: the hand-over is taken, and its acknowledgement is no good until `mended_after`.
    Acknowledge {
        /// What is wrong with it.
        how: BadAcknowledgement,
        /// How long until the right one lies in its place.
        mended_after: Duration,
    },
}

/// What is wrong with an acknowledgement at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAcknowledgement {
    /// It is not there.
    Late,
    /// Only its first half is there.
    Cut,
    /// It is right, and written once more later.
    Twice,
    /// It is XML whose entities would fill the memory of whoever expands them.
    Bomb,
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

    /// What is done with hand-overs, and what is done with connections.
    pub(super) fn split(self) -> (Self, Self) {
        let for_each_handover = self.for_each_handover;
        let (of_handovers, of_connections) = self
            .steps
            .into_iter()
            .partition(|(_, what)| what.is_of_handover());
        let plan = |steps| Self {
            steps,
            for_each_handover,
        };
        (plan(of_handovers), plan(of_connections))
    }

    /// Whether there is anything to do wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether this is among what is to be done wrong.
    pub(super) fn contains(&self, what: &Misbehaviour) -> bool {
        self.steps.iter().any(|(_, one)| one == what)
    }

    /// Forgets what the partner with this root did wrong so far: started again, it begins anew.
    ///
    /// # Errors
    /// When what is kept cannot be removed.
    pub fn forget(root: &Path) -> io::Result<()> {
        for kept in [KEPT, KEPT_OF_CONNECTIONS] {
            match fs::remove_file(root.join(kept)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Misbehaviour {
    /// Whether a partner behind SFTP can do it.
    fn is_for_sftp(&self) -> bool {
        !matches!(self, Self::CutBeforeAnswer | Self::Refuse { .. })
    }

    /// It is done with a hand-over that was received, by whatever way.
    pub(super) fn is_of_handover(&self) -> bool {
        matches!(self, Self::RejectLater { .. } | Self::Acknowledge { .. })
    }
}

impl Misbehaviours {
    /// Whether a partner behind SFTP can do all of it.
    pub(super) fn are_for_sftp(&self) -> bool {
        self.steps.iter().all(|(_, what)| what.is_for_sftp())
    }
}

/// Which misbehaviour comes next.
#[derive(Debug)]
pub(super) struct Course {
    plan: Misbehaviours,
    done: HashMap<String, u32>,
    kept: File,
    /// Done with everything until further notice; the plan waits meanwhile.
    standing: Option<Misbehaviour>,
}

/// A course that can be changed while the partner follows it.
pub(super) type SharedCourse = Arc<Mutex<Course>>;

/// The course, for a moment.
pub(super) fn lock(course: &Mutex<Course>) -> MutexGuard<'_, Course> {
    course.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Course {
    /// From now on this is done wrong with everything; `None`: the plan goes on.
    pub(super) fn stand(&mut self, what: Option<Misbehaviour>) {
        self.standing = what;
    }

    /// Goes on with a plan where the file under the partner's root says that it stopped.
    pub(super) fn resume(plan: Misbehaviours, root: &Path) -> io::Result<Self> {
        Self::kept_in(plan, &root.join(KEPT))
    }

    /// Goes on with what is done with connections.
    pub(super) fn of_connections(plan: Misbehaviours, root: &Path) -> io::Result<Self> {
        Self::kept_in(plan, &root.join(KEPT_OF_CONNECTIONS))
    }

    fn kept_in(plan: Misbehaviours, path: &Path) -> io::Result<Self> {
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
        Ok(Self {
            plan,
            done,
            kept,
            standing: None,
        })
    }

    /// What would be done wrong with a new hand-over now. It remains to be done.
    pub(super) fn peek(&self) -> Option<Misbehaviour> {
        if self.standing.is_some() {
            return self.standing.clone();
        }
        let so_far = if self.plan.for_each_handover {
            0
        } else {
            self.done.values().sum()
        };
        self.at(so_far).cloned()
    }

    /// What the plan has after so many.
    fn at(&self, so_far: u32) -> Option<&Misbehaviour> {
        let mut passed = 0;
        let step = self.plan.steps.iter().find(|(times, _)| {
            passed += times;
            so_far < passed
        });
        step.map(|(_, what)| what)
    }

    /// What to do wrong with a request for this hand-over.
    pub(super) fn next(&mut self, key: &str) -> io::Result<Option<Misbehaviour>> {
        if self.standing.is_some() {
            return Ok(self.standing.clone());
        }
        let so_far = if self.plan.for_each_handover {
            self.done.get(key).copied().unwrap_or_default()
        } else {
            self.done.values().sum()
        };
        let Some(what) = self.at(so_far).cloned() else {
            return Ok(None);
        };
        writeln!(self.kept, "{key}")?;
        *self.done.entry(key.to_owned()).or_default() += 1;
        Ok(Some(what))
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
