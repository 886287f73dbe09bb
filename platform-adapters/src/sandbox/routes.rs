//! What the sandbox's HTTP partner answers.

use std::{collections::BTreeMap, io, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequest, Multipart, Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use futures_util::StreamExt;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::{
    answers::{Problem, wrong_answer},
    connection::Cutter,
    http::Partner,
    ledger::{ReceivedHandover, Verdict, is_file_name, release_id},
    misbehave::Misbehaviour,
    reception::{self, Reception, Refusal},
};
use crate::api::CHECK_KEY;

type Shared = State<Arc<Partner>>;

/// `GET /`: for a check of the connection.
pub(super) async fn welcome(
    State(partner): Shared,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    headers: HeaderMap,
) -> Response {
    if let Some(answer) = as_a_delivery_would_see(&partner, &cutter).await {
        return answer;
    }
    if let Err(refusal) = authorise(&partner, &headers) {
        return refusal.into_response();
    }
    Json(json!({"partner": partner.name})).into_response()
}

/// A check of the connection sees what the next delivery would see, as far as a question can. The
/// misbehaviour remains to be done.
async fn as_a_delivery_would_see(partner: &Partner, cutter: &Cutter) -> Option<Response> {
    let misbehaviour = partner.course().peek()?;
    match misbehaviour {
        Misbehaviour::CutAfter { .. } | Misbehaviour::CutBeforeAnswer => cutter.cut(),
        Misbehaviour::Slow { by } => {
            tokio::time::sleep(by).await;
            return None;
        }
        // A matter of what is handed over.
        Misbehaviour::Refuse { .. } | Misbehaviour::RejectLater { .. } => return None,
        _ => {}
    }
    Some(wrong_answer(&misbehaviour))
}

/// `POST /releases`: a hand-over.
pub(super) async fn create(
    State(partner): Shared,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let admitted = admit(&partner, &headers);
    let (key, misbehaviour) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return after_all_of_it(request, refusal.into_response()).await,
    };
    let Some(_busy) = partner.begin(&key) else {
        let refusal = Problem::new(
            StatusCode::CONFLICT,
            "a request with this idempotency key is being worked on",
        )
        .with_retry_after(Some("1"));
        return after_all_of_it(request, refusal.into_response()).await;
    };
    let mut cut_after = None;
    match &misbehaviour {
        None | Some(Misbehaviour::CutBeforeAnswer | Misbehaviour::RejectLater { .. }) => {}
        Some(Misbehaviour::CutAfter { bytes }) => cut_after = Some(*bytes),
        Some(Misbehaviour::Slow { by }) => tokio::time::sleep(*by).await,
        Some(other) => return after_all_of_it(request, wrong_answer(other)).await,
    }
    let mut parts = match Multipart::from_request(request, &()).await {
        Ok(parts) => parts,
        Err(error) => {
            return Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.body_text())
                .into_response();
        }
    };
    let answer = take_in(&partner, &key, &mut parts, cut_after, misbehaviour.as_ref()).await;
    match answer {
        Ok(_) if misbehaviour == Some(Misbehaviour::CutBeforeAnswer) => {
            cutter.cut();
            StatusCode::CREATED.into_response()
        }
        Ok(answer) => answer,
        Err(Refusal::Cut) => {
            cutter.cut();
            Problem::from(Refusal::Cut).into_response()
        }
        Err(refusal) => {
            // A sender that is still sending would not see the answer.
            while let Ok(Some(_)) = parts.next_field().await {}
            let name = &partner.name;
            tracing::warn!(
                partner = name,
                key,
                ?refusal,
                "the sandbox refused a hand-over"
            );
            Problem::from(refusal).into_response()
        }
    }
}

/// Looks at everything but the body.
fn admit(
    partner: &Partner,
    headers: &HeaderMap,
) -> Result<(String, Option<Misbehaviour>), Problem> {
    authorise(partner, headers)?;
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .filter(|key| is_file_name(key))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "there is no usable Idempotency-Key",
            )
        })?;
    let misbehaviour = partner
        .course()
        .next(key)
        .map_err(|error| Problem::failed(&error))?;
    if let Some(misbehaviour) = &misbehaviour {
        tracing::info!(
            partner = partner.name,
            key,
            ?misbehaviour,
            "the sandbox misbehaves"
        );
    }
    Ok((key.to_owned(), misbehaviour))
}

