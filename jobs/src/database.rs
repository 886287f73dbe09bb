//! How the worker connects to its database. What it asks there lives with the module that asks.

use std::{borrow::Cow, io, time::Duration};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

/// How long a caller waits for a free connection before it gets an error instead.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the first connection may take: longer than what is lost on the way is sent anew, and less
/// than whoever started the program waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection that was idle for longer is asked whether it is still there before it is used. Asked
/// each time, that would be a good part of what many small transactions cost.
const IDLE_UNASKED: Duration = Duration::from_secs(1);

/// A connection that is asked whether it is still there answers within this time, or is given up.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// After so long without a statement the server ends an open transaction. No transaction of the
/// worker waits for anything but the database, so its process is suspended or cut off, and others
/// wait for its locks.
const IDLE_TRANSACTION_TIMEOUT: &str = "15s";

/// The options every connection of the worker has: `TimeZone` is UTC, whatever the server, the
/// database or the role says, because `timestamp` columns hold UTC; `application_name` tells
/// an operator in `pg_stat_activity` whose connection it is; and a transaction that is left open
/// ends, so that a daemon that stands still does not hold up the others.
///
/// For a connection or pool of another shape than [`connect`] gives.
pub fn options(url: &str, application_name: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(url
        .parse::<PgConnectOptions>()?
        .options([
            ("TimeZone", "UTC"),
            (
                "idle_in_transaction_session_timeout",
                IDLE_TRANSACTION_TIMEOUT,
            ),
        ])
        .application_name(application_name))
}

/// Begins a transaction for work that may be cut off. `statement` is `begin`, perhaps with an isolation
/// level, perhaps followed by settings.
///
/// Whoever drops sqlx's own `begin` while it waits for its answer gives the pool a connection with an
/// open transaction, in which the next statements of others then are, and are never committed. Here the
/// beginning goes on by itself, and a transaction that nobody waits for any more is rolled back.
///
/// # Errors
/// The database's.
pub async fn begin(
    pool: &PgPool,
    statement: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    begun
        .await
        .map_err(|error| sqlx::Error::Io(io::Error::other(error)))?
}

/// A pool of at most `max_connections`. Fails at once, with the reason, if the database does not
/// answer now; later the pool waits for a database that is away.
pub async fn connect(
    url: &str,
    application_name: &str,
    max_connections: u32,
) -> Result<PgPool, sqlx::Error> {
    let options = options(url, application_name)?;
    // The pool would try again for as long as it may wait, and then name no reason.
    in_time(async { PgConnection::connect_with(&options).await?.close().await }).await?;
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|conn, idle| {
            Box::pin(async move {
                // One that a firewall has forgotten says nothing; then another is taken.
                Ok(idle.idle_for < IDLE_UNASKED
                    || matches!(
                        tokio::time::timeout(ANSWERS_WITHIN, conn.ping()).await,
                        Ok(Ok(()))
                    ))
            })
        })
        .connect_lazy_with(options))
}

/// A database that says nothing is away.
async fn in_time<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(CONNECT_TIMEOUT, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        ))),
    }
}

/// Whether the connection of one who listens is still there. Where nobody notifies it says nothing, and
/// neither does one that the network has forgotten.
pub(crate) async fn is_there(listener: &mut PgListener) -> bool {
    let asked = sqlx::query!("select 1 as one").fetch_one(listener);
    matches!(tokio::time::timeout(ANSWERS_WITHIN, asked).await, Ok(Ok(_)))
}

/// What lies between the worker and the database, as far as sessions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Nothing, or what keeps a client's session.
    SessionsKept,
    /// A pooler that changes sessions between transactions, and knows each client's statements.
    StatementsKept,
    /// A pooler that changes sessions between transactions, and loses statements by it.
    StatementsLost,
}

/// Finds out whether a session, and the statements prepared in it, outlast a transaction: while another
/// transaction holds what the last statement ran in, the next one of the same client runs elsewhere
/// behind such a pooler.
///
/// # Errors
/// The database's, or the pooler's.
pub async fn pooling(url: &str, application_name: &str) -> Result<Pooling, sqlx::Error> {
    in_time(find_pooling(url, application_name)).await
}

async fn find_pooling(url: &str, application_name: &str) -> Result<Pooling, sqlx::Error> {
    // Its answer shows which statement was executed: under the name may lie one of a process before.
    let question = Uuid::now_v7().simple().to_string();
    let ask = || {
        let statement = format!("select pg_backend_pid(), '{question}'");
        sqlx::query_as::<_, (i32, String)>(AssertSqlSafe(statement))
    };
    let options = options(url, application_name)?;
    let mut one = PgConnection::connect_with(&options).await?;
    let mut other = PgConnection::connect_with(&options).await?;
    let first = ask().fetch_one(&mut one).await;
    sqlx::raw_sql("begin").execute(&mut other).await?;
    let second = ask().fetch_one(&mut one).await;
    sqlx::raw_sql("rollback").execute(&mut other).await?;
    let found = match (first, second) {
        (Ok(first), Ok(second)) if first == second => Pooling::SessionsKept,
        (Ok(_), Ok((_, answer))) if answer == question => Pooling::StatementsKept,
        (Ok(_), Ok(_)) => Pooling::StatementsLost,
        (Err(error), _) | (_, Err(error)) if is_of_statements(&error) => Pooling::StatementsLost,
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    one.close().await?;
    other.close().await?;
    Ok(found)
}

/// A prepared statement is not there, or there is another of its name.
fn is_of_statements(error: &sqlx::Error) -> bool {
    if matches!(
        error,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnIndexOutOfBounds { .. }
    ) {
        return true;
    }
    let sqlstate = error.as_database_error().and_then(|error| error.code());
    matches!(sqlstate.as_deref(), Some("26000" | "42P05"))
}

/// A text as PostgreSQL can hold it: its text and jsonb have no NUL, and what a partner or a person
/// said must never keep something from being recorded.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether the database answers.
///
/// # Errors
/// Why it does not.
pub async fn answers(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("select 1 as one").fetch_one(pool).await?;
    Ok(())
}
