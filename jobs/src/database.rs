//! How the worker connects to its database. What it asks there lives with the module that asks.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};

/// How long a caller waits for a free connection before it gets an error instead.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// The options every connection of the worker has: `TimeZone` is UTC, whatever the server, the
/// database or the role says, because `timestamp` columns hold UTC; and `application_name` tells
/// an operator in `pg_stat_activity` whose connection it is.
///
/// For a connection or pool of another shape than [`connect`] gives.
pub fn options(url: &str, application_name: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(url
        .parse::<PgConnectOptions>()?
        .options([("TimeZone", "UTC")])
        .application_name(application_name))
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
    PgConnection::connect_with(&options).await?.close().await?;
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}
