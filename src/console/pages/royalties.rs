//! Royalties: the runs, starting one, and what payees have. One run is in `royalty_run`.

use askama::Template;
use axum::{extract::State, response::Response};
use jobs::royalty::{self, Balance, BalanceFilter, Period, Run, RunFilter};

use super::royalty_run::refused;
use crate::{
    console::{
        failure::Failure,
        fields::{Fields, Query},
        flash::Note,
        frame::{Frame, back, render},
        markers::{grouped, time},
        visitor::{Order, Visitor},
    },
    http::{App, Limit, Page as Listing, Problem, place, place_of_run, run_at},
};

#[derive(Template)]
#[template(path = "royalties.html")]
struct Page {
    frame: Frame,
    states: [royalty::State; 5],
    /// Empty: all.
    state: &'static str,
    runs: Vec<Run>,
    /// The month that ended last.
    last_month: Period,
    next: Option<String>,
}

/// The badge of a run.
pub(super) fn tone(state: &royalty::State) -> &'static str {
    match state {
        royalty::State::Running => "busy",
        royalty::State::Pending => "warn",
        royalty::State::Final | royalty::State::Paid => "good",
        royalty::State::Void => "calm",
    }
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let state = fields.filled("state").and_then(royalty::State::from_word);
    let limit = Limit::of(None)?;
    let filter = RunFilter {
        state,
        after: place(fields.filled("cursor"), run_at)?,
        limit: Some(limit.and_one()),
        ..RunFilter::default()
    };
    let runs = royalty::list(&mut *app.pool.acquire().await?, &filter).await?;
    let listing = Listing::of(runs, limit, place_of_run);
    Ok(render(&Page {
        frame: Frame::new(&visitor, "royalties", "Royalties"),
        states: royalty::State::ALL,
        state: state.map_or("", royalty::State::as_str),
        runs: listing.items,
        last_month: Period::due((app.clock)(), 0),
        next: listing.next,
    }))
}

pub(in crate::console) async fn start(
    State(app): State<App>,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let period = period(&fields)?;
    let started = royalty::start(&app.pool, period, &app.royalties, &by, (app.clock)()).await;
    let started = match started {
        Ok(started) => started,
        Err(why) => return Ok(back("/console/royalties", &refused(why)?)),
    };
    let note = match started.is_new {
        true => Note::good(format!("The run of {period} is started.")),
        false => Note::good(format!("{period} has a run already: this one.")),
    };
    Ok(back(
        &format!("/console/royalties/{}", started.run.id),
        &note,
    ))
}

/// The month of a form.
pub(super) fn period(fields: &Fields) -> Result<Period, Problem> {
    let text = fields.text("period");
    text.parse()
        .map_err(|_| Problem::invalid(format!("{text:?} is no month; write it as 2026-10")))
}

#[derive(Template)]
#[template(path = "balances.html")]
struct Balances {
    frame: Frame,
    balances: Vec<Balance>,
    payee: String,
    currency: String,
    next: Option<String>,
}

pub(in crate::console) async fn balances(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let limit = Limit::of(None)?;
    let payee = fields.filled("payee");
    let filter = BalanceFilter {
        // What is no id is nobody's.
        payee: payee.map(|text| text.parse().unwrap_or_default()),
        after: place(fields.filled("cursor"), |text| text.parse().ok())?,
        limit: Some(limit.and_one()),
    };
    let balances = royalty::balances(&mut *app.pool.acquire().await?, &filter).await?;
    let listing = Listing::of(balances, limit, |one| one.payee.to_string());
    Ok(render(&Balances {
        frame: Frame::new(&visitor, "royalties", "Balances"),
        payee: payee.unwrap_or_default().to_owned(),
        balances: listing.items,
        currency: app.royalties.currency.into(),
        next: listing.next,
    }))
}
