//! What is done to deliveries: to one, to some, or to all that fit conditions, which are counted
//! first.

use axum::{Json, extract::State};
use jobs::delivery::{self, Heard, Operated, Operation, Selection, Tally, Word};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Why, deliveries::missing};
use crate::http::{
    App,
    caller::Caller,
    extract::{Body, Path},
    precondition::IfMatch,
    problem::{Kind, Problem},
};

/// The most deliveries of one request: it ends within the time of a request.
const MOST: i64 = 1000;

/// What came of an operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    /// The delivery's state now; an attempt that is being stopped decides it when it has ended.
    #[schema(example = "held")]
    state: String,
    /// An attempt was under way and is being stopped; what it left at the partner decides.
    is_stopping: bool,
}

/// Hold, release, cancel, retry, redeliver or expedite a delivery.
#[utoipa::path(post, path = "/deliveries/{id}/{operation}", operation_id = "operateDelivery", tag = "deliveries",
    params(("id" = Uuid, Path, description = "The delivery's id"),
           ("operation" = Operation, Path, description = "What to do"),
           ("If-Match" = Option<String>, Header, description = "The ETag of what you have seen")),
    request_body = Why, responses((status = 200, body = Done)))]
pub(super) async fn one(
    State(app): State<App>,
    caller: Caller,
    Path((id, operation)): Path<(Uuid, String)>,
    IfMatch(seen): IfMatch,
    Body(why): Body<Why>,
) -> Result<Json<Done>, Problem> {
    let operation = Operation::from_word(&operation).ok_or_else(|| {
        let known = Operation::ALL.map(Operation::as_str).join(", ");
        Problem::missing(format!(
            "{operation:?} cannot be done to a delivery, but {known} can"
        ))
    })?;
    let by = caller.by(&why.reason)?;
    let now = (app.clock)();
    let operated = match seen {
        None => delivery::operate(&app.pool, id, operation, &by, now).await?,
        Some(seen) => delivery::operate_if(&app.pool, id, &seen, operation, &by, now)
            .await?
            .map_err(|_stale| Problem::stale())?,
    };
    match operated.ok_or_else(|| missing(id))? {
        Operated::Changed(state) => Ok(Json(Done {
            state: state.to_owned(),
            is_stopping: false,
        })),
        Operated::Stopping => Ok(Json(Done {
            state: delivery::State::Sending.as_str().to_owned(),
            is_stopping: true,
        })),
        Operated::Refused(why) => Err(Problem::new(
            Kind::Refused,
            format!(
                "{} was not done to delivery {id}: {why}",
                operation.as_str()
            ),
        )),
    }
}

/// What the partner said of a delivery by mail, telephone or in its portal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    /// What it said.
    word: PartnersWord,
    /// The partner's own id of the release, where it accepted it.
    #[serde(default)]
    partner_id: Option<String>,
    /// Where the release can be seen, where the partner accepted it.
    #[serde(default)]
    url: Option<String>,
    /// Such as where the partner's word stands; of a rejection it is what the label reads.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// A partner's word.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartnersWord {
    /// It has taken it.
    Accepted,
    /// It refuses it.
    Rejected,
    /// It never got it: it is sent again. Only where the outcome is unknown.
    Absent,
}

/// What a word came to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeardOf {
    /// The delivery's state, if the word changed it.
    state: Option<String>,
    /// The word said what is known already, or speaks of an earlier transmission.
    is_news: bool,
}

/// Record what the partner said of a delivery by mail, telephone or in its portal.
#[utoipa::path(post, path = "/deliveries/{id}/acknowledge", operation_id = "acknowledgeDelivery", tag = "deliveries",
    params(("id" = Uuid, Path, description = "The delivery's id")),
    request_body = Said, responses((status = 200, body = HeardOf)))]
pub(super) async fn acknowledge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(said): Body<Said>,
) -> Result<Json<HeardOf>, Problem> {
    let by = caller.by(&said.reason)?;
    let word = match said.word {
        PartnersWord::Accepted => Word::accepted_says(&by, said.partner_id, said.url),
        PartnersWord::Rejected => Word::Rejected(by.reason().to_owned()),
        PartnersWord::Absent => Word::Absent,
    };
    let now = (app.clock)();
    match delivery::acknowledge_by_operator(&app.pool, id, word, &by, now).await? {
        Heard::Changed(state) => Ok(Json(HeardOf {
            state: Some(state.as_str().to_owned()),
            is_news: true,
        })),
        Heard::Repeated | Heard::Outdated => Ok(Json(HeardOf {
            state: None,
            is_news: false,
        })),
        Heard::OutOfPlace(state) => Err(Problem::new(
            Kind::Refused,
            format!(
                "delivery {id} is {state}: that word means nothing there; it is kept as evidence"
            ),
        )),
        Heard::NoSuchDelivery => Err(missing(id)),
    }
}

