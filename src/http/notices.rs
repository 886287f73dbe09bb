//! Where partners tell what became of a delivery: without a key, by the signature that the platform's
//! settings ask for (`format_specs.api.webhook`). The only path that is to be reached from outside.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest as _, Request, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use jobs::{
    catalog,
    delivery::{self, Heard, Noticed},
};
use platform_adapters::{
    api::webhook::{self, Untrusted},
    settings::Platform,
};
use serde_json::{Value, json};

use super::{
    App, Path,
    caller::{Asked, refuse},
    problem::{Kind, Problem},
};

/// Seconds after which a notice that came before its attempt has ended is to be sent again.
const TOO_EARLY_S: u64 = 5;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/partners/{platform}/notices", post(take))
}

/// Takes a notice. Whatever is not signed rightly gets the same answer, whether the platform is there
/// or not, as late as a wrong key does.
async fn take(
    State(app): State<App>,
    Path(id): Path<i32>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let asked = Asked::of(&request);
    let headers = request.headers().clone();
    let body = Bytes::from_request(request, &app)
        .await
        .map_err(|rejected| Problem::new(Kind::BodyTooLarge, rejected.body_text()))?;
    let platform = platform(&app, id).await?;
    let now = (app.clock)();
    let read = match &platform {
        Some(platform) => webhook::read(platform, &texts(&headers), &body, now),
        None => Err(Untrusted::Malformed(
            "no platform of that id takes notices".into(),
        )),
    };
    let notice = match read {
        Ok(notice) => notice,
        Err(untrusted) => {
            tracing::warn!(
                platform.id = id,
                "a partner's notice was not taken: {untrusted}"
            );
            let actor = Some(format!("partner:{id}"));
            let refused = refuse(&app, &asked, actor, &untrusted.to_string()).await;
            return Err(match refused.status() {
                StatusCode::UNAUTHORIZED => Problem::new(
                    Kind::Unsigned,
                    "the notice is not signed as agreed, is too old, or is for nobody here",
                ),
                _ => refused,
            });
        }
    };
    let name = notice.id.clone();
    let noticed = delivery::hear_notice(&app.pool, id, notice, now).await?;
    tracing::info!(
        platform.id = id,
        notice.id = name,
        "a partner's notice: {noticed:?}"
    );
    answer(&noticed)
}

/// The platform, if it is there and its settings can be read.
async fn platform(app: &App, id: i32) -> Result<Option<Platform>, Problem> {
    let mut conn = app.pool.acquire().await?;
    let Some(row) = catalog::platform_row(&mut conn, id).await? else {
        return Ok(None);
    };
    Ok(app.means.platform(&row).ok())
}

/// Headers that are text; a signature is.
fn texts(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let all = headers.iter();
    all.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect()
}

fn answer(noticed: &Noticed) -> Result<Json<Value>, Problem> {
    let (delivery, heard) = match noticed {
        Noticed::Heard(id, Heard::Changed(_)) => (Some(id), "changed"),
        Noticed::Heard(id, Heard::Repeated) => (Some(id), "known"),
        Noticed::Heard(id, Heard::Outdated) => (Some(id), "outdated"),
        Noticed::Heard(id, _) => (Some(id), "kept"),
        Noticed::Pending(id) => (Some(id), "noted"),
        Noticed::Repeated => (None, "repeated"),
        Noticed::Unknown => {
            return Err(Problem::missing(
                "no delivery to this platform waits for such a notice",
            ));
        }
        Noticed::TooEarly(_) => {
            return Err(Problem::new(
                Kind::Refused,
                "the delivery is still under way; send the notice again",
            )
            .after(TOO_EARLY_S));
        }
    };
    Ok(Json(json!({"delivery": delivery, "heard": heard})))
}
