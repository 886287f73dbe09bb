//! A label's catalogue, usage and shares, and what the ledger says of them.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    audit::By,
    clock::Clock,
    royalty::{self, Period, Run, Settings, Started, State},
};
use rust_decimal::Decimal;
use sqlx::PgPool;
use test_support::TestDatabase;
use uuid::Uuid;

/// A database with users 1 to 9, two releases of owner 1 with three tracks each, and two platforms.
pub(crate) struct House {
    pub(crate) database: TestDatabase,
    pub(crate) settings: Settings,
    now: Arc<AtomicI64>,
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn period(text: &str) -> Period {
    text.parse().unwrap()
}

pub(crate) fn number(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn by() -> By {
    By::new("cli:ada", "test").unwrap()
}

impl House {
    pub(crate) async fn build() -> Self {
        let database = TestDatabase::create().await;
        sqlx::raw_sql(
            "insert into users (username, email, password, full_name)
                 select 'user' || n, 'user' || n || '@label.example', '-', 'User ' || n from generate_series(1, 9) n;
             insert into releases (user_id, title, type, release_date, artist_names, upc)
                 select 1, 'Release ' || n, 'album', '2026-01-01', 'Ada Quell', '00000000000' || n from generate_series(1, 2) n;
             insert into tracks (release_id, user_id, title, artist, isrc)
                 select (n + 2) / 3, 1, 'Track ' || n, 'Ada Quell', 'DEA012600000' || n from generate_series(1, 6) n;
             insert into distribution_platforms (name, delivery_method, royalty_rate) values
                 ('Fjordwave', 'api', 0.004), ('Tidepool', 'sftp', 0.0035);
             insert into distribution_records (release_id, platform_id, status)
                 select r, p, 'distributed' from generate_series(1, 2) r, generate_series(1, 2) p;",
        )
        .execute(database.pool())
        .await
        .unwrap();
        Self {
            database,
            settings: Settings::default(),
            now: Arc::new(AtomicI64::new(at("2026-12-15T06:00:00Z").timestamp())),
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// Each look at the clock is a second later.
    pub(crate) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Arc::new(move || DateTime::from_timestamp(now.fetch_add(1, Ordering::Relaxed), 0).unwrap())
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock()()
    }

    pub(crate) fn pass(&self, time: TimeDelta) {
        self.now.fetch_add(time.num_seconds(), Ordering::Relaxed);
    }

    pub(crate) async fn sql(&self, statements: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// A row of usage: track, platform, day, territory, streams, revenue.
    pub(crate) async fn usage(
        &self,
        track: i32,
        platform: i32,
        day: &str,
        territory: &str,
        streams: i32,
        revenue: &str,
    ) {
        self.sql(&format!(
            "insert into analytics (track_id, platform_id, date, territory, streams, revenue)
             values ({track}, {platform}, '{day}', '{territory}', {streams}, {revenue})"
        ))
        .await;
    }

    /// The shares of a track, in place of those it had.
    pub(crate) async fn split(&self, track: i32, shares: &[(i32, &str, &str)]) {
        let mut statements = format!("delete from revenue_shares where track_id = {track};");
        for (user, percentage, status) in shares {
            statements.push_str(&format!(
                "insert into revenue_shares (track_id, user_id, percentage, role, name, status)
                 values ({track}, {user}, {percentage}, 'artist', 'User {user}', '{status}');"
            ));
        }
        self.sql(&statements).await;
    }

    pub(crate) async fn start(&self, month: &str) -> Started {
        royalty::start(
            self.pool(),
            period(month),
            &self.settings,
            &by(),
            self.now(),
        )
        .await
        .unwrap()
    }

    /// Starts and computes.
    pub(crate) async fn run(&self, month: &str) -> Run {
        let started = self.start(month).await;
        self.compute(started.run.id).await
    }

    pub(crate) async fn compute(&self, id: Uuid) -> Run {
        let run = royalty::compute(self.pool(), id, &self.clock())
            .await
            .unwrap();
        assert_eq!(run.state, State::Pending, "{run:?}");
        run
    }

    pub(crate) async fn finalise(&self, id: Uuid) -> Run {
        royalty::finalise(self.pool(), id, true, &by(), self.now())
            .await
            .unwrap()
    }

    /// Starts, computes and makes final.
    pub(crate) async fn settle(&self, month: &str) -> Run {
        let run = self.run(month).await;
        self.finalise(run.id).await
    }

    pub(crate) async fn revise(&self, month: &str) -> Run {
        let started = royalty::revise(
            self.pool(),
            period(month),
            &self.settings,
            &by(),
            self.now(),
        )
        .await
        .unwrap();
        self.compute(started.run.id).await
    }

    /// `payee kind amount` of a query that selects those three.
    pub(crate) async fn entries(&self, run: Uuid) -> Vec<String> {
        sqlx::query_scalar(
            "select payee_id || ' ' || kind || ' ' || trim_scale(sum(amount))
             from (select payee_id, kind, amount from worker.royalty_shares where run_id = $1
                   union all select payee_id, kind, amount from worker.royalty_steps where run_id = $1) e
             group by payee_id, kind having sum(amount) <> 0 order by payee_id, kind",
        )
        .bind(run)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// What the ledger has for a payee on a track, shares and remainders.
    pub(crate) async fn earned(&self, payee: i32, track: i32) -> Decimal {
        sqlx::query_scalar(
            "select coalesce(sum(amount), 0) from worker.ledger_entries where payee_id = $1 and track_id = $2",
        )
        .bind(payee)
        .bind(track)
        .fetch_one(self.pool())
        .await
        .unwrap()
    }

    /// Months and tracks whose entries in the ledger are not what usage says: with everything
    /// settled there are none.
    pub(crate) async fn unsettled(&self) -> Vec<String> {
        sqlx::query_scalar(
            "with usage as (
                 select date_trunc('month', date)::date as month, track_id, sum(revenue) as revenue
                 from analytics group by 1, 2
             ), posted as (
                 select usage_month as month, track_id, sum(amount) as revenue
                 from worker.ledger_entries where track_id is not null group by 1, 2
             ), shown as (
                 select to_date(period, 'YYYY-MM') as month, track_id, sum(revenue) as revenue
                 from royalty_calculations where status in ('final', 'paid') group by 1, 2
             )
             select format('%s track %s: usage %s, ledger %s, shown %s', month, track_id, u.revenue, p.revenue, s.revenue)
             from usage u full join posted p using (month, track_id) full join shown s using (month, track_id)
             where coalesce(u.revenue, 0) <> coalesce(p.revenue, 0) or coalesce(u.revenue, 0) <> coalesce(s.revenue, 0)
             order by 1",
        )
        .fetch_all(self.pool())
        .await
        .unwrap()
    }
}
