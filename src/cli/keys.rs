//! `keys`: who may use the HTTP API and the console.

use std::{io::Write as _, process::ExitCode};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Subcommand;
use jobs::access::{self, KeyFilter, ListedKey, NewKey, NotMade, Revoked, Scope, Scopes};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    cli::{
        EX_NO, Failure,
        by::{Reason, now},
        table::{self, table},
    },
    config::Config,
};

/// Make, list and revoke keys of the HTTP API and the console.
///
/// A key belongs to a user of the web application, who must be active. It can do what its scopes
/// say: read (look at everything but money and keys), operate (change what is delivered when),
/// finance (royalties and statements), admin (keys). None contains another. Keys of super admins can
/// do everything.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it: it is shown this once, and stands nowhere.
    Create {
        /// What people call it, such as "on call" or "nightly report".
        #[arg(long)]
        name: String,
        /// Whose it is: a user's name, e-mail address or id.
        #[arg(long)]
        user: String,
        /// What it may do: read, operate, finance, admin; several with commas between them.
        #[arg(long, value_delimiter = ',', value_parser = scope)]
        scope: Vec<Scope>,
        /// A permission template that grants further scopes.
        #[arg(long, value_name = "NAME")]
        template: Option<String>,
        /// Until when it holds: 2027-01-31 (its beginning, UTC) or 2027-01-31T12:00:00Z. Without it,
        /// until it is revoked.
        #[arg(long, value_name = "TIME", value_parser = time)]
        expires: Option<DateTime<Utc>>,
        #[command(flatten)]
        reason: Reason,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List keys, the newest first.
    List {
        /// Also those that have expired or were revoked.
        #[arg(long)]
        all: bool,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key: it is accepted no longer, and whoever logged in with it is logged out.
    Revoke {
        /// The key's id, as `list` shows it.
        id: i32,
        #[command(flatten)]
        reason: Reason,
    },
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let url = &config.database.url.0;
    let pool = super::connect(url, "tunemantra-worker keys", super::COMMAND_CONNECTIONS).await?;
    let mut out = crate::cli::out();
    match arguments.command {
        Command::Create {
            name,
            user,
            scope,
            template,
            expires,
            reason,
            json,
        } => {
            let by = reason.by()?;
            let mut tx = pool.begin().await?;
            let new = NewKey {
                user_id: owner(&mut tx, &user).await?,
                name,
                scopes: Scopes::of(&scope),
                template,
                expires_at: expires,
            };
            let made = access::create(&mut tx, &new, rand::random(), &by, now())
                .await?
                .map_err(not_made)?;
            tx.commit().await?;
            if json {
                let made = json!({"id": made.id, "key": made.key, "scopes": made.scopes});
                table::json(&mut out, &made)?;
            } else {
                writeln!(out, "{}", made.key)?;
                writeln!(
                    std::io::stderr(),
                    "key {} with {}; it is shown this once",
                    made.id,
                    made.scopes
                )?;
            }
        }
        Command::List { all, limit, json } => {
            let filter = KeyFilter {
                valid_at: (!all).then(now),
                after: None,
                limit: limit.into(),
            };
            let listed = access::list(&pool, &filter).await?;
            if json {
                table::json(&mut out, &listed)?;
            } else if listed.is_empty() {
                writeln!(out, "no keys; `keys create` makes one")?;
            } else {
                print_list(&mut out, &listed)?;
            }
        }
        Command::Revoke { id, reason } => {
            let by = reason.by()?;
            let mut tx = pool.begin().await?;
            let revoked = access::revoke(&mut tx, id, &by, now()).await?;
            tx.commit().await?;
            match revoked {
                Revoked::Done => writeln!(out, "key {id} is revoked")?,
                Revoked::Already => {
                    writeln!(out, "key {id} had expired or was revoked before")?;
                    return Ok(ExitCode::from(EX_NO));
                }
                Revoked::Missing => {
                    return Err(Failure::missing(format!(
                        "there is no key {id} of the worker's; `keys list --all` shows them, and \
                         the web application's keys are revoked there"
                    ))
                    .into());
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The user that an id, a name or an address names.
async fn owner(conn: &mut PgConnection, user: &str) -> anyhow::Result<i32> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    access::owner_of(conn, user).await?.ok_or_else(|| {
        Failure::missing(format!("there is no user {user:?} in the web application")).into()
    })
}

fn not_made(why: NotMade) -> Failure {
    match why {
        NotMade::NoUser(_) | NotMade::NoTemplate(_) => Failure::missing(why.to_string()),
        _ => Failure::usage(why),
    }
}

fn scope(word: &str) -> Result<Scope, String> {
    Scope::from_word(word)
        .ok_or_else(|| "there is no such scope; there are read, operate, finance, admin".into())
}

/// A day's beginning, or a time.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    text.parse()
        .map_err(|_| format!("{text:?} is no time; write 2027-01-31 or 2027-01-31T12:00:00Z"))
}

fn print_list(out: &mut impl std::io::Write, listed: &[ListedKey]) -> anyhow::Result<()> {
    let time = |at: Option<DateTime<Utc>>, none: &str| {
        at.map_or_else(
            || none.to_owned(),
            |at| at.format("%F %H:%M UTC").to_string(),
        )
    };
    let rows = listed.iter().map(|key| {
        let scopes = match key.is_super_admin {
            true => format!("{} (super admin: all)", key.scopes),
            false => key.scopes.to_string(),
        };
        [
            key.id.to_string(),
            key.name.clone(),
            format!("{} ({})", key.username, key.user_status),
            scopes,
            time(key.last_used, "never"),
            time(key.expires_at, "never"),
        ]
    });
    let head = ["id", "name", "user", "scopes", "last used", "expires"];
    writeln!(out, "{}", table(head, rows))?;
    Ok(())
}
