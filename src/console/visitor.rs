//! Who looks: the session that a cookie names, what its key may do, and the token that shows that a
//! form is ours.

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use jobs::{
    access::{self, Admitted, Scope},
    audit::By,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use subtle::ConstantTimeEq as _;

use super::{
    failure::Failure,
    fields::Fields,
    flash::{Note, cookie},
};
use crate::http::{App, Asked, Kind, Problem, forbid, is_safe};

/// The cookie of a session. Over TLS it has the prefix that binds it to its host.
pub(super) fn cookie_name(app: &App) -> &'static str {
    match app.config.is_behind_tls() {
        true => "__Host-tmw_session",
        false => "tmw_session",
    }
}

/// Whoever looks, logged in.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) admitted: Admitted,
    /// What the cookie holds.
    pub(super) token: String,
    pub(super) asked: Asked,
    /// The page that is looked at, with its conditions: what refreshes itself asks for it again.
    pub(super) here: String,
    /// What came of the last form.
    pub(super) note: Option<Note>,
}

impl Visitor {
    /// What every form carries: known only to whoever knows the session.
    pub(super) fn csrf(&self) -> String {
        access::fingerprint(format!("csrf {}", self.token).as_bytes())
    }

    pub(super) fn may(&self, scope: Scope) -> bool {
        self.admitted.scopes.contains(scope)
    }

    /// The visitor with the reason of a form, as the audit keeps them.
    fn by(&self, fields: &Fields) -> Result<By, Problem> {
        let by = By::new(self.admitted.actor(), fields.text("reason"))
            .map_err(|unexplained| Problem::invalid(format!("{unexplained}: say why")))?;
        Ok(by.with_request(self.asked.request_id.0.as_str()))
    }
}

/// A form that changes something: who sent it and why, and what it holds.
pub(super) struct Order {
    pub(super) by: By,
    pub(super) fields: Fields,
}

impl<S: Send + Sync> FromRequest<S> for Order {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, state).await?;
        let fields = Fields::from_request(Request::from_parts(parts, body), state).await?;
        let by = visitor.by(&fields)?;
        Ok(Self { by, fields })
    }
}

/// Lets a request pass whose visitor has this scope; a refusal is audited.
pub(super) async fn needs(
    State((app, scope)): State<(App, Scope)>,
    visitor: Visitor,
    request: Request,
    next: Next,
) -> Response {
    if visitor.may(scope) {
        return next.run(request).await;
    }
    let refused = forbid(&app, &visitor.asked, &visitor.admitted, scope).await;
    Failure::from(refused).into_response()
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(path = %parts.uri.path(), "a page asks for a visitor where none is looked for");
            Problem::new(Kind::Internal, "nobody is logged in").into()
        })
    }
}

/// Lets through whoever is logged in; others go to the login. A form must carry the token.
pub(super) async fn require(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let token = cookie(request.headers(), cookie_name(&app)).map(ToOwned::to_owned);
    let note = Note::of(request.headers());
    let asked = Asked::of(&request);
    let admitted = match &token {
        None => None,
        Some(token) => match access::session(&app.pool, token, (app.clock)()).await {
            Ok(session) => session.and_then(Result::ok),
            Err(error) => return Failure::from(Problem::from(error)).into_response(),
        },
    };
    let (Some(admitted), Some(token)) = (admitted, token) else {
        return to_login(&request);
    };
    if let Err(problem) = app.pace.count(admitted.key_id, (app.clock)()) {
        return Failure::from(problem).into_response();
    }
    let visitor = Visitor {
        admitted,
        token,
        asked,
        here: here(&request).to_owned(),
        note,
    };
    if !is_safe(request.method()) {
        request = match with_token(&app, request, &visitor).await {
            Ok(request) => request,
            Err(failure) => return failure.into_response(),
        };
    }
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

/// The request, if it is a form of ours.
async fn with_token(app: &App, request: Request, visitor: &Visitor) -> Result<Request, Failure> {
    let is_ours = is_same_origin(request.headers());
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, app.config.max_body_bytes)
        .await
        .map_err(|_| Problem::new(Kind::BodyTooLarge, "the form is too large"))?;
    let given = Fields::of(&body);
    let is_known: bool = given
        .text("csrf")
        .as_bytes()
        .ct_eq(visitor.csrf().as_bytes())
        .into();
    if !is_known || !is_ours {
        return Err(Problem::new(
            Kind::Forbidden,
            "the form did not come from this page, or you have logged in anew since it was opened; \
             open the page again",
        )
        .into());
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// Browsers say where a request comes from; what another site made is refused.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else {
        return true;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == text(header::HOST.as_str())
}

fn to_login(request: &Request) -> Response {
    let is_page = request.method() == Method::GET && !request.headers().contains_key("hx-request");
    if !is_page {
        // A page that refreshes itself opens the login when it is loaded anew.
        let refresh = [("hx-refresh", "true")];
        return (StatusCode::UNAUTHORIZED, refresh, "not logged in").into_response();
    }
    let next = utf8_percent_encode(here(request), NON_ALPHANUMERIC);
    Redirect::to(&format!("/console/login?next={next}")).into_response()
}

fn here(request: &Request) -> &str {
    let address = request.uri().path_and_query();
    address.map_or("/console/", |address| address.as_str())
}
