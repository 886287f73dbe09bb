//! The audit: who changed what and why, and who was refused.

use askama::Template;
use axum::{extract::State, response::Response};
use jobs::audit::{self, Entry, Filter};

use crate::{
    console::{
        changes::changes,
        failure::Failure,
        fields::Query,
        frame::{Frame, render},
        markers::time,
        visitor::Visitor,
    },
    http::{App, Limit, Page as Listing, place},
};

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    kind: String,
    id: String,
    actor: String,
    action: String,
    entries: Vec<Entry>,
    next: Option<String>,
    conditions: String,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let text = |name| fields.filled(name).map(ToOwned::to_owned);
    let limit = Limit::of(None)?;
    let filter = Filter {
        object_kind: text("kind"),
        object_id: text("id"),
        actor: text("actor"),
        action: text("action"),
        request_id: text("request"),
        after: place(fields.filled("cursor"), |text| text.parse().ok())?,
        sees_amounts: visitor.admitted.scopes.see_amounts(),
        limit: limit.and_one(),
    };
    let listed = audit::search(&app.pool, &filter).await?;
    let listing = Listing::of(listed, limit, |one| one.id.to_string());
    let shown = |value: &Option<String>| value.clone().unwrap_or_default();
    let (kind, id) = (shown(&filter.object_kind), shown(&filter.object_id));
    let (actor, action) = (shown(&filter.actor), shown(&filter.action));
    let mut conditions = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("kind", &kind),
        ("id", &id),
        ("actor", &actor),
        ("action", &action),
    ] {
        if !value.is_empty() {
            conditions.append_pair(name, value);
        }
    }
    let page = Page {
        frame: Frame::new(&visitor, "audit", "Audit"),
        entries: listing.items,
        next: listing.next,
        conditions: conditions.finish(),
        kind,
        id,
        actor,
        action,
    };
    Ok(render(&page))
}

/// Where the console shows an object; empty: nowhere.
fn href(entry: &Entry) -> String {
    match entry.object_kind.as_str() {
        "delivery" => format!("/console/deliveries/{}", entry.object_id),
        "platform" => format!("/console/platforms/{}", entry.object_id),
        "release" => format!("/console/deliveries?release={}", entry.object_id),
        "royalty_run" => format!("/console/royalties/{}", entry.object_id),
        "notification" => format!("/console/notifications/{}", entry.object_id),
        _ => String::new(),
    }
}
