//! The statements of all payees of a run, written by a daemon: asked for once, told how far they are,
//! kept in the database for a while (retention), to be fetched one by one or together.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    compute::ComputeError,
    document::{FontsError, Layout, WriteError, Writer},
    job::{Services, WriteStatements},
    operate::Refused,
    run::{self, Run},
    statement::{self, Statement},
};
use crate::{
    audit::{self, By, Change},
    database::storable,
    queue::{self, NewJob},
};

/// The queue of statements: they do not wait for runs that are computed, nor these for them.
pub const QUEUE: &str = "statements";

/// Statements that are in memory and written in one transaction.
const BATCH: usize = 50;

/// Where a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StatementSetState)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum SetState {
    /// It is written, or waits to be.
    Running,
    /// All statements are there.
    Completed,
    /// It could not be written, or the run was no longer as it was.
    Failed,
}

impl SetState {
    /// As it stands in the column `state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// The statements of all payees of a run in one layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatementSet {
    /// Its id.
    pub id: Uuid,
    /// The run.
    pub run: Uuid,
    /// How they are written.
    pub layout: Layout,
    /// The run as it was when they were asked for.
    #[serde(skip)]
    #[schema(ignore)]
    version: String,
    /// Where it is.
    pub state: SetState,
    /// Statements that are written.
    pub done: i32,
    /// Statements there will be: one for each payee.
    pub total: i32,
    /// Why it failed.
    pub fault: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last came further.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// What came of asking for a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatementSetOrdered)]
pub struct Ordered {
    /// The set.
    pub set: StatementSet,
    /// Whether this call made it; otherwise it was there already.
    pub is_new: bool,
}

/// One statement of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementFile {
    /// Whose.
    pub payee: i32,
    /// What the file is called.
    pub name: String,
    /// What is in it.
    pub body: Vec<u8>,
}

