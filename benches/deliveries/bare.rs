//! The least that a delivery costs the database: the same rows read and written, each by its key,
//! in the same two transactions, with nothing in between. What is written is what a real delivery
//! left behind.

use std::time::Instant;

use serde_json::Value;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::{CONNECTIONS, DELIVERIES, SLOTS, prepare};

/// What a real delivery left behind.
#[derive(Clone, FromRow)]
pub(crate) struct Left {
    receipt: Value,
    fingerprint: String,
    snapshot: Value,
    processing_details: Value,
    history: Value,
    evidence: Vec<Vec<u8>>,
}

impl Left {
    pub(crate) async fn read(pool: &PgPool) -> Self {
        sqlx::query_as(
            "select d.receipt, d.fingerprint, d.snapshot, r.processing_details,
                 r.submission_history[1] as history,
                 array(select body from worker.evidence e where e.delivery_id = d.id) as evidence
             from worker.deliveries d join distribution_records r on r.id = d.record_id
             where d.state = 'accepted' limit 1",
        )
        .fetch_one(pool)
        .await
        .unwrap()
    }
}

#[derive(FromRow)]
struct Waiting {
    job: Uuid,
    delivery: Uuid,
    record: i32,
    release: i32,
    platform: i32,
}

/// Deliveries a second.
pub(crate) async fn measure(left: &Left) -> f64 {
    let (site, _partners) = prepare().await;
    let pool = jobs::database::connect(site.url(), "bare", CONNECTIONS)
        .await
        .unwrap();
    let waiting: Vec<Waiting> = sqlx::query_as(
        "select j.id as job, d.id as delivery, d.record_id as record, d.release_id as release,
             d.platform_id as platform
         from worker.deliveries d join worker.jobs j on j.unique_key = 'deliver/' || d.id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let waiting = std::sync::Arc::new(std::sync::Mutex::new(waiting));
    let started = Instant::now();
    let workers = (0..SLOTS).map(|_| {
        let (pool, waiting, left) = (pool.clone(), std::sync::Arc::clone(&waiting), left.clone());
        tokio::spawn(async move {
            loop {
                let next = waiting.lock().unwrap().pop();
                let Some(next) = next else { return };
                deliver(&pool, &next, &left).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let seconds = started.elapsed().as_secs_f64();
    let accepted = site
        .count("from worker.deliveries where state = 'accepted'")
        .await;
    assert_eq!(accepted, DELIVERIES);
    DELIVERIES as f64 / seconds
}

async fn deliver(pool: &PgPool, next: &Waiting, left: &Left) -> Result<(), sqlx::Error> {
    let attempt = Uuid::now_v7();
    begin(pool, next, left, attempt).await?;
    let mut conn = pool.acquire().await?;
    for query in [
        "select * from distribution_platforms where id = $2 and $1 > 0",
        "select r.*, u.full_name from releases r join users u on u.id = r.user_id where r.id = $1 and $2 > 0",
        "select * from tracks where release_id = $1 and $2 > 0",
        "select * from rights_management where release_id = $1 and $2 > 0",
    ] {
        sqlx::query(query)
            .bind(next.release)
            .bind(next.platform)
            .fetch_all(&mut *conn)
            .await?;
    }
    drop(conn);
    end(pool, next, left, attempt).await
}

async fn begin(
    pool: &PgPool,
    next: &Waiting,
    left: &Left,
    attempt: Uuid,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query(
        "update worker.jobs set state = 'running', attempt = 1, attempt_id = $2, lease_token = $2,
             lease_expires_at = now(), worker = 'bare' where id = $1",
    )
    .bind(next.job)
    .bind(attempt)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into worker.attempts (id, job_id, delivery_id, number, started_at, worker)
         values ($1, $2, $3, 1, now(), 'bare')",
    )
    .bind(attempt)
    .bind(next.job)
    .bind(next.delivery)
    .execute(&mut *tx)
    .await?;
    sqlx::query("select * from worker.deliveries where id = $1 for update")
        .bind(next.delivery)
        .fetch_one(&mut *tx)
        .await?;
    sqlx::query(
        "update worker.deliveries set state = 'sending', attempts = 1, started_at = now(),
             expires_at = now(), updated_at = now() where id = $1",
    )
    .bind(next.delivery)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update distribution_records set status = 'processing', processing_details = $2,
             last_status_update = now(), updated_at = now() where id = $1",
    )
    .bind(next.record)
    .bind(&left.processing_details)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

async fn end(pool: &PgPool, next: &Waiting, left: &Left, attempt: Uuid) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query(
        "update worker.jobs set state = 'completed', finished_at = now(), lease_token = null,
             lease_expires_at = null, attempt_id = null where id = $1",
    )
    .bind(next.job)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update worker.attempts set ended_at = now(), outcome = 'completed'
         where job_id = $1 and id = $2",
    )
    .bind(next.job)
    .bind(attempt)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update worker.deliveries set state = 'accepted', receipt = $2, fingerprint = $3,
             snapshot = $4, sent_at = now(), decided_at = now(), updated_at = now() where id = $1",
    )
    .bind(next.delivery)
    .bind(&left.receipt)
    .bind(&left.fingerprint)
    .bind(&left.snapshot)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update distribution_records set status = 'distributed', processing_details = $2,
             submission_history = array[$3::jsonb], distribution_date = now(),
             last_status_update = now(), updated_at = now() where id = $1",
    )
    .bind(next.record)
    .bind(&left.processing_details)
    .bind(&left.history)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into worker.delivery_files
             (delivery_id, transmission, position, name, path, size, sha256, md5)
         select $1, 1, n, 'name', 'path', 1000, $2, left($2, 32) from generate_series(1, 2) as n",
    )
    .bind(next.delivery)
    .bind(&left.fingerprint)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into worker.evidence
             (delivery_id, transmission, attempt, name, media_type, body, created_at)
         select $1, 1, 1, 'name', 'application/json', body, now() from unnest($2::bytea[]) as body",
    )
    .bind(next.delivery)
    .bind(&left.evidence)
    .execute(&mut *tx)
    .await?;
    let schedule: i32 = sqlx::query_scalar(
        "update worker.schedule_targets set state = 'completed' where delivery_id = $1
         returning schedule_id",
    )
    .bind(next.delivery)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query(
        "update scheduled_distributions set completed_platform_ids = platform_ids,
             status = 'completed', updated_at = now() where id = $1",
    )
    .bind(schedule)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
