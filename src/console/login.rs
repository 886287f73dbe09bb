//! Logging in with a key, and out.

use askama::Template;
use axum::{
    extract::{Query, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use chrono::TimeDelta;
use jobs::{
    access::{self, Scope},
    audit::By,
};
use serde::Deserialize;

use super::{
    assets,
    failure::Failure,
    fields::Fields,
    frame::render,
    visitor::{Visitor, cookie_name, is_same_origin},
};
use crate::http::{App, Asked, Kind, Problem, refuse};

/// A form with a key and an address has a few hundred bytes.
const FORM_BYTES: usize = 8192;

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    css: String,
    icon: String,
    next: String,
    wrong: Option<String>,
}

impl Page {
    fn new(next: &str, wrong: Option<String>) -> Self {
        Self {
            css: assets::address("console.css"),
            icon: assets::address("icon.svg"),
            next: local(next).to_owned(),
            wrong,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

/// A page of the console, whatever was asked for: nobody is led elsewhere after logging in.
fn local(next: &str) -> &str {
    let is_ours = next.starts_with("/console/")
        && !next.contains(['\\', '\r', '\n'])
        && !next.starts_with("/console/log");
    if is_ours { next } else { "/console/" }
}

pub(super) async fn page(Query(wanted): Query<Wanted>) -> Response {
    render(&Page::new(&wanted.next, None))
}

pub(super) async fn log_in(State(app): State<App>, request: Request) -> Result<Response, Failure> {
    let asked = Asked::of(&request);
    if !is_same_origin(request.headers()) {
        return Err(
            Problem::new(Kind::Forbidden, "open the login yourself, and log in there").into(),
        );
    }
    let body = axum::body::to_bytes(request.into_body(), FORM_BYTES)
        .await
        .map_err(|_| Problem::new(Kind::BodyTooLarge, "the form is too large"))?;
    let fields = Fields::of(&body);
    let next = fields.text("next");
    let now = (app.clock)();
    let admitted = match access::admit(&app.pool, fields.text("key").trim(), now).await? {
        Ok(admitted) if admitted.scopes.contains(Scope::Read) => admitted,
        refused => {
            let (actor, why) = match refused {
                Ok(admitted) => (
                    Some(admitted.actor()),
                    "the key has no scope worker:read".into(),
                ),
                Err(refusal) => (refusal.actor(), refusal.to_string()),
            };
            let problem = refuse(&app, &asked, actor, &why).await;
            let wrong = match problem.status() {
                StatusCode::UNAUTHORIZED => {
                    "This key is not accepted here. It may be mistyped, have expired, or lack the scope \
                     worker:read."
                        .to_owned()
                }
                _ => problem.detail().to_owned(),
            };
            let page = render(&Page::new(next, Some(wrong)));
            return Ok((problem.status(), page).into_response());
        }
    };
    let by = By::new(admitted.actor(), "logged in to the console")
        .map_err(|unexplained| Problem::new(Kind::Internal, unexplained.to_string()))?
        .with_request(asked.request_id.0.as_str());
    let lasts = TimeDelta::hours(app.config.session_hours.into());
    let mut tx = app.pool.begin().await?;
    let session = access::log_in(&mut tx, &admitted, lasts, rand::random(), &by, now).await?;
    tx.commit().await?;
    let mut response = Redirect::to(local(next)).into_response();
    set_cookie(&app, &mut response, &session.token, lasts.num_seconds())?;
    Ok(response)
}

pub(super) async fn log_out(State(app): State<App>, visitor: Visitor) -> Result<Response, Failure> {
    access::log_out(&app.pool, &visitor.token).await?;
    let mut response = Redirect::to("/console/login").into_response();
    set_cookie(&app, &mut response, "", 0)?;
    Ok(response)
}

fn set_cookie(
    app: &App,
    response: &mut Response,
    token: &str,
    lasts_s: i64,
) -> Result<(), Problem> {
    let name = cookie_name(app);
    let secure = if app.config.is_behind_tls() {
        "; Secure"
    } else {
        ""
    };
    let cookie =
        format!("{name}={token}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::from_str(&cookie)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn nobody_is_led_elsewhere() {
        assert_eq!(local("/console/deliveries?q=a"), "/console/deliveries?q=a");
        for elsewhere in [
            "",
            "//evil.example",
            "https://evil.example",
            "/console",
            "/console/\\evil",
            "/consolex/",
            "/console/\r\nSet-Cookie: a=b",
            "/console/logout",
            "/console/login",
        ] {
            assert_eq!(local(elsewhere), "/console/", "{elsewhere}");
        }
    }
}
