//! Deliveries: found by what is known of them.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    catalog,
    delivery::{self, Filter, Listed, Operation, Selection},
};

use crate::{
    console::{
        failure::Failure,
        fields::{Fields, Query},
        frame::{Frame, render},
        markers::{ago, tone, verb},
        visitor::Visitor,
    },
    http::{App, Limit, Page as Listing, place},
};

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Page {
    frame: Frame,
    search: Search,
    /// With their ids.
    platforms: Vec<(i32, String)>,
    states: [delivery::State; 11],
    rows: Vec<Row>,
    next: Option<String>,
    operations: [Operation; 6],
    /// The conditions as the part of an address after the question mark.
    conditions: String,
}

struct Row {
    one: Listed,
    tone: &'static str,
    updated: String,
    word: String,
}

/// What was asked for, as the form shows it again.
#[derive(Default)]
pub(super) struct Search {
    pub(super) q: String,
    pub(super) state: String,
    pub(super) platform: Option<i32>,
    pub(super) release: Option<i32>,
    pub(super) owner: Option<i32>,
    pub(super) fault: String,
    pub(super) older_h: Option<i64>,
    cursor: String,
}

impl Search {
    pub(super) fn of(fields: &Fields) -> Self {
        let text = |name| fields.filled(name).unwrap_or_default().to_owned();
        Self {
            q: text("q"),
            state: text("state"),
            platform: fields.filled("platform").and_then(|id| id.parse().ok()),
            release: fields.filled("release").and_then(|id| id.parse().ok()),
            owner: fields.filled("owner").and_then(|id| id.parse().ok()),
            fault: text("fault"),
            older_h: fields
                .filled("older_h")
                .and_then(|hours| hours.parse().ok())
                .filter(|hours| (1..=100_000).contains(hours)),
            cursor: text("cursor"),
        }
    }

    pub(super) fn selection(&self, now: DateTime<Utc>) -> Selection {
        let selection = Selection {
            states: self
                .state
                .split(',')
                .filter_map(|word| delivery::State::from_word(word.trim()))
                .collect(),
            platform_id: self.platform,
            release_id: self.release,
            owner_id: self.owner,
            fault_code: Some(self.fault.clone()).filter(|code| !code.is_empty()),
            created_before: self.older_h.map(|hours| now - TimeDelta::hours(hours)),
            ..Selection::default()
        };
        selection.searched(&self.q)
    }

    /// The conditions as the part of an address after the question mark.
    pub(super) fn conditions(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let number = |number: Option<i64>| number.map_or_else(String::new, |one| one.to_string());
        for (name, value) in [
            ("q", self.q.clone()),
            ("state", self.state.clone()),
            ("platform", number(self.platform.map(i64::from))),
            ("release", number(self.release.map(i64::from))),
            ("owner", number(self.owner.map(i64::from))),
            ("fault", self.fault.clone()),
            ("older_h", number(self.older_h)),
        ] {
            if !value.is_empty() {
                query.append_pair(name, &value);
            }
        }
        query.finish()
    }

    fn is_platform(&self, id: &i32) -> bool {
        self.platform == Some(*id)
    }
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let search = Search::of(&fields);
    let now = (app.clock)();
    let limit = Limit::of(None)?;
    let filter = Filter {
        selection: search.selection(now),
        after: place(
            Some(search.cursor.as_str()).filter(|cursor| !cursor.is_empty()),
            |text| text.parse().ok(),
        )?,
        limit: limit.and_one(),
    };
    let listed = delivery::list(&app.pool, &filter).await?;
    let listing = Listing::of(listed, limit, |one| one.id.to_string());
    let page = Page {
        frame: Frame::new(&visitor, "deliveries", "Deliveries"),
        platforms: catalog::platform_names(&app.pool).await?,
        states: delivery::State::ALL,
        rows: listing.items.into_iter().map(|one| row(one, now)).collect(),
        next: listing.next,
        operations: Operation::ALL,
        conditions: search.conditions(),
        search,
    };
    Ok(render(&page))
}

fn row(one: Listed, now: DateTime<Utc>) -> Row {
    let confirmed = || {
        let receipt = one.receipt.as_ref()?;
        Some(receipt.get("confirmed")?.as_str()?.to_owned())
    };
    Row {
        tone: tone(&one.state),
        updated: ago(&one.updated_at, &now),
        word: match &one.fault_message {
            Some(message) => message.clone(),
            None => confirmed().unwrap_or_default(),
        },
        one,
    }
}