/// An operation on some deliveries.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnSome {
    /// What to do.
    operation: Operation,
    /// Their ids.
    #[schema(min_items = 1, max_items = 1000)]
    deliveries: Vec<Uuid>,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// What came of an operation on many deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DoneToMany {
    /// Done.
    changed: u64,
    /// Attempts under way that are being stopped.
    stopping: u64,
    /// Not done, each with the reason.
    refused: Vec<NotDone>,
}

/// A delivery to which something was not done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotDone {
    /// The delivery's id.
    delivery: Uuid,
    /// Why not.
    why: String,
}

impl From<Tally> for DoneToMany {
    fn from(tally: Tally) -> Self {
        let refused = tally.refused.into_iter();
        Self {
            changed: tally.changed,
            stopping: tally.stopping,
            refused: refused
                .map(|(delivery, why)| NotDone { delivery, why })
                .collect(),
        }
    }
}

/// Do something to each of these deliveries. Each is a change of its own: some may be refused.
#[utoipa::path(post, path = "/deliveries/operations", operation_id = "operateDeliveries", tag = "deliveries",
    request_body = OnSome, responses((status = 200, body = DoneToMany)))]
pub(super) async fn some(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<OnSome>,
) -> Result<Json<DoneToMany>, Problem> {
    let count = i64::try_from(asked.deliveries.len()).unwrap_or(i64::MAX);
    if !(1..=MOST).contains(&count) {
        return Err(Problem::invalid(format!("name 1 to {MOST} deliveries")));
    }
    let by = caller.by(&asked.reason)?;
    let (ids, operation) = (&asked.deliveries, asked.operation);
    let tally = delivery::operate_each(&app.pool, ids, operation, &by, (app.clock)()).await?;
    Ok(Json(tally.into()))
}

/// An operation on all deliveries that fit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnMatching {
    /// What to do.
    operation: Operation,
    /// Which deliveries; at least one condition.
    selection: Selection,
    /// As many as you were told would change. Without it nothing is done but counting; if by now
    /// more fit, nothing is done either.
    #[serde(default)]
    #[schema(minimum = 0)]
    expected: Option<i64>,
    /// The most to change now, the oldest first; ask again for the rest.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<i64>,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// What an operation on all that fit came to, or would come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DoneToMatching {
    /// The deliveries that fit and to which it could be done, before anything was.
    would_change: i64,
    /// What was done; null: nothing, they were only counted.
    done: Option<DoneToMany>,
}

/// Do something to all deliveries that fit. Ask once without `expected` to learn how many they are,
/// then with it.
#[utoipa::path(post, path = "/deliveries/matching/operations", operation_id = "operateMatchingDeliveries",
    tag = "deliveries", request_body = OnMatching, responses((status = 200, body = DoneToMatching)))]
pub(super) async fn matching(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<OnMatching>,
) -> Result<Json<DoneToMatching>, Problem> {
    if asked.selection.is_everything() {
        let detail = "give a condition in \"selection\", such as platform_id, states or release_id";
        return Err(Problem::invalid(detail));
    }
    let limit = asked.limit.unwrap_or(MOST);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid(format!("limit must be from 1 to {MOST}")));
    }
    let by = caller.by(&asked.reason)?;
    let (selection, operation) = (&asked.selection, asked.operation);
    let would_change = delivery::count(&app.pool, selection, operation).await?;
    let Some(expected) = asked.expected else {
        return Ok(Json(DoneToMatching {
            would_change,
            done: None,
        }));
    };
    if would_change > expected {
        return Err(Problem::new(
            Kind::CountChanged,
            format!("{would_change} fit now, and {expected} were expected; nothing was done"),
        ));
    }
    let now = (app.clock)();
    let tally = delivery::operate_all(&app.pool, selection, operation, limit, &by, now).await?;
    Ok(Json(DoneToMatching {
        would_change,
        done: Some(tally.into()),
    }))
}