fn authorise(partner: &Partner, headers: &HeaderMap) -> Result<(), Problem> {
    let given = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let token = given(header::AUTHORIZATION)
        .and_then(|value| value.strip_prefix("Bearer "))
        .or_else(|| given(header::HeaderName::from_static("x-api-key")));
    if token == Some(partner.token.expose_secret()) {
        Ok(())
    } else {
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "the token is not the right one",
        ))
    }
}

/// Takes a hand-over in and keeps it, unless it is there already.
async fn take_in(
    partner: &Partner,
    key: &str,
    parts: &mut Multipart,
    cut_after: Option<u64>,
    misbehaviour: Option<&Misbehaviour>,
) -> Result<Response, Refusal> {
    let folder = reception::fresh_folder(&partner.root.join("incoming"))?;
    let outcome = match reception::receive(parts, key, folder.clone(), cut_after).await {
        Ok(reception) => settle(partner, key, reception, &folder, misbehaviour),
        Err(refusal) => Err(refusal),
    };
    // What was kept has been renamed; the rest is of no use.
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    outcome
}

fn settle(
    partner: &Partner,
    key: &str,
    reception: Reception,
    folder: &std::path::Path,
    misbehaviour: Option<&Misbehaviour>,
) -> Result<Response, Refusal> {
    let mut shelf = partner.shelf();
    if let Some(known) = shelf.by_key(key) {
        if known.fingerprint != reception.fingerprint {
            return Err(Refusal::Wrong(vec![
                "this idempotency key was used for something else".into(),
            ]));
        }
        let mut known = known.clone();
        known.completed += 1;
        let answer = taken(partner, &known);
        shelf.keep(known)?;
        return Ok(answer);
    }
    let announced = reception.announced;
    let id = match (announced.kind.as_str(), shelf.on_sale(&announced.upc)) {
        ("insert", None) => release_id(key),
        ("update", Some(id)) => id.to_owned(),
        ("insert", Some(id)) => {
            return Err(Refusal::Conflict(format!(
                "UPC {} is on sale already, as {id}",
                announced.upc
            )));
        }
        (kind, _) => {
            return Err(Refusal::Wrong(vec![format!(
                "{kind} of UPC {}, which is not on sale here",
                announced.upc
            )]));
        }
    };
    let place = std::path::Path::new("handovers").join(key);
    // A folder without its entry in the ledger was never answered for.
    let full = partner.root.join(&place);
    if full.exists() {
        std::fs::remove_dir_all(&full)?;
    }
    std::fs::rename(folder, full)?;
    let handover = ReceivedHandover {
        key: key.to_owned(),
        partner: partner.name.clone(),
        kind: announced.kind,
        upc: announced.upc,
        partner_release_id: id,
        received_at: Utc::now(),
        media_folder: place.clone(),
        folder: place,
        documents: vec!["metadata.json".into()],
        files: reception.files,
        verdict: match misbehaviour {
            Some(Misbehaviour::RejectLater { reason }) => Verdict::Rejected(reason.clone()),
            _ => Verdict::Accepted,
        },
        violations: Vec::new(),
        completed: 1,
        asked: 0,
        markers: BTreeMap::new(),
        fingerprint: reception.fingerprint,
    };
    let answer = taken(partner, &handover);
    shelf.keep(handover)?;
    Ok(answer)
}

fn page(partner: &Partner, id: &str) -> String {
    format!("{}/releases/{id}", partner.url)
}

fn taken(partner: &Partner, handover: &ReceivedHandover) -> Response {
    let id = &handover.partner_release_id;
    let body = json!({"id": id, "url": page(partner, id), "status": "received"});
    (StatusCode::CREATED, Json(body)).into_response()
}

/// A hand-over is looked up by its key.
#[derive(Deserialize)]
pub(super) struct ByKey {
    idempotency_key: String,
}

