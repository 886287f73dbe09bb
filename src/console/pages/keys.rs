//! Keys: made, listed and revoked by whoever has the scope for it.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use jobs::access::{self, Created, KeyFilter, ListedKey, NewKey, Revoked, Scope, Scopes};

use crate::{
    console::{
        failure::Failure,
        flash::Note,
        frame::{Frame, back, render},
        markers::{ago, time},
        visitor::{Order, Visitor},
    },
    http::{App, Path, Problem},
};

/// Keys on a page; whoever has more of them uses the API.
const SHOWN: i64 = 200;

#[derive(Template)]
#[template(path = "keys.html")]
struct Page {
    frame: Frame,
    now: DateTime<Utc>,
    /// Each with whether it holds no longer.
    keys: Vec<(ListedKey, bool)>,
    scopes: [Scope; 4],
    own: i32,
    made: Option<Created>,
    wrong: Option<String>,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    show(&app, &visitor, None, None).await
}

async fn show(
    app: &App,
    visitor: &Visitor,
    made: Option<Created>,
    wrong: Option<String>,
) -> Result<Response, Failure> {
    let filter = KeyFilter {
        valid_at: None,
        after: None,
        limit: SHOWN,
    };
    let now = (app.clock)();
    let with_end = |key: ListedKey| {
        let is_over = key.expires_at.is_some_and(|end| end <= now);
        (key, is_over)
    };
    let keys = access::list(&app.pool, &filter).await?;
    Ok(render(&Page {
        frame: Frame::new(visitor, "keys", "Keys"),
        now,
        keys: keys.into_iter().map(with_end).collect(),
        scopes: Scope::ALL,
        own: visitor.admitted.key_id,
        made,
        wrong,
    }))
}

/// Makes a key, and shows it this once: the answer is the page itself.
pub(in crate::console) async fn create(
    State(app): State<App>,
    visitor: Visitor,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let expires = match fields.filled("expires") {
        None => None,
        Some(text) => Some(
            text.parse::<NaiveDate>()
                .map_err(|_| Problem::invalid(format!("{text:?} is no day; write 2027-01-31")))?,
        ),
    };
    let scopes: Vec<Scope> = fields.all("scope").filter_map(Scope::from_word).collect();
    let mut tx = app.pool.begin().await?;
    let user_id = match fields.filled("user") {
        None => visitor.admitted.user_id,
        Some(name) => match access::owner_of(&mut tx, name).await? {
            Some(id) => id,
            None => {
                let wrong = format!("There is no user {name:?} in the web application.");
                return show(&app, &visitor, None, Some(wrong)).await;
            }
        },
    };
    let new = NewKey {
        user_id,
        name: fields.text("name").to_owned(),
        scopes: Scopes::of(&scopes),
        template: fields.filled("template").map(ToOwned::to_owned),
        expires_at: expires.map(|day| day.and_time(NaiveTime::MIN).and_utc()),
    };
    match access::create(&mut tx, &new, rand::random(), &by, (app.clock)()).await? {
        Ok(made) => {
            tx.commit().await?;
            show(&app, &visitor, Some(made), None).await
        }
        Err(why) => {
            drop(tx);
            show(
                &app,
                &visitor,
                None,
                Some(format!("No key was made: {why}.")),
            )
            .await
        }
    }
}

pub(in crate::console) async fn revoke(
    State(app): State<App>,
    Path(id): Path<i32>,
    Order { by, .. }: Order,
) -> Result<Response, Failure> {
    let mut tx = app.pool.begin().await?;
    let revoked = access::revoke(&mut tx, id, &by, (app.clock)()).await?;
    tx.commit().await?;
    let note = match revoked {
        Revoked::Done => Note::good(format!("Key {id} is revoked.")),
        Revoked::Already => Note::bad(format!("Key {id} had expired or was revoked before.")),
        Revoked::Missing => return Err(Problem::missing(format!("there is no key {id}")).into()),
    };
    Ok(back("/console/keys", &note))
}
