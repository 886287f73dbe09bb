//! `deliveries acknowledge`: what the partner said by mail, telephone or in its portal.

use std::io::Write;

use jobs::delivery::{self, Heard, State, Word};
use sqlx::PgPool;
use uuid::Uuid;

use crate::cli::{
    Failure,
    by::{Reason, now},
    table::json,
};

/// Record what the partner said of a delivery by mail, telephone or in its portal.
///
/// The reason, such as where the partner's word stands, is kept with the delivery and in the audit;
/// of a rejection it is what the label reads.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The delivery's id.
    id: Uuid,
    #[command(flatten)]
    answer: Answer,
    /// The partner's own id of the release, with --accepted.
    #[arg(long, value_name = "ID", requires = "accepted")]
    partner_id: Option<String>,
    /// Where the release can be seen, with --accepted.
    #[arg(long, requires = "accepted")]
    url: Option<String>,
    #[command(flatten)]
    reason: Reason,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What the partner said.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Answer {
    /// It has taken it.
    #[arg(long)]
    accepted: bool,
    /// It refuses it, for the reason given.
    #[arg(long)]
    rejected: bool,
    /// It never got it: it is sent again, or called off where that was asked for. Only where the
    /// outcome is unknown.
    #[arg(long)]
    absent: bool,
}

pub(super) async fn run(
    out: &mut impl Write,
    pool: &PgPool,
    arguments: Arguments,
) -> anyhow::Result<()> {
    let Arguments {
        id,
        answer,
        partner_id,
        url,
        reason,
        json: as_json,
    } = arguments;
    let by = reason.by()?;
    let word = match answer {
        Answer { accepted: true, .. } => Word::accepted_says(&by, partner_id, url),
        Answer { rejected: true, .. } => Word::Rejected(by.reason().to_owned()),
        Answer { .. } => Word::Absent,
    };
    let heard = delivery::acknowledge_by_operator(pool, id, word, &by, now()).await?;
    print(out, id, heard, as_json)
}

fn print(out: &mut impl Write, id: Uuid, heard: Heard, as_json: bool) -> anyhow::Result<()> {
    let (word, state) = match heard {
        Heard::Changed(state) => ("changed", Some(state)),
        Heard::Repeated => ("repeated", None),
        Heard::Outdated => ("outdated", None),
        Heard::OutOfPlace(state) => {
            return Err(Failure::usage(anyhow::anyhow!(
                "delivery {id} is {state}: that answer means nothing there; it is kept as evidence"
            ))
            .into());
        }
        Heard::NoSuchDelivery => {
            return Err(Failure::missing(format!("there is no delivery {id}")).into());
        }
    };
    if as_json {
        let state = state.map(State::as_str);
        return json(
            out,
            &serde_json::json!({"delivery": id, "heard": word, "state": state}),
        );
    }
    match state {
        Some(state) => writeln!(out, "delivery {id} is {state}")?,
        None => writeln!(out, "delivery {id}: nothing new ({word})")?,
    }
    Ok(())
}
