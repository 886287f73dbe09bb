//! What can go wrong with a delivery, as a type: the class says what the worker does next, the code
//! is stable, the sentences are for a person. Every code stands here, once.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What the worker does after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// Network, 5xx, timeouts: wait, then try again.
    Transient,
    /// The partner asks for patience: wait as told; the attempt does not count.
    Throttled,
    /// Trying again changes nothing until somebody changes the release.
    Permanent,
    /// The platform's settings are wrong: hold, and tell the operator.
    Configuration,
    /// It cannot be known whether the hand-over arrived: look at the partner first.
    Unknown,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident, $word:literal, $class:ident, $remedy:literal;)*) => {
        /// A stable name for what went wrong. `as_str` is what stands in the database, in logs and
        /// in answers; it never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code, in the order of this file.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The word used in the database, in logs and in answers.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $word,)* }
            }

            /// What the worker does after a fault of this code.
            #[must_use]
            pub fn class(self) -> FaultClass {
                match self { $(Code::$variant => FaultClass::$class,)* }
            }

            /// What a person does about it, where the fault itself does not say it better.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Code::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    /// No connection could be made: refused, unreachable, name not found.
    ConnectionFailed, "connection_failed", Transient, "The worker tries again by itself. If it lasts, ask the partner whether the server is up, and check api_endpoint.";
    /// A connection broke while it was used.
    ConnectionLost, "connection_lost", Transient, "The worker tries again by itself and goes on where it stopped.";
    /// The partner did not answer in time.
    TimedOut, "timed_out", Transient, "The worker tries again by itself.";
    /// The partner's server failed (HTTP 5xx, SFTP failure).
    PartnerError, "partner_error", Transient, "The worker tries again by itself. If it lasts, send the partner the message below.";
    /// The partner's disk or quota is full.
    PartnerFull, "partner_full", Transient, "Ask the partner to make room; the worker tries again by itself.";
    /// What arrived at the partner is not what was sent.
    TransferCorrupt, "transfer_corrupt", Transient, "The worker sends the file again by itself.";
    /// The asset store cannot be read at the moment.
    AssetsUnavailable, "assets_unavailable", Transient, "Check the asset directory (assets.root in the configuration); the worker tries again by itself.";
    /// A file changed while it was being sent.
    AssetChanged, "asset_changed", Transient, "The worker starts again with the new file by itself.";
    /// The worker itself failed; the details are in its log.
    WorkerFault, "worker_fault", Transient, "The worker tries again by itself. If it lasts, report the log's lines for this delivery.";
    /// The worker was told to stop before the attempt was finished.
    WorkerStopped, "worker_stopped", Throttled, "Nothing to do: the delivery goes on when the worker runs again.";
    /// The partner asks to slow down (HTTP 429, 503 with Retry-After, connection limits).
    Throttled, "throttled", Throttled, "The worker waits as the partner asked.";
    /// The release fails the package check; the findings say where.
    PackageInvalid, "package_invalid", Permanent, "Mend the release as said, then schedule it again.";
    /// The release or one of its rows is gone, or holds what cannot be read.
    ReleaseUnreadable, "release_unreadable", Permanent, "Mend the row named here, then schedule the release again.";
    /// The release may not be sent: its status, its owner, its rights or an approval.
    ReleaseWithheld, "release_withheld", Permanent, "Clear what withholds the release, then schedule it again.";
    /// The message we made is not valid by the standard's schema.
    MessageInvalid, "message_invalid", Permanent, "This is a fault of the worker or of the release's metadata: the message and the schema's complaint are kept with the delivery.";
    /// The partner refused the hand-over (HTTP 4xx, or its word in an acknowledgement).
    PartnerRefused, "partner_refused", Permanent, "Read the partner's reason, mend the release, then schedule it again.";
    /// The method cannot do what the delivery asks.
    Unsupported, "unsupported", Permanent, "Do it in the partner's own portal, or deliver by another method.";
    /// The attempts are used up or the time is over.
    GaveUp, "gave_up", Permanent, "Find out what stopped it from the attempts, then schedule the release again.";
    /// The platform's row or the worker's configuration for it is wrong.
    SettingsInvalid, "settings_invalid", Configuration, "Mend the platform's settings, then let it go on with `platforms resume`.";
    /// The partner refused the user name, key, password or token.
    CredentialsRefused, "credentials_refused", Configuration, "Put the right credentials into api_credentials, then let the platform go on with `platforms resume`.";
    /// The server's host key is not the pinned one.
    HostKeyChanged, "host_key_changed", Configuration, "Ask the partner whether it changed its host key. Only if it says so, set api_credentials.host_key to the new one and let the platform go on with `platforms resume`.";
    /// The server's certificate is not valid.
    CertificateInvalid, "certificate_invalid", Configuration, "Ask the partner to mend its certificate; the worker never connects without a valid one.";
    /// Logged in, but not allowed to write where the settings say.
    AccessDenied, "access_denied", Configuration, "Ask the partner for write access to the directory in api_endpoint, or mend the path.";
    /// The outcome of the last step cannot be known.
    OutcomeUnknown, "outcome_unknown", Unknown, "The worker looks at the partner before it sends anything again.";
}

