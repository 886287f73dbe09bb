//! What is done to deliveries from pages: to one as it was seen, to those that were marked, or to all
//! that fit after they were counted.

use askama::Template;
use axum::{extract::State, response::Response};
use jobs::delivery::{self, Heard, Operated, Operation, Tally, Word};
use uuid::Uuid;

use super::deliveries::Search;
use crate::{
    console::{
        failure::Failure,
        fields::Query,
        flash::Note,
        frame::{Frame, back, render},
        markers::{grouped, meaning, verb},
        visitor::{Order, Visitor},
    },
    http::{App, Kind, Path, Problem},
};

/// The most deliveries of one form.
const MOST: i64 = 1000;

pub(in crate::console) async fn one(
    State(app): State<App>,
    Path((id, operation)): Path<(Uuid, String)>,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let operation = named(&operation)?;
    let seen = fields.text("version");
    let operated = delivery::operate_if(&app.pool, id, seen, operation, &by, (app.clock)()).await?;
    let note = match operated {
        Err(_stale) => Note::bad("It has changed since you opened the page. Look at it again."),
        Ok(None) => return Err(Problem::missing(format!("there is no delivery {id}")).into()),
        Ok(Some(Operated::Changed(state))) => {
            Note::good(format!("{}: done. It is {state} now.", verb(&operation)))
        }
        Ok(Some(Operated::Stopping)) => {
            Note::good("The attempt is being stopped; what arrived at the partner decides.")
        }
        Ok(Some(Operated::Refused(why))) => Note::bad(format!("Nothing was done: {why}.")),
    };
    Ok(back(&format!("/console/deliveries/{id}"), &note))
}

/// Records what the partner said outside of its interfaces.
pub(in crate::console) async fn acknowledge(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let filled = |name| fields.filled(name).map(ToOwned::to_owned);
    let word = match fields.text("word") {
        "accepted" => Word::accepted_says(&by, filled("partner_id"), filled("url")),
        "rejected" => Word::Rejected(by.reason().to_owned()),
        "absent" => Word::Absent,
        _ => return Err(Problem::invalid("choose what the partner said").into()),
    };
    let now = (app.clock)();
    let note = match delivery::acknowledge_by_operator(&app.pool, id, word, &by, now).await? {
        Heard::Changed(state) => Note::good(format!("Recorded. It is {} now.", state.as_str())),
        Heard::Repeated | Heard::Outdated => Note::good("That was known already."),
        Heard::OutOfPlace(state) => Note::bad(format!(
            "It is {}: that word means nothing there. It is kept as a document.",
            state.as_str()
        )),
        Heard::NoSuchDelivery => {
            return Err(Problem::missing(format!("there is no delivery {id}")).into());
        }
    };
    Ok(back(&format!("/console/deliveries/{id}"), &note))
}

pub(in crate::console) async fn some(
    State(app): State<App>,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let operation = named(fields.text("operation"))?;
    let list = format!("/console/deliveries?{}", Search::of(&fields).conditions());
    let ids: Vec<Uuid> = fields
        .all("delivery")
        .filter_map(|id| id.parse().ok())
        .take(usize::try_from(MOST).unwrap_or_default())
        .collect();
    if ids.is_empty() {
        return Ok(back(&list, &Note::bad("Mark at least one delivery.")));
    }
    let tally = delivery::operate_each(&app.pool, &ids, operation, &by, (app.clock)()).await?;
    Ok(back(&list, &told(operation, &tally)))
}

#[derive(Template)]
#[template(path = "matching.html")]
struct Confirm {
    frame: Frame,
    search: Search,
    operation: Operation,
    count: i64,
    now: i64,
    conditions: String,
}

/// How many fit, before anything is done to them.
pub(in crate::console) async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let operation = named(fields.text("operation"))?;
    let search = Search::of(&fields);
    let selection = search.selection((app.clock)());
    if selection.is_everything() {
        let detail = "give a condition first, such as a platform or a state";
        return Err(Problem::invalid(detail).into());
    }
    let count = delivery::count(&app.pool, &selection, operation).await?;
    let page = Confirm {
        frame: Frame::new(
            &visitor,
            "deliveries",
            format!("{} all that fit", verb(&operation)),
        ),
        operation,
        count,
        now: count.min(MOST),
        conditions: search.conditions(),
        search,
    };
    Ok(render(&page))
}

pub(in crate::console) async fn matching(
    State(app): State<App>,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let operation = named(fields.text("operation"))?;
    let search = Search::of(&fields);
    let list = format!("/console/deliveries?{}", search.conditions());
    let now = (app.clock)();
    let selection = search.selection(now);
    let expected: Option<i64> = fields.text("expected").parse().ok();
    let Some(expected) = expected.filter(|_| !selection.is_everything()) else {
        return Err(Problem::invalid("count them first").into());
    };
    let count = delivery::count(&app.pool, &selection, operation).await?;
    if count > expected {
        let note = Note::bad(format!(
            "{count} fit now, and {expected} were expected. Nothing was done; count them again."
        ));
        return Ok(back(&list, &note));
    }
    let tally = delivery::operate_all(&app.pool, &selection, operation, MOST, &by, now).await?;
    Ok(back(&list, &told(operation, &tally)))
}

fn told(operation: Operation, tally: &Tally) -> Note {
    let mut text = format!("{}: done to {}.", verb(&operation), tally.changed);
    if tally.stopping > 0 {
        text.push_str(&format!(" Being stopped: {}.", tally.stopping));
    }
    match tally.refused.first() {
        None => Note::good(text),
        Some((_, why)) => Note::bad(format!(
            "{text} Not done to {}; the first: {why}.",
            tally.refused.len()
        )),
    }
}

fn named(word: &str) -> Result<Operation, Problem> {
    Operation::from_word(word).ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            format!("{word:?} cannot be done to a delivery"),
        )
    })
}
