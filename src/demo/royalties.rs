//! A month's royalties in the demo: usage of the catalogue, shares, a run that the daemon computes,
//! the ledger, and a statement.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use jobs::{
    audit::By,
    royalty::{
        self, Period, Run, Settings, State,
        document::write_csv,
        statement::{self, Statement},
    },
};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::PgPool;

/// The longest that the daemon may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the demo shows of royalties.
pub(crate) struct Royalties {
    run: Run,
    usage: Decimal,
    ledger: Decimal,
    statements: Vec<Statement>,
}

/// Makes usage of last month, if there is none, has the daemon settle it and makes that final.
pub(crate) async fn settle(pool: &PgPool) -> anyhow::Result<Royalties> {
    let now = jobs::clock::system()();
    let period = Period::of(now.date_naive()).earlier(1);
    make_usage(pool, period)
        .await
        .context("the demo's usage cannot be made")?;
    let by = By::new("demo", "the demo settles a month")?;
    let settings = Settings {
        distribution_fee_percent: Decimal::TEN,
        label_cut_percent: Decimal::from(15),
        minimum_payout: Decimal::ONE,
        ..Settings::default()
    };
    let run = royalty::start(pool, period, &settings, &by, now).await?.run;
    let run = until_computed(pool, run).await?;
    let run = royalty::finalise(pool, run.id, false, &by, jobs::clock::system()()).await?;
    let mut conn = pool.acquire().await?;
    let mut statements = Vec::new();
    for payee in statement::payees(&mut conn, run.id).await? {
        statements.push(statement::statement(&mut conn, &run, payee).await?);
    }
    let (usage, ledger) = sqlx::query_as(
        "select (select coalesce(sum(revenue), 0) from public.analytics where date >= $1 and date < $2),
             (select coalesce(sum(amount), 0) from worker.ledger_entries where track_id is not null)",
    )
    .bind(period.first_day())
    .bind(period.next().first_day())
    .fetch_one(&mut *conn)
    .await?;
    Ok(Royalties {
        run,
        usage,
        ledger,
        statements,
    })
}

/// A long tail of tracks in four territories on every day of the month, and shares for every third
/// track. The same numbers every time: they come from ids and days.
async fn make_usage(pool: &PgPool, period: Period) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    let is_there: bool = sqlx::query_scalar("select exists (select from public.analytics)")
        .fetch_one(&mut *tx)
        .await?;
    if is_there {
        return Ok(());
    }
    sqlx::query(
        "insert into public.revenue_shares (track_id, user_id, percentage, role, name, status)
         select t.id, u.id, 33.33, 'featured', u.full_name, case when t.id % 2 = 0 then 'accepted' else 'active' end
         from public.tracks t
         cross join lateral (select id, full_name from public.users
                             where id <> t.user_id order by (id + t.id) % 7, id limit 2) u
         where t.id % 3 = 0",
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into public.analytics (track_id, platform_id, date, territory, streams, revenue)
         select track_id, platform_id, day, territory, streams, round(streams * rate, 4)
         from (
             select t.id as track_id, p.id as platform_id, d.day::date as day, place.territory,
                 0.0029 + 0.0004 * (p.id % 4) as rate,
                 (20000 / (1 + (t.id * 7919) % 97) * place.part
                     * (80 + (t.id * 31 + p.id * 17 + extract(day from d.day)::integer * 13) % 40) / 10000)::integer as streams
             from public.tracks t
             cross join public.distribution_platforms p
             cross join generate_series($1::date, $2::date - 1, interval '1 day') as d (day)
             cross join (values ('DE', 40), ('US', 30), ('FR', 20), ('JP', 10)) as place (territory, part)
         ) made
         where streams > 0",
    )
    .bind(period.first_day())
    .bind(period.next().first_day())
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

async fn until_computed(pool: &PgPool, mut run: Run) -> anyhow::Result<Run> {
    let waiting = async {
        while run.state == State::Running && run.fault.is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let read = royalty::get(&mut *pool.acquire().await?, run.id).await?;
            run = read.context("the royalty run is gone")?;
        }
        anyhow::Ok(run)
    };
    let run = tokio::time::timeout(PATIENCE, waiting)
        .await
        .context("the daemon did not compute the royalty run")??;
    let name = run.name();
    ensure!(run.fault.is_none(), "royalty run {name}: {:?}", run.fault);
    Ok(run)
}

impl Royalties {
    /// Whether the ledger is the usage, to the last digit.
    pub(crate) fn is_well(&self) -> bool {
        self.usage == self.ledger && !self.usage.is_zero()
    }

    /// For programs.
    pub(crate) fn document(&self) -> Value {
        let payees: Vec<Value> = self
            .statements
            .iter()
            .map(|one| {
                let lines: Vec<Value> = one
                    .summary
                    .iter()
                    .map(|line| json!({"kind": line.kind, "amount": line.amount}))
                    .collect();
                json!({"payee": one.payee, "name": one.payee_name, "payable": one.payable, "entries": lines})
            })
            .collect();
        json!({
            "run": self.run.id,
            "period": self.run.period,
            "state": self.run.state,
            "currency": self.run.currency,
            "totals": self.run.totals,
            "input_digest": self.run.input_digest,
            "output_digest": self.run.output_digest,
            "usage": self.usage,
            "ledger": self.ledger,
            "payees": payees,
        })
    }

    /// For people: one line, and the statement of whoever gets most.
    pub(crate) fn summary(&self) -> String {
        let is = if self.is_well() { "is" } else { "IS NOT" };
        let currency = &self.run.currency;
        let mut text = format!(
            "Royalties of {}: {} payees; the ledger, {} {currency}, {is} the usage, {} {currency}.",
            self.run.period,
            self.statements.len(),
            self.ledger,
            self.usage
        );
        if let Some(most) = self.statements.iter().max_by_key(|one| one.payable) {
            text += &format!("\n  {} gets {} {currency}:", most.payee_name, most.payable);
            for line in &most.summary {
                text += &format!(" {} {},", line.kind.label(), line.amount);
            }
            text.pop();
        }
        text
    }

    /// Writes every payee's statement as CSV into a directory.
    pub(crate) fn keep(&self, directory: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(directory)?;
        for one in &self.statements {
            let name = format!("{}-{}.csv", one.period, one.payee);
            write_csv(std::fs::File::create(directory.join(name))?, [one])?;
        }
        Ok(())
    }
}
