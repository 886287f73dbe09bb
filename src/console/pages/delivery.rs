//! One delivery: how it stands, what to do, and all that happened to it.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use jobs::{
    audit::{self, Entry},
    delivery::{self, Attempt, Document, Operation, Story},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    console::{
        changes::changes,
        failure::Failure,
        frame::{Frame, render},
        markers::{ago, bytes, meaning, span, time, tone, verb},
        visitor::Visitor,
    },
    http::{App, Path, Problem},
};

/// The most rows of the audit beside a delivery.
const AUDITED: i64 = 200;

#[derive(Template)]
#[template(path = "delivery.html")]
struct Page<'a> {
    frame: Frame,
    story: &'a Story,
    tone: &'static str,
    updated: String,
    version: String,
    operations: Vec<Operation>,
    /// The batch that it is in: its id, and how that stands.
    batch: Option<(String, String)>,
    /// What the partner may say of it as it stands.
    words: Vec<(&'static str, &'static str)>,
    moments: Vec<Moment<'a>>,
    receipt: Vec<(String, String)>,
    release_path: String,
}

/// Something that happened.
struct Moment<'a> {
    at: DateTime<Utc>,
    tone: &'static str,
    what: What<'a>,
}

enum What<'a> {
    Made,
    Tried(Tried<'a>),
    Kept(&'a Document),
    Operated(&'a Entry),
}

/// Attempts in a row that came to the same.
struct Tried<'a> {
    /// The last of them.
    last: &'a Attempt,
    took: String,
    /// Those before the last.
    alike: usize,
    /// When the first of them began.
    since: DateTime<Utc>,
}

impl Tried<'_> {
    fn came_to_the_same(&self, earlier: &Attempt) -> bool {
        let of = |attempt: &Attempt| {
            let (outcome, code) = (attempt.outcome.clone(), attempt.fault_code.clone());
            (outcome, code, attempt.fault_message.clone())
        };
        earlier.outcome.is_some() && of(self.last) == of(earlier)
    }
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    let story = delivery::story(&app.pool, id)
        .await?
        .ok_or_else(|| Problem::missing(format!("there is no delivery {id}")))?;
    let object = id.to_string();
    let audited = audit::list(&app.pool, Some(("delivery", &object)), AUDITED).await?;
    let one = &story.delivery;
    let state = delivery::State::from_word(&one.state);
    let page = Page {
        frame: Frame::new(
            &visitor,
            "deliveries",
            format!("{} to {}", one.release, one.platform),
        ),
        tone: tone(&one.state),
        updated: ago(&one.updated_at, &(app.clock)()),
        version: one.version(),
        operations: Operation::ALL
            .into_iter()
            .filter(|operation| state.is_some_and(|state| operation.states().contains(&state)))
            .collect(),
        batch: story.in_batch.as_ref().map(|batch| {
            let stands = match state {
                Some(delivery::State::Batched) => {
                    batch.waits_for(&span((app.clock)() - batch.opened_at))
                }
                _ => format!("{} with {} releases", batch.state, batch.releases),
            };
            (batch.id.clone(), stands)
        }),
        words: state.map_or_else(Vec::new, words),
        moments: moments(&story, &audited),
        receipt: receipt(one.receipt.as_ref()),
        release_path: format!("/console/deliveries?release={}", one.release_id),
        story: &story,
    };
    Ok(render(&page))
}

/// The words of a partner that mean something in this state.
fn words(state: delivery::State) -> Vec<(&'static str, &'static str)> {
    use delivery::State as S;
    let accepted = ("accepted", "It has accepted it");
    let rejected = ("rejected", "It refuses it, for the reason below");
    let absent = ("absent", "It never got it: send it again");
    match state {
        S::Unknown => vec![accepted, rejected, absent],
        S::Sent => vec![accepted, rejected],
        S::Rejected | S::Failed => vec![accepted],
        S::Accepted => vec![rejected],
        _ => Vec::new(),
    }
}

/// All that happened, the latest first.
fn moments<'a>(story: &'a Story, audited: &'a [Entry]) -> Vec<Moment<'a>> {
    let made = Moment {
        at: story.delivery.created_at,
        tone: "calm",
        what: What::Made,
    };
    let attempts = story.attempts_made.iter().map(|attempt| Moment {
        at: attempt.started_at,
        tone: attempt.outcome.as_deref().map_or("busy", tone),
        what: What::Tried(Tried {
            last: attempt,
            took: attempt.ended_at.map_or_else(
                || "under way".to_owned(),
                |end| span(end - attempt.started_at),
            ),
            alike: 0,
            since: attempt.started_at,
        }),
    });
    let kept = story.evidence.iter().map(|document| Moment {
        at: document.created_at,
        tone: "calm",
        what: What::Kept(document),
    });
    let operated = audited.iter().map(|entry| Moment {
        at: entry.at,
        tone: "person",
        what: What::Operated(entry),
    });
    let mut moments: Vec<Moment<'_>> = std::iter::once(made)
        .chain(attempts)
        .chain(kept)
        .chain(operated)
        .collect();
    moments.sort_by_key(|moment| std::cmp::Reverse(moment.at));
    folded(moments)
}

/// A partner that is away is probed again and again: that is told once.
fn folded(moments: Vec<Moment<'_>>) -> Vec<Moment<'_>> {
    let mut told: Vec<Moment<'_>> = Vec::new();
    for moment in moments {
        if let Some(What::Tried(later)) = told.last_mut().map(|last| &mut last.what)
            && let What::Tried(earlier) = &moment.what
            && later.came_to_the_same(earlier.last)
        {
            later.alike += 1;
            later.since = moment.at;
            continue;
        }
        told.push(moment);
    }
    told
}

/// What the partner gave back, a line for each thing it said.
fn receipt(receipt: Option<&Value>) -> Vec<(String, String)> {
    let members = receipt.and_then(Value::as_object).into_iter().flatten();
    members
        .filter(|(_, value)| !value.is_null() && **value != Value::String(String::new()))
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (name.replace('_', " "), value)
        })
        .collect()
}
