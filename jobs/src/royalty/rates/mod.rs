//! Exchange rates: importing what a source published, and the rate of a day. An amount is converted
//! at the rate of its day of use, or of the nearest earlier day with one.

mod import;
mod layout;

use std::collections::{BTreeMap, HashMap};

use chrono::{Days, NaiveDate};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgConnection;

use super::{
    Settings,
    money::{self, Currency},
};

pub use import::{Imported, RatesError, import};
pub use layout::Unreadable;

/// What one unit of a currency was worth in the accounting currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// The currency of the amount.
    pub from: Currency,
    /// The accounting currency.
    pub to: Currency,
    /// Accounting currency per unit of `from`: as published, or the quotient of published rates to
    /// 28 digits.
    pub rate: Decimal,
    /// The day of publication: that of use, or the nearest earlier one.
    pub date: NaiveDate,
    /// How it came about: `ECB`, or `ECB: EUR/USD over EUR/GBP`; empty where nothing is converted.
    pub source: String,
}

impl Rate {
    /// The amount in the accounting currency, rounded by [`money::round`]. `None`: it has more digits than
    /// a `Decimal` holds.
    #[must_use]
    pub fn convert(&self, amount: Decimal) -> Option<Decimal> {
        amount.checked_mul(self.rate).map(money::round)
    }

    /// The rate as a column `numeric(10,6)` holds it; `None` where that does not fit or would be
    /// zero.
    #[must_use]
    pub fn column(&self) -> Option<Decimal> {
        let rounded = self.rate.round_dp(6);
        (!rounded.is_zero() && rounded < Decimal::from(10_000)).then_some(rounded)
    }
}

/// There is no rate for a currency on a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no exchange rate from {from} to {to} on {date} or in the {days} days before; import \
     one: `tunemantra-worker rates import FILE`"
)]
pub struct NoRate {
    from: Currency,
    to: Currency,
    date: NaiveDate,
    days: u32,
}

/// The rates of a span of days, in memory: some forty currencies, so a few kilobytes a day.
#[derive(Clone, Debug)]
pub struct Rates {
    accounting: Currency,
    max_age_days: u32,
    days: HashMap<Currency, BTreeMap<NaiveDate, Rate>>,
}

impl Rates {
    /// Reads what is needed to convert amounts of the days `from` to `to`, both included.
    ///
    /// # Errors
    /// The database's.
    pub async fn load(
        conn: &mut PgConnection,
        settings: &Settings,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Self, sqlx::Error> {
        let earliest = days_before(from, settings.rate_max_age_days);
        let rows = sqlx::query!(
            r#"select base, quote, date, rate, source from worker.exchange_rates
               where date between $1 and $2"#,
            earliest,
            to,
        )
        .fetch_all(conn)
        .await?;
        let quotes = rows.into_iter().filter_map(|row| {
            Some(Quote {
                base: row.base.parse().ok()?,
                quote: row.quote.parse().ok()?,
                date: row.date,
                rate: row.rate,
                source: row.source,
            })
        });
        Ok(Self::of(settings, quotes))
    }

    fn of(settings: &Settings, quotes: impl IntoIterator<Item = Quote>) -> Self {
        let mut published: BTreeMap<NaiveDate, Day> = BTreeMap::new();
        for quote in quotes {
            let day = published.entry(quote.date).or_default();
            day.insert((quote.base, quote.quote), (quote.rate, quote.source));
        }
        let mut days: HashMap<Currency, BTreeMap<NaiveDate, Rate>> = HashMap::new();
        for (date, day) in &published {
            for from in day.keys().flat_map(|(base, quote)| [*base, *quote]) {
                let to = settings.currency;
                if let Some((rate, source)) = between(day, from, to) {
                    days.entry(from).or_default().insert(
                        *date,
                        Rate {
                            from,
                            to,
                            rate,
                            date: *date,
                            source,
                        },
                    );
                }
            }
        }
        Self {
            accounting: settings.currency,
            max_age_days: settings.rate_max_age_days,
            days,
        }
    }

    /// The rate of a day for amounts in `currency`: that of the day or, where none was published,
    /// of the nearest earlier one. The accounting currency itself has rate 1.
    ///
    /// # Errors
    /// [`NoRate`] when none is young enough.
    pub fn at(&self, currency: Currency, date: NaiveDate) -> Result<Rate, NoRate> {
        if currency == self.accounting {
            return Ok(Rate {
                from: currency,
                to: currency,
                rate: Decimal::ONE,
                date,
                source: String::new(),
            });
        }
        let earliest = days_before(date, self.max_age_days);
        self.days
            .get(&currency)
            .and_then(|days| days.range(earliest..=date).next_back())
            .map(|(_, rate)| rate.clone())
            .ok_or(NoRate {
                from: currency,
                to: self.accounting,
                date,
                days: self.max_age_days,
            })
    }
}

fn days_before(date: NaiveDate, days: u32) -> NaiveDate {
    date.checked_sub_days(Days::new(days.into()))
        .unwrap_or(NaiveDate::MIN)
}

/// A row of `worker.exchange_rates`: one unit of `base` is `rate` of `quote`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of worker.exchange_rates")]
pub struct Quote {
    pub base: Currency,
    pub quote: Currency,
    pub date: NaiveDate,
    pub rate: Decimal,
    pub source: String,
}

/// What was published on one day.
type Day = BTreeMap<(Currency, Currency), (Decimal, String)>;

/// The rate between two currencies by what one day published: as it stands there, or its inverse,
/// or over a third currency in which both are quoted.
fn between(day: &Day, from: Currency, to: Currency) -> Option<(Decimal, String)> {
    if let Some((rate, source)) = day.get(&(from, to)) {
        return Some((*rate, source.clone()));
    }
    if let Some((rate, source)) = day.get(&(to, from)) {
        let inverse = Decimal::ONE.checked_div(*rate)?;
        return Some((inverse, format!("{source}: 1 over {to}/{from}")));
    }
    day.keys().find_map(|(base, quote)| {
        if *quote != to {
            return None;
        }
        let (ours, source) = day.get(&(*base, to))?;
        let (theirs, _) = day.get(&(*base, from))?;
        let rate = ours.checked_div(*theirs)?;
        Some((rate, format!("{source}: {base}/{to} over {base}/{from}")))
    })
}

/// Which rates to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListFilter {
    /// Only those of this currency, on either side.
    pub currency: Option<Currency>,
    /// Only from this day on.
    pub from: Option<NaiveDate>,
    /// Only until this day.
    pub to: Option<NaiveDate>,
    /// At most so many.
    pub limit: i64,
}

