//! One royalty run: how far it is, what it comes to, what it leaves, and deciding about it.

use askama::Template;
use axum::{extract::State, response::Response};
use jobs::{
    audit::{self, Entry},
    royalty::{
        self, Kind, Refused, Run, SetAsideTrack, Totals,
        document::Layout,
        sets::{self, SetState, StatementSet},
        statement::{self, Payee},
    },
};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::royalties::{period, tone};
use crate::{
    console::{
        changes::changes,
        failure::Failure,
        fields::{Fields, Query},
        flash::Note,
        frame::{Frame, back, render},
        markers::{grouped, time},
        visitor::{Order, Visitor},
    },
    http::{
        App, Kind as ProblemKind, Limit, Page as Listing, Path, Problem, find_royalty_run, place,
        statement_archive, statement_file,
    },
};

/// Tracks set aside on a page, the dearest first.
const SET_ASIDE: i64 = 100;
/// Sets of statements beside a run.
const SETS: i64 = 6;
/// The most rows of the audit beside a run.
const AUDITED: i64 = 50;

#[derive(Template)]
#[template(path = "royalty_run.html")]
struct Page {
    frame: Frame,
    run: Run,
    /// False: it was rehearsed, and leads nowhere.
    is_kept: bool,
    totals: Option<Totals>,
    kinds: Vec<(&'static str, Decimal)>,
    aside: Vec<SetAsideTrack>,
    aside_is_cut: bool,
    payees: Vec<Payee>,
    next: Option<String>,
    sets: Vec<StatementSet>,
    audited: Vec<Entry>,
    version: String,
}

/// The badge of a set of statements.
fn tone_of_set(state: &SetState) -> &'static str {
    match state {
        SetState::Running => "busy",
        SetState::Completed => "good",
        SetState::Failed => "bad",
    }
}

impl Page {
    fn new(visitor: &Visitor, run: Run, mut aside: Vec<SetAsideTrack>) -> Self {
        let shown = usize::try_from(SET_ASIDE).unwrap_or_default();
        let aside_is_cut = aside.len() > shown;
        aside.truncate(shown);
        let totals = run.totals.clone();
        let kinds = totals.iter().flat_map(|totals| {
            Kind::ALL
                .into_iter()
                .filter_map(|kind| Some((kind.label(), *totals.kinds.get(&kind)?)))
        });
        Self {
            frame: Frame::new(visitor, "royalties", format!("Royalties {}", run.name())),
            kinds: kinds.collect(),
            totals,
            aside,
            aside_is_cut,
            version: run.version(),
            is_kept: false,
            payees: Vec::new(),
            next: None,
            sets: Vec::new(),
            audited: Vec::new(),
            run,
        }
    }

    fn is_stuck(&self) -> bool {
        self.run.state == royalty::State::Running && self.run.fault.is_some()
    }

    fn is_pending(&self) -> bool {
        self.run.state == royalty::State::Pending
    }

    fn is_running(&self) -> bool {
        self.run.state == royalty::State::Running && self.run.fault.is_none()
    }

    /// Whether something of it goes on, so that the page is to be looked at again soon.
    fn is_busy(&self) -> bool {
        let writes = |set: &StatementSet| set.state == SetState::Running;
        self.is_running() || self.sets.iter().any(writes)
    }

    fn is_final(&self) -> bool {
        self.run.state.is_final()
    }

    fn is_unpaid(&self) -> bool {
        self.run.state == royalty::State::Final
    }

    fn leaves_tracks(&self) -> bool {
        self.totals
            .as_ref()
            .is_some_and(|totals| totals.set_aside > 0)
    }
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let after = place(fields.filled("cursor"), |text| text.parse().ok())?;
    let limit = Limit::of(None)?;
    let run = find_royalty_run(&app, id).await?;
    let mut conn = app.pool.acquire().await?;
    let aside = royalty::set_aside(&mut conn, id, None, SET_ASIDE + 1).await?;
    let payees = statement::listed(&mut conn, id, after, limit.and_one()).await?;
    let sets = sets::list(&mut conn, id, None, SETS).await?;
    drop(conn);
    let payees = Listing::of(payees, limit, |one| one.payee.to_string());
    let object = id.to_string();
    let page = Page {
        is_kept: true,
        payees: payees.items,
        next: payees.next,
        sets,
        audited: audit::list(&app.pool, Some(("royalty_run", &object)), AUDITED).await?,
        ..Page::new(&visitor, run, aside)
    };
    Ok(render(&page))
}

