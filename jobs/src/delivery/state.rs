//! The states of a delivery and how they follow one another: a pure function, and the only place
//! that decides `worker.deliveries.state`.

use std::{fmt, time::Duration};

use platform_adapters::{FaultClass, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a delivery stands (`worker.deliveries.state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its first attempt, or to be taken up again by an operator's word.
    Queued,
    /// An attempt is under way; or its worker died and nobody has noticed yet.
    Sending,
    /// Lies at the partner in a batch that is not complete yet: the partner does not look at it.
    Batched,
    /// Handed over; the partner's word is awaited.
    Sent,
    /// The partner has taken it.
    Accepted,
    /// The partner's no.
    Rejected,
    /// A fault that passes by itself: waits for the next attempt.
    Retrying,
    /// It cannot be known whether it arrived: the next attempt looks at the partner first.
    Unknown,
    /// Will not be sent: a permanent fault, attempts used up, or time over.
    Failed,
    /// Waits for a person: an operator holds it, or the platform's settings are wrong.
    Held,
    /// Called off before it was sent.
    Canceled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Queued,
        Self::Sending,
        Self::Batched,
        Self::Sent,
        Self::Accepted,
        Self::Rejected,
        Self::Retrying,
        Self::Unknown,
        Self::Failed,
        Self::Held,
        Self::Canceled,
    ];

    /// The word in the column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Batched => "batched",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Retrying => "retrying",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Canceled => "canceled",
        }
    }

    /// The state that stands under this word in the column.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Nothing more happens by itself: schedules that wait for it go on.
    #[must_use]
    pub fn is_decided(self) -> bool {
        matches!(
            self,
            Self::Accepted | Self::Rejected | Self::Failed | Self::Canceled
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt begins.
    Started,
    /// The package lies complete at the partner. `is_final`: no later word is to be waited for.
    HandedOver {
        /// The partner's answer was its last word.
        is_final: bool,
    },
    /// The package lies complete in a batch that the partner does not look at yet.
    Batched,
    /// The partner was told that its batch is complete. `is_final`: no later word is to be waited for.
    BatchClosed {
        /// The completion is the partner's last word.
        is_final: bool,
    },
    /// Its batch is closed without it: it was not there any more.
    LeftOut,
    /// What would be sent is what the platform already has.
    Unchanged,
    /// The partner's yes.
    Accepted,
    /// The partner's no.
    Rejected,
    /// The attempt ended with a fault.
    Faulted {
        /// What kind of fault.
        class: FaultClass,
        /// How long to wait before the next attempt, if there is one.
        wait: Duration,
        /// Attempts or time are used up, or the question what became of an earlier attempt has no
        /// answer.
        is_last: bool,
        /// An earlier attempt may have arrived, and this one did not find out.
        is_open: bool,
    },
    /// The release may not be sent as it stands, and is to wait for that.
    Withheld,
    /// The worker of the attempt died, or gave the attempt up without an outcome.
    Lost,
    /// The delivery kills its workers.
    Died,
    /// It was called off while an attempt was under way, and nothing of it lies at the partner.
    CalledOff,
    /// An operator's word: no attempts until released.
    Hold,
    /// An operator's word: held no longer.
    Release,
    /// An operator's word: do not wait for the next attempt or question.
    RetryNow,
    /// An operator's word: call it off.
    Cancel,
    /// An operator's word: hand it over once more, as a new transmission.
    Redeliver,
    /// The partner's word: it wants the same once more, as a new transmission.
    ResendAsked,
}

/// What is to be done with the delivery's job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The work goes on, or somebody else has decided about the job.
    Nothing,
    /// The job has done its part.
    Finish,
    /// Deliver, after this wait. `counts`: the attempt just made counts towards the limit.
    Deliver {
        /// How long from now.
        wait: Duration,
        /// Whether the attempt counts.
        counts: bool,
    },
    /// Finish, and begin to ask the partner.
    Confirm,
    /// Ask the partner again, after this wait.
    AskAgain {
        /// How long from now.
        wait: Duration,
    },
    /// Nothing runs until an operator releases it.
    Hold,
}

/// An event that cannot happen in a state; nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a delivery that is {state} cannot take {event:?}")]
pub struct Refused {
    /// The state it is in.
    pub state: State,
    /// What was asked of it.
    pub event: Event,
}

/// The state that follows, and what is to be done with the job.
///
/// # Errors
/// [`Refused`] when the event cannot happen in that state.
pub fn transition(state: State, event: Event) -> Result<(State, Next), Refused> {
    use State::{
        Accepted, Batched, Canceled, Failed, Held, Queued, Rejected, Retrying, Sending, Sent,
        Unknown,
    };
    Ok(match (state, event) {
        (Queued | Retrying | Unknown | Sending, Event::Started) => (Sending, Next::Nothing),
        (Sending, Event::HandedOver { is_final: true })
        | (Batched, Event::BatchClosed { is_final: true }) => (Accepted, Next::Finish),
        (Sending, Event::HandedOver { is_final: false })
        | (Batched, Event::BatchClosed { is_final: false }) => (Sent, Next::Confirm),
        (Sending, Event::Batched) => (Batched, Next::Finish),
        (Batched, Event::LeftOut) => (
            Retrying,
            Next::Deliver {
                wait: Duration::ZERO,
                counts: false,
            },
        ),
        // Its batch is closed now instead of later.
        (Batched, Event::RetryNow) => (Batched, Next::Nothing),
        (Sending, Event::Unchanged) => (Accepted, Next::Finish),
        // The partner may change its mind after it has spoken, and have what we believed lost; it
        // may not speak of what was never sent.
        (Sent | Unknown | Rejected | Failed, Event::Accepted) => (Accepted, Next::Finish),
        (Sending | Sent | Unknown | Accepted, Event::Rejected) => (Rejected, Next::Finish),
        (
            Sending,
            Event::Faulted {
                class,
                wait,
                is_last,
                is_open,
            },
        ) => sending_faulted(class, wait, is_last, is_open),
        (
            Sent,
            Event::Faulted {
                class: FaultClass::Configuration,
                ..
            },
        ) => (Sent, Next::Hold),
        // The package is there: no fault of asking can take that back.
        (Sent, Event::Faulted { wait, .. }) => (Sent, Next::AskAgain { wait }),
        (Sending, Event::Withheld) => (Held, Next::Hold),
        (Sending, Event::Lost) => (Unknown, Next::Nothing),
        (Queued | Retrying, Event::Died) => (Failed, Next::Nothing),
        // What it sent before its worker died may be there: somebody must look.
        (Unknown | Sending, Event::Died) => (Unknown, Next::Hold),
        (Queued | Retrying | Unknown, Event::Hold) => (Held, Next::Hold),
        (Held, Event::Release)
        | (Queued | Retrying | Unknown, Event::RetryNow)
        // The only way back to sending, and never under the names of the transmission before.
        | (Accepted | Rejected | Failed, Event::Redeliver)
        | (Sent | Accepted | Rejected, Event::ResendAsked) => (
            Queued,
            Next::Deliver {
                wait: Duration::ZERO,
                counts: false,
            },
        ),
        (Sent, Event::RetryNow) => (
            Sent,
            Next::AskAgain {
                wait: Duration::ZERO,
            },
        ),
        (Queued | Retrying | Unknown | Held | Batched, Event::Cancel)
        | (Sending, Event::CalledOff) => (Canceled, Next::Finish),
        (state, event) => return Err(Refused { state, event }),
    })
}

fn sending_faulted(
    class: FaultClass,
    wait: Duration,
    is_last: bool,
    is_open: bool,
) -> (State, Next) {
    match (class, is_last) {
        (FaultClass::Configuration, _) => (State::Held, Next::Hold),
        // It may be there: an operator must look before anything is said or sent.
        (FaultClass::Unknown, true) => (State::Unknown, Next::Hold),
        _ if is_open && (is_last || class == FaultClass::Permanent) => (State::Unknown, Next::Hold),
        _ if is_open => {
            let counts = class != FaultClass::Throttled;
            (State::Unknown, Next::Deliver { wait, counts })
        }
        (FaultClass::Permanent, _) | (FaultClass::Transient | FaultClass::Throttled, true) => {
            (State::Failed, Next::Finish)
        }
        (FaultClass::Transient, false) => (State::Retrying, Next::Deliver { wait, counts: true }),
        (FaultClass::Throttled, false) => (
            State::Retrying,
            Next::Deliver {
                wait,
                counts: false,
            },
        ),
        (FaultClass::Unknown, false) => (State::Unknown, Next::Deliver { wait, counts: true }),
    }
}

/// Labels of the seed's `distribution_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the labels of the seed's enum")]
pub enum RecordStatus {
    Pending,
    Processing,
    Distributed,
    Failed,
    Canceled,
}

impl RecordStatus {
    /// The label of `distribution_status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Distributed => "distributed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// What the distribution record shows: the newest delivery's state, where the platform already has
/// the release (`is_live`) a failed or canceled one leaves it distributed.
#[must_use]
pub fn record_status(kind: Kind, state: State, is_live: bool) -> RecordStatus {
    match state {
        State::Queued => RecordStatus::Pending,
        State::Sending
        | State::Batched
        | State::Sent
        | State::Held
        | State::Unknown
        | State::Retrying => RecordStatus::Processing,
        State::Accepted if kind == Kind::Takedown => RecordStatus::Canceled,
        State::Accepted => RecordStatus::Distributed,
        State::Rejected | State::Failed | State::Canceled if is_live => RecordStatus::Distributed,
        State::Rejected | State::Failed => RecordStatus::Failed,
        State::Canceled => RecordStatus::Canceled,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_event() -> impl Strategy<Value = Event> {
        let class = prop_oneof![
            Just(FaultClass::Transient),
            Just(FaultClass::Throttled),
            Just(FaultClass::Permanent),
            Just(FaultClass::Configuration),
            Just(FaultClass::Unknown),
        ];
        prop_oneof![
            Just(Event::Started),
            any::<bool>().prop_map(|is_final| Event::HandedOver { is_final }),
            Just(Event::Batched),
            any::<bool>().prop_map(|is_final| Event::BatchClosed { is_final }),
            Just(Event::LeftOut),
            Just(Event::Unchanged),
            Just(Event::Accepted),
            Just(Event::Rejected),
            (class, 0u64..100_000, any::<bool>(), any::<bool>()).prop_map(
                |(class, seconds, is_last, is_open)| Event::Faulted {
                    class,
                    wait: Duration::from_secs(seconds),
                    is_last,
                    is_open,
                }
            ),
            Just(Event::Withheld),
            Just(Event::Lost),
            Just(Event::Died),
            Just(Event::CalledOff),
            Just(Event::Hold),
            Just(Event::Release),
            Just(Event::RetryNow),
            Just(Event::Cancel),
            Just(Event::Redeliver),
            Just(Event::ResendAsked),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_history_never_sends_again_what_is_decided(events in prop::collection::vec(any_event(), 1..60)) {
            let mut state = State::Queued;
            let mut handed_over = false;
            for event in events {
                let Ok((next, job)) = transition(state, event) else { continue };
                if matches!(event, Event::Redeliver | Event::ResendAsked) {
                    // A new transmission begins, of what was decided or is the partner's to decide.
                    let is_asked = event == Event::ResendAsked && state == State::Sent;
                    prop_assert!(state.is_decided() || is_asked);
                    prop_assert_eq!(next, State::Queued);
                    (state, handed_over) = (next, false);
                    continue;
                }
                // What has been handed over is never sent again in this transmission.
                if handed_over {
                    prop_assert!(matches!(next, State::Sent | State::Accepted | State::Rejected));
                    prop_assert!(!matches!(job, Next::Deliver { .. }), "{event:?} in {state}");
                }
                if state.is_decided() {
                    prop_assert!(next.is_decided(), "{event:?} reopened {state}");
                }
                // Work under way always ends with somebody who goes on with it.
                match next {
                    State::Retrying => prop_assert!(matches!(job, Next::Deliver { .. }), "{job:?}"),
                    State::Held => prop_assert_eq!(job, Next::Hold),
                    State::Sent => prop_assert!(
                        matches!(job, Next::Confirm | Next::AskAgain { .. } | Next::Hold),
                        "{job:?}"
                    ),
                    State::Batched => prop_assert!(matches!(job, Next::Finish | Next::Nothing), "{job:?}"),
                    _ => {}
                }
                // It goes with its batch, or leaves it to be sent again, or for good.
                if state == State::Batched {
                    prop_assert!(matches!(
                        next,
                        State::Batched | State::Sent | State::Accepted | State::Retrying | State::Canceled
                    ));
                }
                // What lies in an open batch was not seen by the partner: it may be taken back.
                handed_over |= matches!(event, Event::HandedOver { .. } | Event::BatchClosed { .. });
                state = next;
            }
        }

        #[test]
        fn attempts_never_exceed_the_limit(events in prop::collection::vec(any_event(), 1..200)) {
            // As the callers count: before the work, with a limit of five.
            const LIMIT: i32 = 5;
            let (mut state, mut attempts) = (State::Queued, 0);
            for event in events {
                let event = match event {
                    Event::Faulted { class, wait, is_open, .. } => Event::Faulted {
                        class,
                        wait,
                        is_last: attempts >= LIMIT && class != FaultClass::Throttled,
                        is_open,
                    },
                    // An attempt ends before the next one begins.
                    Event::Started if state == State::Sending => continue,
                    other => other,
                };
                let Ok((next, job)) = transition(state, event) else { continue };
                match event {
                    Event::Started => attempts += 1,
                    // Given back.
                    Event::Lost | Event::LeftOut => attempts -= 1,
                    Event::Faulted { .. } if matches!(job, Next::Deliver { counts: false, .. }) => attempts -= 1,
                    // An operator's word begins the count anew.
                    Event::Release | Event::RetryNow | Event::Redeliver | Event::ResendAsked
                        if next == State::Queued => attempts = 0,
                    _ => {}
                }
                prop_assert!(attempts <= LIMIT, "{event:?} in {state}");
                state = next;
            }
        }

        #[test]
        fn nothing_leads_from_accepted_to_sending_but_a_new_transmission(
            events in prop::collection::vec(any_event(), 1..100),
        ) {
            let mut state = State::Accepted;
            let is_new = |event: &Event| matches!(event, Event::Redeliver | Event::ResendAsked);
            for event in events.into_iter().filter(|event| !is_new(event)) {
                if let Ok((next, job)) = transition(state, event) {
                    prop_assert!(next.is_decided(), "{event:?} led to {next}");
                    prop_assert!(!matches!(job, Next::Deliver { .. }), "{event:?} in {state}");
                    state = next;
                }
            }
        }
    }

    #[test]
    fn every_state_answers_every_event_and_reads_back() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.as_str()), Some(state));
            for event in [
                Event::Started,
                Event::Accepted,
                Event::Cancel,
                Event::Lost,
                Event::Redeliver,
            ] {
                if let Err(refused) = transition(state, event) {
                    assert_eq!((refused.state, refused.event), (state, event));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_may_have_arrived_is_never_called_failed(event in any_event()) {
            if let Event::Faulted { is_open: true, .. } = event {
                let (state, _) = transition(State::Sending, event).unwrap();
                prop_assert!(matches!(state, State::Unknown | State::Held), "{event:?}: {state}");
            }
        }
    }

    #[test]
    fn what_killed_its_workers_is_unknown_once_it_was_begun() {
        let died = |state| transition(state, Event::Died).unwrap();
        assert_eq!(died(State::Sending), (State::Unknown, Next::Hold));
        assert_eq!(died(State::Unknown), (State::Unknown, Next::Hold));
        assert_eq!(died(State::Queued), (State::Failed, Next::Nothing));
        assert_eq!(died(State::Retrying), (State::Failed, Next::Nothing));
    }

    #[test]
    fn a_late_word_settles_and_may_contradict_but_not_reopen() {
        for (state, event, follows) in [
            (State::Unknown, Event::Accepted, State::Accepted),
            (State::Unknown, Event::Rejected, State::Rejected),
            (State::Accepted, Event::Rejected, State::Rejected),
            (State::Rejected, Event::Accepted, State::Accepted),
            (State::Failed, Event::Accepted, State::Accepted),
        ] {
            assert_eq!(transition(state, event), Ok((follows, Next::Finish)));
        }
        for state in [
            State::Queued,
            State::Held,
            State::Canceled,
            State::Retrying,
            State::Batched,
        ] {
            assert!(transition(state, Event::Accepted).is_err(), "{state}");
            assert!(transition(state, Event::Rejected).is_err(), "{state}");
        }
    }

    #[test]
    fn a_failed_update_of_a_live_release_stays_distributed() {
        assert_eq!(
            record_status(Kind::Update, State::Failed, true),
            RecordStatus::Distributed
        );
        assert_eq!(
            record_status(Kind::Insert, State::Failed, false),
            RecordStatus::Failed
        );
        assert_eq!(
            record_status(Kind::Takedown, State::Accepted, true),
            RecordStatus::Canceled
        );
        assert_eq!(
            record_status(Kind::Insert, State::Held, false),
            RecordStatus::Processing
        );
    }
}
