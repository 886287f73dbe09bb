//! Collects what is wrong with a release, and the two ways in which a probe of a file can end badly.

use crate::{Fault, Finding};

/// All that was found so far.
#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn add(
        &mut self,
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Finding {
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    pub(super) fn add_objections(
        &mut self,
        field: &str,
        path: &str,
        objections: impl IntoIterator<Item = Objection>,
    ) {
        for objection in objections {
            self.add(
                field,
                format!("{path:?} {}", objection.problem),
                objection.remedy,
            );
        }
    }
}

/// What is wrong with a file. Reads on after its name.
#[derive(Debug)]
pub(super) struct Objection {
    problem: String,
    remedy: String,
}

impl Objection {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

/// Why a file could not be probed.
pub(super) enum ProbeError {
    /// The file is to blame.
    Unusable(Objection),
    /// The store is to blame; the file may be good.
    Fault(Fault),
}

impl From<Objection> for ProbeError {
    fn from(objection: Objection) -> Self {
        Self::Unusable(objection)
    }
}

impl From<Fault> for ProbeError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
