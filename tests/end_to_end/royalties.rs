//! Royalty runs by command and daemon: asked for twice, killed in the middle, watched, made final.

use std::{fs, path::PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::PgPool;

use super::{
    processes::{Running, family, program, until, until_gone},
    site::Site,
};

/// Enough usage that a run takes a while.
async fn fill(pool: &PgPool) {
    sqlx::raw_sql(
        "insert into users (username, email, password, full_name)
             select 'u' || n, 'u' || n || '@label.example', '-', 'User ' || n from generate_series(1, 200) n;
         insert into releases (user_id, title, type, release_date, artist_names)
             select n % 200 + 1, 'Release ' || n, 'album', '2026-01-01', 'Artist' from generate_series(1, 500) n;
         insert into tracks (release_id, user_id, title, artist)
             select n % 500 + 1, n % 200 + 1, 'Track ' || n, 'Artist' from generate_series(1, 5000) n;
         insert into distribution_platforms (name, delivery_method) values ('Fjordwave', 'api');
         insert into revenue_shares (track_id, user_id, percentage, role, name, status)
             select id, 1 + id * 7 % 200, 33.33, 'artist', 'User', 'active' from tracks;
         insert into analytics (track_id, platform_id, date, territory, streams, revenue)
             select 1 + n % 5000, 1, date '2026-09-01' + n % 30, 'T' || n / 5000 % 10, n % 97, (n % 9973)::numeric / 10000
             from generate_series(1, 300000) n;",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Waits until something is told of a run, whose result is not there yet.
async fn until_computing(pool: &PgPool) {
    until("the run is being computed", || async {
        let told: i64 = sqlx::query_scalar("select count(*) from worker.royalty_progress")
            .fetch_one(pool)
            .await
            .unwrap();
        (told > 0).then_some(())
    })
    .await;
}

async fn sum(pool: &PgPool, of: &str) -> String {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select trim_scale({of})::text"
    )))
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_daemon_is_killed_comes_to_the_same() {
    let site = Site::new().await;
    fill(site.pool()).await;
    let start = [
        "royalties",
        "start",
        "2026-09",
        "--reason",
        "monthly",
        "--json",
    ];
    let unexplained = site.cli(&["royalties", "start", "2026-09"]).await;
    unexplained.expect(64, &["--reason"]);
    site.cli(&["royalties", "show", "2026-09"])
        .await
        .expect(66, &["there is no royalty run 2026-09"]);
    let dry = site
        .cli(&["royalties", "start", "2026-09", "--dry-run", "--json"])
        .await;
    dry.expect(0, &[]);
    let first = site.cli(&start).await;
    first.expect(0, &[]);
    let id = first.json()["run"]["id"].as_str().unwrap().to_owned();
    let again = site.cli(&start).await;
    again.expect(0, &[&id]);
    assert_eq!(again.json()["is_new"], Value::Bool(false));

    let mut doomed = site.daemon("doomed.log");
    // In the middle of it: something is told and nothing is there yet.
    until_computing(site.pool()).await;
    doomed.signal(Signal::SIGKILL);
    doomed.end().await;
    let rows: i64 = sqlx::query_scalar("select count(*) from royalty_calculations")
        .fetch_one(site.pool())
        .await
        .unwrap();
    assert_eq!(rows, 0, "it was too fast to be killed in the middle");

    let daemon = site.daemon("daemon.log");
    let watched = site.cli(&["royalties", "watch", &id, "--json"]).await;
    watched.expect(0, &[]);
    let run = &watched.json()["run"];
    assert_eq!(run["state"], "pending");
    assert_eq!(run["output_digest"], dry.json()["run"]["output_digest"]);
    assert_eq!(run["totals"], dry.json()["run"]["totals"]);

    let recomputed = [
        "royalties",
        "recompute",
        "2026-09",
        "--keep-input",
        "--wait",
        "--reason",
        "again",
        "--json",
    ];
    let recomputed = site.cli(&recomputed).await;
    recomputed.expect(0, &[]);
    assert_eq!(
        recomputed.json()["run"]["output_digest"],
        run["output_digest"]
    );
    let finalise = ["royalties", "finalise", &id, "--reason", "looked at"];
    site.cli(&finalise).await.expect(0, &["is final"]);
    site.cli(&finalise).await.expect(0, &["is final"]);
    site.cli(&["royalties", "void", &id, "--reason", "oh"])
        .await
        .expect(1, &["royalties revise"]);
    assert_eq!(
        sum(
            site.pool(),
            "(select sum(amount) from worker.ledger_entries where track_id is not null)"
        )
        .await,
        sum(site.pool(), "(select sum(revenue) from analytics)").await,
    );
    site.cli(&["royalties", "list"])
        .await
        .expect(0, &[&id, "final"]);
    site.cli(&["royalties", "statement", "2026-09", "--payee", "8"])
        .await
        .expect(0, &["summary,2026-09,8", "payable"]);
    site.cli(&["royalties", "balances", "--payee", "8"])
        .await
        .expect(0, &["User 8"]);
    site.cli(&[
        "royalties",
        "explain",
        "--run",
        "2026-09",
        "--payee",
        "8",
        "--track",
        "1",
    ])
    .await
    .expect(0, &["Fjordwave", "payable"]);
    site.cli(&["royalties", "pay", &id, "--reason", "paid by bank"])
        .await
        .expect(0, &["is paid"]);
    site.stop(daemon).await;
}

/// A daemon with a PostgreSQL of its own, which the site's commands are to use too.
fn host(site: &Site, log: &str) -> Running {
    let mut command = program();
    command.args(["run", "--embedded", "--state-dir"]);
    command.arg(site.path("state"));
    command.arg("--config").arg(site.config_file());
    Running::start(&mut command, site.path(log))
}

/// The URL of that PostgreSQL.
fn url(site: &Site) -> String {
    let state = site.path("state");
    let directory = match fs::read_to_string(state.join("postgres-is-elsewhere")) {
        Ok(elsewhere) => PathBuf::from(elsewhere),
        Err(_) => state.join("postgres"),
    };
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let (password, port) = (read("password"), read("port"));
    format!(
        "postgres://tunemantra:{}@127.0.0.1:{}/tunemantra",
        password.trim(),
        port.trim()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_postgresql_is_killed_comes_to_the_same() {
    let site = Site::new().await;
    let mut first = host(&site, "host.log");
    first.says("queue started").await;
    site.configure("database", "url", url(&site));
    let pool = PgPool::connect(&url(&site)).await.unwrap();
    fill(&pool).await;
    let start = |last: &'static str| ["royalties", "start", "2026-09", last, "--json"];
    let dry = site.cli(&start("--dry-run")).await;
    dry.expect(0, &[]);
    let started = site.cli(&start("--reason=monthly")).await;
    started.expect(0, &[]);
    let id = started.json()["run"]["id"].as_str().unwrap().to_owned();
    until_computing(&pool).await;
    // The server with all its processes, and the daemon that they came with.
    let processes = family(first.pid());
    assert!(processes.len() > 2, "PostgreSQL runs: {processes:?}");
    for (pid, _) in &processes {
        // A process of a session may have ended by itself.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), Signal::SIGKILL);
    }
    first.end().await;
    until_gone(&processes).await;
    pool.close().await;

    let mut again = host(&site, "again.log");
    again.says("queue started").await;
    // Somebody may have taken its port.
    site.configure("database", "url", url(&site));
    let watched = site.cli(&["royalties", "watch", &id, "--json"]).await;
    watched.expect(0, &[]);
    let run = &watched.json()["run"];
    assert_eq!(run["state"], "pending");
    assert_eq!(run["output_digest"], dry.json()["run"]["output_digest"]);
    assert_eq!(run["totals"], dry.json()["run"]["totals"]);
    let pool = PgPool::connect(&url(&site)).await.unwrap();
    let attempts: i64 = sqlx::query_scalar(
        "select count(*) from worker.attempts a join worker.jobs j on j.id = a.job_id
         where j.kind = 'royalty_run'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(attempts > 1, "it was too fast to be killed in the middle");
    let finalise = ["royalties", "finalise", &id, "--reason", "looked at"];
    site.cli(&finalise).await.expect(0, &["is final"]);
    assert_eq!(
        sum(
            &pool,
            "(select sum(amount) from worker.ledger_entries where track_id is not null)"
        )
        .await,
        sum(&pool, "(select sum(revenue) from analytics)").await,
    );
    pool.close().await;
    again.signal(Signal::SIGTERM);
    assert_eq!(again.end().await.code(), Some(0), "{}", again.log());
}
