//! Deliveries: which there are, and all that is known of one.

use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use jobs::{
    delivery::{self, Filter, Listed, Selection, Story},
    queue::{self, AttemptsOf, ListedAttempt},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::{
    App, download,
    extract::{Path, Query},
    page::{Limit, Page, place},
    precondition::Tagged,
    problem::{Kind, Problem},
};

/// Deliveries are counted up to here.
const COUNTED: i64 = 100_000;
/// The most attempts of one delivery in an answer; more than a delivery ever has.
const ATTEMPTS: i64 = 1000;

/// Which deliveries: all that fit every condition given.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// Where they stand: queued, sending, batched, sent, accepted, rejected, retrying, unknown, failed, held,
    /// canceled; several with commas between them.
    #[param(example = "failed,held")]
    state: Option<String>,
    /// The platform's id.
    platform: Option<i32>,
    /// The release's id.
    release: Option<i32>,
    /// Part of the release's title, or of an artist's name.
    title: Option<String>,
    /// The release's UPC or EAN.
    upc: Option<String>,
    /// The ISRC of one of the release's tracks.
    isrc: Option<String>,
    /// The id of the release's owner.
    owner: Option<i32>,
    /// The last fault's code.
    #[param(example = "host_key_changed")]
    fault: Option<String>,
    /// Made at this time or later.
    created_from: Option<DateTime<Utc>>,
    /// Made before this time.
    created_before: Option<DateTime<Utc>>,
    /// What somebody typed: a UPC, an ISRC, or words of a title or name.
    q: Option<String>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

impl DeliveryQuery {
    fn selection(&self) -> Result<Selection, Problem> {
        let mut states = Vec::new();
        for word in self.state.as_deref().unwrap_or_default().split(',') {
            let word = word.trim();
            if word.is_empty() {
                continue;
            }
            states.push(delivery::State::from_word(word).ok_or_else(|| {
                let known = delivery::State::ALL.map(delivery::State::as_str).join(", ");
                Problem::new(
                    Kind::InvalidRequest,
                    format!("there is no state {word:?}; there are {known}"),
                )
            })?);
        }
        let selection = Selection {
            states,
            platform_id: self.platform,
            release_id: self.release,
            title: self.title.clone(),
            upc: self.upc.clone(),
            isrc: self.isrc.clone(),
            owner_id: self.owner,
            fault_code: self.fault.clone(),
            created_from: self.created_from,
            created_before: self.created_before,
        };
        Ok(selection.searched(self.q.as_deref().unwrap_or_default()))
    }
}

/// List deliveries, the newest first.
#[utoipa::path(get, path = "/deliveries", operation_id = "listDeliveries", tag = "deliveries",
    params(DeliveryQuery), responses((status = 200, body = Page<Listed>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<DeliveryQuery>,
) -> Result<Json<Page<Listed>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let filter = Filter {
        selection: query.selection()?,
        after: place(query.cursor.as_deref(), |text| text.parse().ok())?,
        limit: limit.and_one(),
    };
    let listed = delivery::list(&app.pool, &filter).await?;
    Ok(Json(Page::of(listed, limit, |one| one.id.to_string())))
}

/// How many there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Count {
    /// Those that fit, as far as they were counted.
    count: i64,
    /// There may be more: they were counted up to here.
    is_bounded: bool,
}

/// Count deliveries, up to 100,000. Conditions are those of the list; cursor and limit say nothing here.
#[utoipa::path(get, path = "/deliveries/count", operation_id = "countDeliveries", tag = "deliveries",
    params(DeliveryQuery), responses((status = 200, body = Count)))]
pub(super) async fn count(
    State(app): State<App>,
    Query(query): Query<DeliveryQuery>,
) -> Result<Json<Count>, Problem> {
    Limit::of(query.limit)?;
    let count = delivery::count_matching(&app.pool, &query.selection()?, COUNTED).await?;
    Ok(Json(Count {
        count,
        is_bounded: count >= COUNTED,
    }))
}

/// The whole story of a delivery: its attempts, the files as handed over, what is kept as evidence.
#[utoipa::path(get, path = "/deliveries/{id}", operation_id = "getDelivery", tag = "deliveries",
    params(("id" = Uuid, Path, description = "The delivery's id")),
    responses((status = 200, body = Story, headers(("ETag" = String, description = "Send it as If-Match to change what you have seen")))))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Tagged<Story>, Problem> {
    let story = delivery::story(&app.pool, id)
        .await?
        .ok_or_else(|| missing(id))?;
    Ok(Tagged {
        version: story.delivery.version(),
        of: story,
    })
}

/// The attempts of all jobs of a delivery, the oldest first.
#[utoipa::path(get, path = "/deliveries/{id}/attempts", operation_id = "listDeliveryAttempts", tag = "deliveries",
    params(("id" = Uuid, Path, description = "The delivery's id")),
    responses((status = 200, body = Page<ListedAttempt>)))]
pub(super) async fn attempts(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Page<ListedAttempt>>, Problem> {
    let attempts = queue::attempts(&app.pool, AttemptsOf::Delivery(id), ATTEMPTS).await?;
    if attempts.is_empty() && delivery::story(&app.pool, id).await?.is_none() {
        return Err(missing(id));
    }
    Ok(Json(Page::whole(attempts)))
}

/// Download a document kept as evidence, to the byte.
#[utoipa::path(get, path = "/deliveries/{id}/evidence/{document}", operation_id = "getEvidence", tag = "deliveries",
    params(("id" = Uuid, Path, description = "The delivery's id"),
           ("document" = Uuid, Path, description = "The document's id")),
    responses((status = 200, description = "The document", content_type = "application/octet-stream", body = Vec<u8>)))]
pub(super) async fn evidence(
    State(app): State<App>,
    Path((id, document)): Path<(Uuid, Uuid)>,
) -> Result<Response, Problem> {
    match delivery::evidence_by_id(&app.pool, id, document).await? {
        Some(kept) => Ok(download(&kept.name, &kept.media_type, kept.body)),
        None => Err(Problem::missing(format!(
            "delivery {id} has no document {document}; it may have been removed by age"
        ))),
    }
}

pub(super) fn missing(id: Uuid) -> Problem {
    Problem::missing(format!("there is no delivery {id}"))
}