impl Code {
    /// The code that stands under this word in the database, if it is one of ours.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing wrong with a release, found before anything was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where: `upc`, `track 3 isrc`, `artwork`.
    pub field: String,
    /// What is wrong there, with the value: `check digit of 036000291453 is 3, should be 2`.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}", self.field, self.problem, self.remedy)
    }
}

/// What went wrong, for the worker (class), for programs (code) and for people (the sentences).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The stable code; its class decides what happens next.
    pub code: Code,
    /// What happened, in one sentence or a few. Never holds a secret.
    pub message: String,
    /// What to do about it, where the code's own remedy does not fit.
    pub remedy: Option<String>,
    /// How long the partner asks us to wait.
    pub retry_after: Option<Duration>,
    /// All that the package check found; empty for every other code.
    pub findings: Vec<Finding>,
    /// What was sent or received and belongs to the fault: the invalid message, the partner's
    /// answer.
    pub evidence: Vec<crate::Evidence>,
}

impl Fault {
    /// A fault with the code's own remedy.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            remedy: None,
            retry_after: None,
            findings: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// The fault of a release that failed the package check, with all findings in its message.
    #[must_use]
    pub fn package_invalid(findings: Vec<Finding>) -> Self {
        let message = findings
            .iter()
            .map(|finding| format!("{}: {}", finding.field, finding.problem))
            .collect::<Vec<_>>()
            .join("; ");
        let remedy = findings.iter().map(|finding| finding.remedy.as_str()).fold(
            Vec::new(),
            |mut seen: Vec<&str>, remedy| {
                if !seen.contains(&remedy) {
                    seen.push(remedy);
                }
                seen
            },
        );
        let remedy = format!("{} Then schedule the release again.", remedy.join(" "));
        Self {
            remedy: Some(remedy),
            findings,
            ..Self::new(Code::PackageInvalid, message)
        }
    }

    /// Says what to do about it in better words than the code's own.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Carries the partner's wish to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Keeps a document with the fault.
    #[must_use]
    pub fn with_evidence(mut self, evidence: crate::Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// What the worker does next.
    #[must_use]
    pub fn class(&self) -> FaultClass {
        self.code.class()
    }

    /// What a person does about it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        self.remedy.as_deref().unwrap_or_else(|| self.code.remedy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_from_its_word() {
        for code in Code::ALL {
            assert_eq!(Code::from_word(code.as_str()), Some(*code));
            assert!(
                code.remedy().ends_with('.'),
                "{code} has no sentence for a remedy"
            );
        }
    }

    #[test]
    fn a_package_fault_says_everything_at_once() {
        let finding = |field: &str| Finding {
            field: field.into(),
            problem: "is missing".into(),
            remedy: "Add it.".into(),
        };
        let fault = Fault::package_invalid(vec![finding("upc"), finding("track 2 isrc")]);
        assert_eq!(
            fault.to_string(),
            "upc: is missing; track 2 isrc: is missing"
        );
        assert_eq!(fault.remedy(), "Add it. Then schedule the release again.");
    }
}
