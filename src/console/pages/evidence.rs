//! A document kept as evidence: to be read here, or downloaded to the byte.

use askama::Template;
use axum::{extract::State, response::Response};
use jobs::delivery;
use uuid::Uuid;

use crate::{
    console::{
        failure::Failure,
        frame::{Frame, render},
        highlight::{Piece, pieces},
        markers::bytes,
        visitor::Visitor,
    },
    http::{App, Path, Problem, download},
};

/// More of a document is not shown; the download has it all.
const SHOWN: usize = 300_000;

#[derive(Template)]
#[template(path = "evidence.html")]
struct Page<'a> {
    frame: Frame,
    delivery: Uuid,
    document: Uuid,
    name: &'a str,
    media_type: &'a str,
    size: i64,
    is_cut: bool,
    pieces: Vec<Piece<'a>>,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path((delivery, document)): Path<(Uuid, Uuid)>,
) -> Result<Response, Failure> {
    let kept = kept(&app, delivery, document).await?;
    let shown = kept.body.get(..SHOWN).unwrap_or(&kept.body);
    let text = String::from_utf8_lossy(shown);
    let page = Page {
        frame: Frame::new(&visitor, "deliveries", kept.name.clone()),
        delivery,
        document,
        name: &kept.name,
        media_type: &kept.media_type,
        size: i64::try_from(kept.body.len()).unwrap_or(i64::MAX),
        is_cut: kept.body.len() > SHOWN,
        pieces: pieces(&kept.media_type, &text),
    };
    Ok(render(&page))
}

pub(in crate::console) async fn file(
    State(app): State<App>,
    Path((delivery, document)): Path<(Uuid, Uuid)>,
) -> Result<Response, Failure> {
    let kept = kept(&app, delivery, document).await?;
    Ok(download(&kept.name, &kept.media_type, kept.body))
}

async fn kept(app: &App, delivery: Uuid, document: Uuid) -> Result<delivery::Kept, Failure> {
    let kept = delivery::evidence_by_id(&app.pool, delivery, document).await?;
    kept.ok_or_else(|| {
        Problem::missing("there is no such document; it may have been removed by age").into()
    })
}
