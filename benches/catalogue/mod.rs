//! A catalogue and usage of it, the same in every run.

use sqlx::{AssertSqlSafe, PgPool};

/// Users with tracks.
pub(crate) const USERS: i64 = 10_000;
/// Rows of usage.
pub(crate) const ROWS: i64 = 1_000_000;
/// The columns that usage is copied with.
pub(crate) const COLUMNS: &str =
    "track_id, platform_id, date, streams, downloads, revenue, territory";

/// 10,000 users with 3 releases of 4 tracks each, and 10 platforms.
pub(crate) async fn fill(pool: &PgPool) {
    execute(
        pool,
        &format!(
            "insert into users (username, email, password, full_name)
             select 'user' || n, 'user' || n || '@label.example', '-', 'User ' || n
             from generate_series(1, {USERS}) n;
             insert into distribution_platforms (name, delivery_method)
             select 'Platform ' || n, 'api' from generate_series(1, 10) n;
             insert into releases (user_id, title, type, release_date, artist_names, upc)
             select u, 'Release ' || u || '-' || k, 'album', '2026-01-01', 'Ada Quell',
                 lpad((u * 10 + k)::text, 12, '0')
             from generate_series(1, {USERS}) u, generate_series(1, 3) k;
             insert into tracks (release_id, user_id, title, artist, isrc)
             select r.id, r.user_id, 'Track ' || r.id || '-' || k, 'Ada Quell',
                 'DEA' || lpad((r.id * 4 + k)::text, 9, '0')
             from releases r, generate_series(1, 4) k"
        ),
    )
    .await;
}

/// Usage over `days` days from 1 March 2026 on: half of it on a tenth of the tracks.
pub(crate) async fn use_tracks(pool: &PgPool, days: i64) {
    execute(
        pool,
        &format!(
            "select setseed(0.25);
             insert into analytics ({COLUMNS})
             select 1 + floor(random() * {USERS} * 12 * case when n % 2 = 0 then 1 else 0.1 end),
                 1 + n % 10, date '2026-03-01' + (n % {days})::integer, floor(random() * 1000),
                 floor(random() * 5), (random() * 10)::numeric(12, 4),
                 (array['US', 'DE', 'FR', 'GB', 'JP', 'BR', 'IN', 'SE', 'NO', 'MX', null])
                     [1 + floor(random() * 11)::integer]
             from generate_series(1, {ROWS}) n;
             truncate worker.dirty_days"
        ),
    )
    .await;
}

/// What a query gives, as CSV.
pub(crate) async fn csv(pool: &PgPool, query: &str) -> Vec<u8> {
    use futures_util::TryStreamExt as _;
    use sqlx::postgres::PgPoolCopyExt as _;
    let mut stream = pool
        .copy_out_raw(&format!("copy ({query}) to stdout (format csv)"))
        .await
        .unwrap();
    let mut all = Vec::new();
    while let Some(some) = stream.try_next().await.unwrap() {
        all.extend_from_slice(&some);
    }
    all
}

/// Copies CSV into `analytics`.
pub(crate) async fn copy(pool: &PgPool, csv: &[u8]) {
    let mut connection = pool.acquire().await.unwrap();
    let statement = format!("copy analytics ({COLUMNS}) from stdin (format csv)");
    let mut copy = connection.copy_in_raw(&statement).await.unwrap();
    for some in csv.chunks(1 << 20) {
        copy.send(some).await.unwrap();
    }
    copy.finish().await.unwrap();
}

/// A copied database is written to disk first, and has statistics, so that nobody pays for these.
pub(crate) async fn settle(pool: &PgPool) {
    execute(pool, "vacuum analyze").await;
    execute(pool, "checkpoint").await;
}

pub(crate) async fn execute(pool: &PgPool, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}
