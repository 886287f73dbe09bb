//! Keys of the API and the console.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use jobs::access::{self, KeyFilter, ListedKey, NewKey, Revoked, Scope, Scopes};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Why;
use crate::http::{
    App,
    caller::Caller,
    extract::{Body, Path, Query},
    page::{Limit, Page, place},
    problem::{Kind, Problem},
};

/// Which keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyQuery {
    /// Only those that have not expired and were not revoked.
    valid: Option<bool>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

/// List keys, the newest first. The keys themselves stand nowhere.
#[utoipa::path(get, path = "/keys", operation_id = "listKeys", tag = "keys",
    params(KeyQuery), responses((status = 200, body = Page<ListedKey>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<KeyQuery>,
) -> Result<Json<Page<ListedKey>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let filter = KeyFilter {
        valid_at: query.valid.unwrap_or_default().then(|| (app.clock)()),
        after: place(query.cursor.as_deref(), |text| text.parse().ok())?,
        limit: limit.and_one(),
    };
    let listed = access::list(&app.pool, &filter).await?;
    Ok(Json(Page::of(listed, limit, |one| one.id.to_string())))
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MakingKey {
    /// What people call it.
    #[schema(min_length = 1, max_length = 50)]
    name: String,
    /// The id of its owner; without it, the owner of the key that makes it.
    #[serde(default)]
    user_id: Option<i32>,
    /// What it may do.
    #[serde(default)]
    scopes: Vec<Scope>,
    /// A permission template that grants further scopes.
    #[serde(default)]
    template: Option<String>,
    /// Until when it holds; without it, until it is revoked.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    /// Kept in the audit, with the key that makes it.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeKey {
    /// Its id.
    id: i32,
    /// The key: it is shown now, and never again.
    #[schema(example = "tmw_...")]
    key: String,
    /// What it may do.
    scopes: Scopes,
}

/// Make a key. It cannot be repeated with an Idempotency-Key: answers with keys are not kept.
#[utoipa::path(post, path = "/keys", operation_id = "createKey", tag = "keys",
    request_body = MakingKey, responses((status = 201, body = MadeKey)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<MakingKey>,
) -> Result<Response, Problem> {
    let by = caller.by(&asked.reason)?;
    let new = NewKey {
        user_id: asked.user_id.unwrap_or(caller.admitted.user_id),
        name: asked.name,
        scopes: Scopes::of(&asked.scopes),
        template: asked.template,
        expires_at: asked.expires_at,
    };
    let mut tx = app.pool.begin().await?;
    let made = access::create(&mut tx, &new, rand::random(), &by, (app.clock)())
        .await?
        .map_err(|why| Problem::invalid(why.to_string()))?;
    tx.commit().await?;
    let made = MadeKey {
        id: made.id,
        key: made.key,
        scopes: made.scopes,
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Revoke a key: it is accepted no longer, and its sessions of the console end.
#[utoipa::path(post, path = "/keys/{id}/revoke", operation_id = "revokeKey", tag = "keys",
    params(("id" = i32, Path, description = "The key's id")),
    request_body = Why, responses((status = 204, description = "It is revoked")))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    Body(why): Body<Why>,
) -> Result<StatusCode, Problem> {
    let by = caller.by(&why.reason)?;
    let mut tx = app.pool.begin().await?;
    let revoked = access::revoke(&mut tx, id, &by, (app.clock)()).await?;
    tx.commit().await?;
    match revoked {
        Revoked::Done => Ok(StatusCode::NO_CONTENT),
        Revoked::Already => Err(Problem::new(
            Kind::Refused,
            format!("key {id} had expired or was revoked before"),
        )),
        Revoked::Missing => Err(Problem::missing(format!(
            "there is no key {id} of the worker's; the web application's keys are revoked there"
        ))),
    }
}