/// Rates as they were published, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(conn: &mut PgConnection, filter: &ListFilter) -> Result<Vec<Quote>, sqlx::Error> {
    let currency = filter.currency.map(String::from);
    let rows = sqlx::query!(
        r#"select base, quote, date, rate, source from worker.exchange_rates
           where ($1::text is null or $1 in (base, quote))
             and ($2::date is null or date >= $2) and ($3::date is null or date <= $3)
           order by date desc, base, quote limit $4"#,
        currency,
        filter.from,
        filter.to,
        filter.limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Quote {
                base: parsed(&row.base)?,
                quote: parsed(&row.quote)?,
                date: row.date,
                rate: row.rate,
                source: row.source,
            })
        })
        .collect()
}

fn parsed(text: &str) -> Result<Currency, sqlx::Error> {
    text.parse()
        .map_err(|error: money::InvalidCurrency| sqlx::Error::Decode(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(base: &str, quote: &str, date: &str, rate: &str) -> Quote {
        Quote {
            base: base.parse().unwrap(),
            quote: quote.parse().unwrap(),
            date: date.parse().unwrap(),
            rate: rate.parse().unwrap(),
            source: "ECB".to_owned(),
        }
    }

    fn rates() -> Rates {
        Rates::of(
            &Settings::default(),
            [
                quote("EUR", "USD", "2026-10-02", "1.25"),
                quote("EUR", "GBP", "2026-10-02", "0.8"),
                quote("EUR", "IDR", "2026-10-02", "20000"),
                quote("EUR", "USD", "2026-10-05", "1.5"),
                quote("USD", "CLF", "2026-10-05", "0.025"),
            ],
        )
    }

    fn rate(currency: &str, date: &str) -> Result<Rate, NoRate> {
        rates().at(currency.parse().unwrap(), date.parse().unwrap())
    }

    #[test]
    fn a_rate_is_direct_inverse_or_over_a_third_currency() {
        let number = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(rate("EUR", "2026-10-02").unwrap().rate, number("1.25"));
        assert_eq!(rate("GBP", "2026-10-02").unwrap().rate, number("1.5625"));
        assert_eq!(rate("CLF", "2026-10-05").unwrap().rate, number("40"));
        assert_eq!(rate("USD", "1999-01-01").unwrap().rate, Decimal::ONE);
        let sources =
            ["EUR", "GBP", "CLF"].map(|currency| rate(currency, "2026-10-06").unwrap().source);
        assert_eq!(
            sources,
            ["ECB", "ECB: EUR/USD over EUR/GBP", "ECB: 1 over USD/CLF"]
        );
    }

    #[test]
    fn a_weekend_has_the_rate_of_friday_and_an_old_rate_is_none() {
        for date in ["2026-10-02", "2026-10-03", "2026-10-04"] {
            let friday: NaiveDate = "2026-10-02".parse().unwrap();
            assert_eq!(rate("EUR", date).unwrap().date, friday);
        }
        assert_eq!(rate("EUR", "2026-10-05").unwrap().rate, Decimal::new(15, 1));
        assert!(rate("GBP", "2026-10-09").is_ok());
        let error = rate("GBP", "2026-10-10").unwrap_err().to_string();
        assert!(error.contains("from GBP to USD on 2026-10-10"), "{error}");
        assert!(rate("EUR", "2026-10-01").is_err(), "never a later one");
    }

    #[test]
    fn a_rate_that_the_column_cannot_hold_is_not_in_it() {
        let of = |rate: &str| Rate {
            rate: rate.parse().unwrap(),
            ..rates().at(Currency::USD, NaiveDate::MIN).unwrap()
        };
        assert_eq!(of("16312.5").column(), None);
        assert_eq!(of("9999.9999996").column(), None);
        assert_eq!(of("0.0000004").column(), None);
        assert_eq!(of("0.0000613").column(), Some(Decimal::new(61, 6)));
        assert_eq!(
            of("16312.5").convert(Decimal::new(20001, 4)),
            Some(Decimal::new(326_266_312, 4))
        );
    }
}
