//! A database with users, tracks and platforms, and the few things that tests do to it.

use chrono::{DateTime, NaiveDate, Utc};
use jobs::statistics::{self, Settings, Written};
use sqlx::{AssertSqlSafe, PgPool};
use test_support::TestDatabase;

pub(crate) fn now() -> DateTime<Utc> {
    "2026-06-01T08:00:00Z".parse().unwrap()
}

/// A day of 2026, by its number from 1 January on.
pub(crate) fn day(number: u32) -> NaiveDate {
    NaiveDate::from_yo_opt(2026, number + 1).unwrap()
}

pub(crate) struct Site {
    pub(crate) database: TestDatabase,
}

impl Site {
    /// Users 1 to 4, where 2 is a sub-label of 1 and 3 of 2; releases 1 to 3 of the first users;
    /// tracks 1 to 6: two of user 1, two of user 2 of which the second has no release, one each of
    /// users 3 and 4; platforms 1 to 3.
    pub(crate) async fn create() -> Self {
        let site = Self {
            database: TestDatabase::create().await,
        };
        site.sql(
            r#"insert into users (username, email, password, full_name, parent_label_id) values
                   ('one', 'one@e', '-', 'One "Label"', null), ('two', 'two@e', '-', 'Two', 1),
                   ('three', 'three@e', '-', 'Three', 2), ('four', 'four@e', '-', 'Four', null);
               insert into releases (user_id, title, type, release_date, artist_names) values
                   (1, 'First \ release', 'album', '2026-01-01', 'A'),
                   (2, 'Second', 'single', '2026-01-01', 'B'),
                   (3, E'Third\n', 'single', '2026-01-01', 'C');
               insert into tracks (release_id, user_id, title, artist) values
                   (1, 1, 'Eins', 'A'), (1, 1, 'Zwei', 'A'), (2, 2, 'Drei', 'B'),
                   (null, 2, 'Vier "4"', 'B'), (3, 3, 'Fünf', 'C'), (null, 4, 'Sechs', 'D');
               insert into distribution_platforms (name, delivery_method) values
                   ('Nordlys', 'api'), ('Tidepool', 'sftp'), ('Fjord', 'ddex')"#,
        )
        .await;
        site
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub(crate) async fn sql(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(self.pool())
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// As if the web application's schema push had dropped the triggers.
    pub(crate) async fn without_triggers(&self) {
        self.sql(
            "drop trigger worker_analytics_inserted on analytics;
             drop trigger worker_analytics_updated on analytics;
             drop trigger worker_analytics_deleted on analytics;
             drop trigger worker_analytics_truncated on analytics;
             drop trigger worker_tracks_updated on tracks;
             drop trigger worker_users_updated on users",
        )
        .await;
    }

    /// A row of usage on platform 1.
    pub(crate) async fn usage(&self, track: i32, day_number: u32, streams: i32, revenue: &str) {
        self.sql(&format!(
            "insert into analytics (track_id, platform_id, date, streams, downloads, revenue, territory)
             values ({track}, 1, '{}', {streams}, 1, {revenue}, 'DE')",
            day(day_number)
        ))
        .await;
    }

    pub(crate) async fn recompute(&self) -> Written {
        statistics::recompute(self.pool(), &Settings::default(), now())
            .await
            .unwrap()
    }

    pub(crate) async fn scan(&self) -> Written {
        statistics::scan(self.pool(), now()).await.unwrap();
        self.recompute().await
    }
}
