//! Amounts into the accounting currency, at the rate of the day of use.

use std::collections::HashMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::layout::Line;
use crate::royalty::{
    self,
    money::{self, Currency},
    rates::{Rate, Rates},
};

/// `analytics.revenue` is `numeric(12,4)`: it holds what is below.
const REVENUE_LIMIT: Decimal = Decimal::from_parts(100_000_000, 0, 0, false, 0);

/// Rates of the days that were met so far.
pub(super) struct Converter<'a> {
    settings: &'a royalty::Settings,
    rates: Option<(NaiveDate, NaiveDate, Rates)>,
    known: HashMap<(Currency, NaiveDate), Result<Rate, String>>,
}

/// Why an amount was not converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAmount {
    /// There is no rate.
    Rate(String),
    /// The column does not hold it.
    OutOfRange(String),
}

impl<'a> Converter<'a> {
    pub(super) fn new(settings: &'a royalty::Settings) -> Self {
        Self {
            settings,
            rates: None,
            known: HashMap::new(),
        }
    }

    /// Reads the rates that the lines need.
    pub(super) async fn learn(
        &mut self,
        conn: &mut PgConnection,
        lines: &[Line],
    ) -> Result<(), sqlx::Error> {
        let foreign = || {
            lines.iter().filter(|line| {
                line.currency
                    .is_some_and(|currency| currency != self.settings.currency)
            })
        };
        let (Some(first), Some(last)) = (
            foreign().map(|line| line.date).min(),
            foreign().map(|line| line.date).max(),
        ) else {
            return Ok(());
        };
        if let Some((from, to, _)) = &self.rates
            && (*from..=*to).contains(&first)
            && (*from..=*to).contains(&last)
        {
            return Ok(());
        }
        let rates = Rates::load(conn, self.settings, first, last).await?;
        self.rates = Some((first, last, rates));
        self.known.clear();
        Ok(())
    }

    /// The amount of a line in the accounting currency, and the rate where one was applied.
    pub(super) fn convert(&mut self, line: &Line) -> Result<(Decimal, Option<&Rate>), NoAmount> {
        let amount = line.amount.unwrap_or_default();
        let out_of_range = || {
            NoAmount::OutOfRange(format!(
                "{amount} is more than analytics.revenue can hold (below 100,000,000)"
            ))
        };
        let fits = |revenue: Decimal| {
            if revenue.abs() < REVENUE_LIMIT {
                Ok(revenue)
            } else {
                Err(out_of_range())
            }
        };
        let currency = match line.currency {
            Some(currency) if currency != self.settings.currency => currency,
            _ => return Ok((fits(money::round(amount))?, None)),
        };
        let rates = &self.rates;
        let rate = self.known.entry((currency, line.date)).or_insert_with(|| {
            let (_, _, rates) = rates
                .as_ref()
                .ok_or_else(|| "rates were not read".to_owned())?;
            rates
                .at(currency, line.date)
                .map_err(|error| error.to_string())
        });
        match rate {
            Err(problem) => Err(NoAmount::Rate(problem.clone())),
            Ok(rate) => {
                let revenue = rate.convert(amount).ok_or_else(out_of_range)?;
                Ok((fits(revenue)?, Some(rate)))
            }
        }
    }
}