/// What the run of a month would come to. Nothing is kept.
pub(in crate::console) async fn rehearse(
    State(app): State<App>,
    visitor: Visitor,
    fields: Fields,
) -> Result<Response, Failure> {
    let period = period(&fields)?;
    let rehearsed = royalty::rehearse(&app.pool, period, &app.royalties, &app.clock).await;
    match rehearsed {
        Ok((run, aside)) => Ok(render(&Page::new(&visitor, run, aside))),
        Err(why) => Ok(back("/console/royalties", &refused(why)?)),
    }
}

pub(in crate::console) async fn operate(
    State(app): State<App>,
    Path((id, operation)): Path<(Uuid, String)>,
    order: Order,
) -> Result<Response, Failure> {
    match done(&app, id, &operation, &order).await {
        Ok((id, note)) => Ok(back(&format!("/console/royalties/{id}"), &note)),
        Err(Failed::Refused(why)) => Ok(back(&format!("/console/royalties/{id}"), &refused(why)?)),
        Err(Failed::Otherwise(failure)) => Err(failure),
    }
}

enum Failed {
    Refused(Refused),
    Otherwise(Failure),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Otherwise(problem.into())
    }
}

/// Does it; the answer is the run to be shown, and what came of it.
async fn done(
    app: &App,
    id: Uuid,
    operation: &str,
    Order { by, fields }: &Order,
) -> Result<(Uuid, Note), Failed> {
    let (pool, settings, now) = (&app.pool, &app.royalties, (app.clock)());
    let note = match operation {
        "recompute" => {
            let keeps = !fields.text("keep_input").is_empty();
            royalty::recompute(pool, id, keeps, settings, by, now).await?;
            Note::good("It is computed again.")
        }
        "void" => {
            let run = royalty::void(pool, id, by, now).await?;
            Note::good(format!("Royalty run {} is called off.", run.name()))
        }
        "finalise" => {
            let (seen, accepts) = (fields.text("version"), !fields.text("accept").is_empty());
            let run = royalty::finalise_if(pool, id, Some(seen), accepts, by, now).await?;
            Note::good(format!(
                "Royalty run {} is final and in the ledger.",
                run.name()
            ))
        }
        "pay" => {
            let reference = fields.filled("reference");
            let (_, payments) = royalty::pay(pool, id, None, reference, by, now).await?;
            Note::good(format!("Noted as paid: {} payees.", payments.len()))
        }
        "statements" => {
            let ordered = sets::order(pool, id, layout(fields.text("layout"))?, by, now).await?;
            match ordered.is_new {
                true => Note::good("A daemon writes the statements; the page shows how far it is."),
                false => Note::good("They are there already, or on their way."),
            }
        }
        "revise" => {
            let period = find_royalty_run(app, id).await?.period;
            let started = royalty::revise(pool, period, settings, by, now).await?;
            let note = match started.is_new {
                true => "The correction is started.",
                false => "There is an open correction already: this one.",
            };
            return Ok((started.run.id, Note::good(note)));
        }
        other => {
            let detail = format!("{other:?} cannot be done to a royalty run");
            return Err(Problem::new(ProblemKind::NotFound, detail).into());
        }
    };
    Ok((id, note))
}

/// A refusal is told on the page; what is no answer to the person is a failure.
pub(super) fn refused(why: Refused) -> Result<Note, Failure> {
    let problem = Problem::from(why);
    match problem.status().as_u16() {
        409 | 412 => Ok(Note::bad(format!(
            "Nothing was done: {}.",
            problem.detail()
        ))),
        _ => Err(problem.into()),
    }
}

/// A payee's statement as a file.
pub(in crate::console) async fn statement(
    State(app): State<App>,
    Path((id, payee, layout)): Path<(Uuid, i32, String)>,
) -> Result<Response, Failure> {
    Ok(statement_file(&app, self::layout(&layout)?, id, payee).await?)
}

fn layout(word: &str) -> Result<Layout, Problem> {
    Layout::from_word(word)
        .ok_or_else(|| Problem::missing(format!("there are no statements as {word:?}")))
}

/// The statements of all payees as a ZIP.
pub(in crate::console) async fn statement_set(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    Ok(statement_archive(&app, id).await?)
}
