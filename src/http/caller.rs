//! Who asks: the key that a request carries, what it may do, and what becomes of requests that carry
//! none or the wrong one.

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jobs::{
    access::{self, Admitted, Scope},
    audit::{self, By, Change},
};
use serde_json::json;

use super::{
    App,
    layers::{Peer, RequestId},
    problem::{Kind, Problem},
    refusals::Answer,
};

/// Whoever made the request, with a key that may.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) admitted: Admitted,
    pub(crate) request_id: RequestId,
}

impl Caller {
    /// The caller, with a reason, as the audit keeps them.
    pub(crate) fn by(&self, reason: &str) -> Result<By, Problem> {
        let by = By::new(self.admitted.actor(), reason).map_err(|unexplained| {
            Problem::invalid(format!("{unexplained}: say why in \"reason\""))
        })?;
        Ok(by.with_request(self.request_id.0.as_str()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(path = %parts.uri.path(), "a handler asks for a caller where none is looked for");
            Problem::new(Kind::Internal, "the request was not authenticated")
        })
    }
}

/// Lets a request pass whose key has this scope.
pub(super) async fn require(
    State((app, scope)): State<(App, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let key = bearer(request.headers()).map(ToOwned::to_owned);
    match admit(&app, scope, asked, key.as_deref()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(
    app: &App,
    scope: Scope,
    asked: Asked,
    key: Option<&str>,
) -> Result<Caller, Problem> {
    let Some(key) = key else {
        return Err(refuse(app, &asked, None, "no key was given").await);
    };
    let admitted = match access::admit(&app.pool, key, (app.clock)()).await? {
        Ok(admitted) => admitted,
        Err(refusal) => {
            return Err(refuse(app, &asked, refusal.actor(), &refusal.to_string()).await);
        }
    };
    app.pace.count(admitted.key_id, (app.clock)())?;
    if !admitted.scopes.contains(scope) {
        return Err(forbid(app, &asked, &admitted, scope).await);
    }
    Ok(Caller {
        admitted,
        request_id: asked.request_id,
    })
}

/// A request as the audit names it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    method: Method,
    /// With the names of its parameters, not their values.
    path: String,
    peer: Peer,
    pub(crate) request_id: RequestId,
}

impl Asked {
    pub(crate) fn of<B>(request: &axum::http::Request<B>) -> Self {
        let extensions = request.extensions();
        Self {
            method: request.method().clone(),
            path: extensions
                .get::<MatchedPath>()
                .map_or(request.uri().path(), MatchedPath::as_str)
                .to_owned(),
            peer: extensions.get().copied().unwrap_or_default(),
            request_id: extensions.get().cloned().unwrap_or_default(),
        }
    }
}

/// Answers a request without a valid key, after a while. What was wrong with the key is for the
/// audit alone.
pub(crate) async fn refuse(app: &App, asked: &Asked, actor: Option<String>, why: &str) -> Problem {
    app.metrics.refused();
    match app.refusals.note(asked.peer.ip(), (app.clock)()) {
        Answer::NotNow(seconds) => {
            Problem::new(Kind::SlowDown, "wait before you try another key").after(seconds)
        }
        Answer::Later(delay, _permit) => {
            let actor = actor.unwrap_or_else(|| format!("address:{}", asked.peer.ip()));
            if let Err(problem) = note(app, asked, &actor, why).await {
                return problem;
            }
            tokio::time::sleep(delay).await;
            Problem::new(
                Kind::Unauthorized,
                "send a key as \"Authorization: Bearer tmw_...\"; `tunemantra-worker keys create` makes one",
            )
        }
    }
}

/// Answers a request whose key may not do this.
pub(crate) async fn forbid(app: &App, asked: &Asked, admitted: &Admitted, scope: Scope) -> Problem {
    app.metrics.refused();
    let why = format!("the key has no scope {scope}");
    match note(app, asked, &admitted.actor(), &why).await {
        Ok(()) => Problem::new(
            Kind::Forbidden,
            format!("this needs scope {scope}; the key has {}", admitted.scopes),
        ),
        Err(problem) => problem,
    }
}

/// Access that was refused is audited as changes are.
async fn note(app: &App, asked: &Asked, actor: &str, why: &str) -> Result<(), Problem> {
    let by = By::new(actor, why)
        .map_err(|unexplained| Problem::new(Kind::Internal, unexplained.to_string()))?
        .with_request(asked.request_id.0.as_str());
    let change = Change {
        action: "access.refused",
        object_kind: "endpoint",
        object_id: format!("{} {}", asked.method, asked.path),
        before: None,
        after: Some(json!({"address": asked.peer.ip()})),
    };
    let mut conn = app.pool.acquire().await?;
    audit::record(&mut conn, &by, &change, (app.clock)()).await?;
    Ok(())
}

/// The key of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}
