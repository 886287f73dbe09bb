//! Balances, withdrawals, advances and costs, payees' terms.

use std::{io::Write as _, process::ExitCode};

use clap::{Subcommand, ValueEnum};
use jobs::royalty::{
    self, BalanceFilter,
    accounts::{self, AccountError, NewCharge, PayeeTerms},
    withdrawals,
};
use rust_decimal::Decimal;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table::{self, table, text},
    },
    config::Config,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what payees have, from the ledger.
    Balances {
        /// Only this one.
        #[arg(long, value_name = "USER")]
        payee: Option<i32>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show withdrawals that are open, or do not fit the ledger. Exit code 1: some do not.
    Withdrawals {
        /// Post completed ones to the ledger first, each once, as cron.royalties does.
        #[arg(long)]
        post: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Note an advance or a cost, which the next run that is computed recoups.
    Charge {
        /// From whom it is recouped.
        #[arg(long, value_name = "USER")]
        payee: i32,
        /// What it is.
        #[arg(long, value_enum)]
        kind: ChargeKind,
        /// How much, in the accounting currency.
        #[arg(long)]
        amount: Decimal,
        /// Only from this release's earnings.
        #[arg(long, value_name = "ID", conflicts_with = "track")]
        release: Option<i32>,
        /// Only from this track's earnings.
        #[arg(long, value_name = "ID")]
        track: Option<i32>,
        /// What for.
        #[arg(long, value_name = "TEXT")]
        description: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Show advances and costs, and how much of them is recouped.
    Charges {
        /// Only this payee's.
        #[arg(long, value_name = "USER")]
        payee: Option<i32>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set a payee's own terms, in place of those before; what is left out is as configured. They
    /// count from the next computation on.
    Terms {
        /// The payee.
        #[arg(long, value_name = "USER")]
        payee: i32,
        /// Percent of earnings kept back.
        #[arg(long, value_name = "PERCENT")]
        reserve: Option<Decimal>,
        /// Percent withheld for taxes.
        #[arg(long, value_name = "PERCENT")]
        withholding: Option<Decimal>,
        /// The least that is paid, in the accounting currency.
        #[arg(long, value_name = "AMOUNT")]
        minimum: Option<Decimal>,
        #[command(flatten)]
        reason: Reason,
    },
}

/// What is recouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ChargeKind {
    /// Money paid before it was earned.
    Advance,
    /// What was spent for the payee.
    Cost,
}

pub(super) async fn run(
    command: Command,
    pool: &PgPool,
    config: &Config,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Balances { payee, json } => balances(pool, payee, json).await,
        Command::Withdrawals { post, json } => withdrawals(pool, config, post, json).await,
        Command::Charge {
            payee,
            kind,
            amount,
            release,
            track,
            description,
            reason,
        } => {
            let charge = NewCharge {
                payee,
                is_cost: kind == ChargeKind::Cost,
                release,
                track,
                amount,
                description: &description,
            };
            let id = accounts::add_charge(pool, &charge, &reason.by()?, now())
                .await
                .map_err(refusal)?;
            writeln!(
                crate::cli::out(),
                "charge {id}: {amount} {} from user {payee}",
                config.royalties.currency
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Charges { payee, json } => charges(pool, payee, json).await,
        Command::Terms {
            payee,
            reserve,
            withholding,
            minimum,
            reason,
        } => {
            let terms = PayeeTerms {
                reserve_percent: reserve,
                withholding_percent: withholding,
                minimum_payout: minimum,
            };
            accounts::set_terms(pool, payee, &terms, &reason.by()?, now())
                .await
                .map_err(refusal)?;
            writeln!(crate::cli::out(), "the terms of user {payee} are set")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn refusal(error: AccountError) -> anyhow::Error {
    match error {
        AccountError::Database(error) => error.into(),
        AccountError::NoUser(_) | AccountError::NoScope(_) => {
            Failure::missing(error.to_string()).into()
        }
        AccountError::Amount | AccountError::Percent(_) => Failure::usage(error).into(),
    }
}

async fn balances(pool: &PgPool, payee: Option<i32>, json: bool) -> anyhow::Result<ExitCode> {
    let filter = BalanceFilter {
        payee,
        ..BalanceFilter::default()
    };
    let balances = royalty::balances(&mut *pool.acquire().await?, &filter).await?;
    let mut out = crate::cli::out();
    if json {
        table::json(&mut out, &balances)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = balances.iter().map(|one| {
        [
            one.payee.to_string(),
            text(one.name.as_ref()),
            one.payable.to_string(),
            one.carried.to_string(),
            one.held.to_string(),
            one.reserved.to_string(),
            one.unrecouped.to_string(),
            one.paid.to_string(),
            one.requested.to_string(),
        ]
    });
    let head = [
        "payee",
        "name",
        "payable",
        "carried",
        "held",
        "reserved",
        "unrecouped",
        "paid",
        "asked for",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(ExitCode::SUCCESS)
}

async fn withdrawals(
    pool: &PgPool,
    config: &Config,
    post: bool,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let mut tx = pool.begin().await?;
    let posted = match post {
        true => withdrawals::post(&mut tx, &config.royalties, now()).await?,
        false => 0,
    };
    let listed = withdrawals::list(&mut tx, &config.royalties).await?;
    tx.commit().await?;
    let mut out = crate::cli::out();
    if as_json {
        table::json(&mut out, &json!({"posted": posted, "withdrawals": listed}))?;
    } else {
        let rows = listed.iter().map(|one| {
            [
                one.id.to_string(),
                one.payee.to_string(),
                format!("{} {}", one.amount, one.currency),
                one.status.clone(),
                one.available.to_string(),
                text(one.problem.as_ref()),
            ]
        });
        let head = ["id", "payee", "amount", "status", "available", "problem"];
        writeln!(out, "{}", table(head, rows))?;
        if post {
            writeln!(out, "{posted} posted to the ledger")?;
        }
    }
    let is_well = listed.iter().all(|one| one.problem.is_none());
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EX_NO)
    })
}

async fn charges(pool: &PgPool, payee: Option<i32>, json: bool) -> anyhow::Result<ExitCode> {
    let charges = accounts::charges(&mut *pool.acquire().await?, payee).await?;
    let mut out = crate::cli::out();
    if json {
        table::json(&mut out, &charges)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = charges.iter().map(|one| {
        let scope = match (one.release_id, one.track_id) {
            (Some(release), _) => format!("release {release}"),
            (None, Some(track)) => format!("track {track}"),
            (None, None) => "everything".to_owned(),
        };
        [
            one.id.to_string(),
            one.payee_id.to_string(),
            one.kind.clone(),
            scope,
            one.amount.to_string(),
            one.recouped.to_string(),
            one.description.clone(),
        ]
    });
    let head = [
        "id", "payee", "kind", "from", "amount", "recouped", "what for",
    ];
    writeln!(out, "{}", table(head, rows))?;
    Ok(ExitCode::SUCCESS)
}