/// `GET /releases?idempotency_key=…`
pub(super) async fn look_up(
    State(partner): Shared,
    Query(by): Query<ByKey>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    headers: HeaderMap,
) -> Response {
    if by.idempotency_key == CHECK_KEY
        && let Some(answer) = as_a_delivery_would_see(&partner, &cutter).await
    {
        return answer;
    }
    if let Err(refusal) = authorise(&partner, &headers) {
        return refusal.into_response();
    }
    match partner.shelf().by_key(&by.idempotency_key) {
        Some(handover) => {
            let id = &handover.partner_release_id;
            Json(json!({"id": id, "url": page(&partner, id)})).into_response()
        }
        None => Problem::new(StatusCode::NOT_FOUND, "nothing came with this key").into_response(),
    }
}

/// `GET /releases/{id}`: received, then processing, then what was decided.
pub(super) async fn state(
    State(partner): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = authorise(&partner, &headers) {
        return refusal.into_response();
    }
    let mut shelf = partner.shelf();
    let Some(mut handover) = shelf.by_id(&id).cloned() else {
        return Problem::new(StatusCode::NOT_FOUND, "there is no such release").into_response();
    };
    let asked = handover.asked;
    let url = page(&partner, &id);
    let body = if handover.kind == "takedown" {
        json!({"id": id, "status": "taken_down"})
    } else if asked < partner.undecided_asks {
        handover.asked += 1;
        if let Err(error) = shelf.keep(handover) {
            return Problem::failed(&error).into_response();
        }
        let word = if asked == 0 { "received" } else { "processing" };
        json!({"id": id, "status": word})
    } else {
        match &handover.verdict {
            Verdict::Accepted => json!({"id": id, "url": url, "status": "accepted"}),
            Verdict::Rejected(reason) => {
                json!({"id": id, "status": "rejected", "reason": reason})
            }
        }
    };
    Json(body).into_response()
}

/// A release is taken down by its bar code.
#[derive(Deserialize)]
pub(super) struct ByUpc {
    upc: String,
}

/// `DELETE /releases?upc=…`
pub(super) async fn delete_by_upc(
    State(partner): Shared,
    Query(by): Query<ByUpc>,
    headers: HeaderMap,
) -> Response {
    take_down(&partner, &headers, &by.upc)
}

/// `DELETE /releases/{id}`
pub(super) async fn delete(
    State(partner): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let upc = partner
        .shelf()
        .by_id(&id)
        .map(|handover| handover.upc.clone());
    take_down(&partner, &headers, &upc.unwrap_or_default())
}

fn take_down(partner: &Partner, headers: &HeaderMap, upc: &str) -> Response {
    let (key, misbehaviour) = match admit(partner, headers) {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.into_response(),
    };
    if let Some(misbehaviour) = misbehaviour {
        return wrong_answer(&misbehaviour);
    }
    let mut shelf = partner.shelf();
    let handover = match (shelf.by_key(&key), shelf.on_sale(upc)) {
        (Some(known), _) if known.kind == "takedown" && known.upc == upc => ReceivedHandover {
            completed: known.completed + 1,
            ..known.clone()
        },
        (Some(_), _) => {
            return Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this idempotency key was used for something else",
            )
            .into_response();
        }
        (None, None) => {
            return Problem::new(StatusCode::NOT_FOUND, "there is no such release").into_response();
        }
        (None, Some(id)) => ReceivedHandover {
            key: key.clone(),
            partner: partner.name.clone(),
            kind: "takedown".into(),
            upc: upc.to_owned(),
            partner_release_id: id.to_owned(),
            received_at: Utc::now(),
            folder: std::path::PathBuf::new(),
            media_folder: std::path::PathBuf::new(),
            documents: Vec::new(),
            files: Vec::new(),
            verdict: Verdict::Accepted,
            violations: Vec::new(),
            completed: 1,
            asked: 0,
            markers: BTreeMap::new(),
            fingerprint: upc.to_owned(),
        },
    };
    match shelf.keep(handover) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => Problem::failed(&error).into_response(),
    }
}

/// Reads a body to its end before the answer: a sender that is still sending would not see it.
async fn after_all_of_it(request: Request, answer: Response) -> Response {
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(_)) = body.next().await {}
    answer
}