/// Why a set is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteSetError {
    /// There is no such set.
    #[error("there is no set of statements {0}")]
    Missing(Uuid),
    /// What was written by then belongs to a run that is no more as it was.
    #[error("the run was computed anew or decided about meanwhile; ask for its statements again")]
    Stale,
    /// The fonts cannot be used.
    #[error(transparent)]
    Fonts(#[from] FontsError),
    /// A statement cannot be read.
    #[error(transparent)]
    Read(#[from] ComputeError),
    /// A statement cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The thread that lays them out broke off.
    #[error(transparent)]
    Thread(#[from] tokio::task::JoinError),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Has a daemon write the statements of all payees of a computed run. If there is such a set of the
/// run as it is now, that one is the answer: so it may be asked for again without harm.
///
/// # Errors
/// [`Refused`].
pub async fn order(
    pool: &PgPool,
    run: Uuid,
    layout: Layout,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Ordered, Refused> {
    let mut tx = pool.begin().await?;
    // Who asks at the same time waits here, and finds the set.
    sqlx::query!(
        "select id from worker.royalty_runs where id = $1 for update",
        run
    )
    .fetch_optional(&mut *tx)
    .await?;
    let run = run::get(&mut tx, run)
        .await?
        .ok_or_else(|| Refused::Missing(run.to_string()))?;
    if !run.has_statements() {
        return Err(Refused::State {
            name: run.name(),
            state: run.state.as_str(),
            instead: "there are statements once it is computed",
        });
    }
    let there = sqlx::query_scalar!(
        r#"select id from worker.statement_sets
           where run_id = $1 and layout = $2 and version = $3 and state <> 'failed'"#,
        run.id,
        layout as Layout,
        run.version(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(there) = there {
        let set = need(&mut tx, there).await?;
        return Ok(Ordered { set, is_new: false });
    }
    let set = create(&mut tx, &run, layout, by, now).await?;
    tx.commit().await?;
    Ok(Ordered { set, is_new: true })
}

async fn create(
    conn: &mut PgConnection,
    run: &Run,
    layout: Layout,
    by: &By,
    now: DateTime<Utc>,
) -> Result<StatementSet, Refused> {
    let payees = statement::payees(conn, run.id).await?;
    let id = sqlx::query_scalar!(
        r#"insert into worker.statement_sets (run_id, layout, version, total, created_at, updated_at)
           values ($1, $2, $3, $4, $5, $5) returning id"#,
        run.id,
        layout as Layout,
        run.version(),
        i32::try_from(payees.len()).unwrap_or(i32::MAX),
        now,
    )
    .fetch_one(&mut *conn)
    .await?;
    let job = NewJob::new(QUEUE, &WriteStatements { set: id }, now)?;
    queue::enqueue(conn, &[job]).await?;
    let change = Change {
        action: "royalty_run.statements",
        object_kind: "royalty_run",
        object_id: run.id.to_string(),
        before: None,
        after: Some(json!({"set": id, "layout": layout, "statements": payees.len()})),
    };
    audit::record(conn, by, &change, now).await?;
    need(conn, id).await
}

async fn need(conn: &mut PgConnection, id: Uuid) -> Result<StatementSet, Refused> {
    let set = get(conn, id).await?;
    set.ok_or_else(|| Refused::Missing(id.to_string()))
}

/// A set.
///
/// # Errors
/// The database's.
pub async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<StatementSet>, sqlx::Error> {
    sqlx::query_as!(
        StatementSet,
        r#"select id, run_id as run, layout as "layout: Layout", version, state as "state: SetState",
               done, total, fault, created_at, updated_at, finished_at
           from worker.statement_sets where id = $1"#,
        id,
    )
    .fetch_optional(conn)
    .await
}

/// The sets of a run, the newest first: those before one, or from the newest on.
///
/// # Errors
/// The database's.
pub async fn list(
    conn: &mut PgConnection,
    run: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<StatementSet>, sqlx::Error> {
    sqlx::query_as!(
        StatementSet,
        r#"select id, run_id as run, layout as "layout: Layout", version, state as "state: SetState",
               done, total, fault, created_at, updated_at, finished_at
           from worker.statement_sets
           where run_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        run,
        before,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// The statements of a set in the order of payees: those after one, or from the beginning.
///
/// # Errors
/// The database's.
pub async fn files(
    conn: &mut PgConnection,
    set: &StatementSet,
    after: Option<i32>,
    limit: i64,
) -> Result<Vec<StatementFile>, sqlx::Error> {
    let Some(run) = run::get(&mut *conn, set.run).await? else {
        return Ok(Vec::new());
    };
    let rows = sqlx::query!(
        r#"select payee_id, body from worker.statement_files
           where set_id = $1 and payee_id > coalesce($2, 0) order by payee_id limit $3"#,
        set.id,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter().map(|row| StatementFile {
        payee: row.payee_id,
        name: statement::file_name(&run, row.payee_id, set.layout.extension()),
        body: row.body,
    });
    Ok(rows.collect())
}

/// Writes what is missing of a set. It may be cut off at any moment and called again, by several at
/// once too.
pub(super) async fn write(services: &Services, id: Uuid) -> Result<(), WriteSetError> {
    let pool = &services.pool;
    let mut conn = pool.acquire().await?;
    let set = found(&mut conn, id).await?;
    if set.state != SetState::Running {
        return Ok(());
    }
    let there = sqlx::query_scalar!(
        "select max(payee_id) from worker.statement_files where set_id = $1",
        id
    )
    .fetch_one(&mut *conn)
    .await?;
    let mut payees = statement::payees(&mut conn, set.run).await?;
    drop(conn);
    payees.retain(|payee| there.is_none_or(|there| *payee > there));
    let fonts = services.settings.fonts.clone();
    let writer = tokio::task::spawn_blocking(move || set.layout.writer(&fonts)).await??;
    for payees in payees.chunks(BATCH) {
        let statements = read(pool, id, payees).await?;
        let bodies = lay_out(writer.clone(), statements).await?;
        keep(pool, id, payees, &bodies, (services.clock)()).await?;
    }
    // A run without payees is done before it has begun.
    let now = (services.clock)();
    sqlx::query!(
        r#"update worker.statement_sets set state = 'completed', updated_at = $2, finished_at = $2
           where id = $1 and state = 'running'"#,
        id,
        now,
    )
    .execute(pool)
    .await?;
    Ok(())
}

async fn found(conn: &mut PgConnection, id: Uuid) -> Result<StatementSet, WriteSetError> {
    get(conn, id).await?.ok_or(WriteSetError::Missing(id))
}

/// The statements of these payees, of one state of the run.
async fn read(pool: &PgPool, id: Uuid, payees: &[i32]) -> Result<Vec<Statement>, WriteSetError> {
    let mut tx = crate::database::begin(pool, "begin isolation level repeatable read").await?;
    let set = found(&mut tx, id).await?;
    let run = run::get(&mut tx, set.run).await?;
    let run = run
        .filter(|run| run.version() == set.version)
        .ok_or(WriteSetError::Stale)?;
    let mut statements = Vec::with_capacity(payees.len());
    for payee in payees {
        statements.push(statement::statement(&mut tx, &run, *payee).await?);
    }
    tx.commit().await?;
    Ok(statements)
}

/// Statements as files. Thousands of tracks take a while, so not on a thread that others need.
async fn lay_out(
    writer: Writer,
    statements: Vec<Statement>,
) -> Result<Vec<Vec<u8>>, WriteSetError> {
    let written = tokio::task::spawn_blocking(move || {
        let written = statements.iter().map(|statement| writer.write(statement));
        written.collect::<Result<_, WriteError>>()
    });
    Ok(written.await??)
}

async fn keep(
    pool: &PgPool,
    id: Uuid,
    payees: &[i32],
    bodies: &[Vec<u8>],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let kept = sqlx::query!(
        r#"insert into worker.statement_files (set_id, payee_id, body)
           select $1, * from unnest($2::integer[], $3::bytea[]) on conflict do nothing"#,
        id,
        payees,
        bodies,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        r#"update worker.statement_sets set done = done + $2, updated_at = $3
           where id = $1 and state = 'running'"#,
        id,
        i32::try_from(kept.rows_affected()).unwrap_or(i32::MAX),
        now,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Notes that a set will not be written.
pub(super) async fn fail(
    conn: &mut PgConnection,
    id: Uuid,
    fault: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let fault = storable(fault);
    sqlx::query!(
        r#"update worker.statement_sets set state = 'failed', fault = $2, updated_at = $3, finished_at = $3
           where id = $1 and state = 'running'"#,
        id,
        fault.as_ref(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
