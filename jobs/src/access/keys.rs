//! Keys: rows of the web application's `api_keys` whose `key` is the SHA-256 of a key in hex. A key
//! itself is shown once, when it is made, and stands nowhere.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::{Scopes, fingerprint};
use crate::{
    audit::{self, By, Change},
    database::storable,
};

/// `api_keys.last_used` is not written more often than this: it is for people.
const LAST_USED_EVERY: TimeDelta = TimeDelta::minutes(1);
/// What a key begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "tmw_";
/// The size of `api_keys.name`.
const NAME_CHARACTERS: usize = 50;

/// Whose key it is, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// `api_keys.id`.
    pub key_id: i32,
    /// `api_keys.name`.
    pub key_name: String,
    /// `users.id` of its owner.
    pub user_id: i32,
    /// `users.username` of its owner.
    pub username: String,
    /// What it may do.
    pub scopes: Scopes,
}

impl Admitted {
    /// The name in the audit.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("key:{}", self.key_id)
    }
}

/// Why a key is not accepted. For the audit: whoever presented it is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such key.
    #[error("the key is not known")]
    Unknown,
    /// Its time is over, or it was revoked.
    #[error("key {0} has expired or was revoked")]
    Expired(i32),
    /// Its owner may not act.
    #[error("the owner of key {0} is {1}")]
    OwnerInactive(i32, String),
    /// It is a key for something else.
    #[error("key {0} has no scope of the worker")]
    NoScope(i32),
}

impl Refusal {
    /// The name in the audit of whoever was refused.
    #[must_use]
    pub fn actor(&self) -> Option<String> {
        match self {
            Self::Unknown => None,
            Self::Expired(id) | Self::OwnerInactive(id, _) | Self::NoScope(id) => {
                Some(format!("key:{id}"))
            }
        }
    }
}

struct Row {
    id: i32,
    name: String,
    key: String,
    user_id: i32,
    username: String,
    user_status: String,
    is_super_admin: bool,
    scopes: Vec<String>,
    last_used: Option<chrono::NaiveDateTime>,
    expires_at: Option<chrono::NaiveDateTime>,
}

/// Decides on a key that somebody presented, and notes its use.
///
/// # Errors
/// The database's.
pub async fn admit(
    pool: &PgPool,
    presented: &str,
    now: DateTime<Utc>,
) -> Result<Result<Admitted, Refusal>, sqlx::Error> {
    let hash = fingerprint(presented.as_bytes());
    let row = sqlx::query_as!(
        Row,
        r#"select k.id, k.name, k.key, k.user_id, u.username, u.status::text as "user_status!",
               exists (select from public.super_admins s where s.user_id = u.id) as "is_super_admin!",
               k.scopes, k.last_used, k.expires_at
           from public.api_keys k join public.users u on u.id = k.user_id
           where k.key = $1"#,
        hash
    )
    .fetch_optional(pool)
    .await?
    // The index has compared already; what it took tells at most of a hash that nobody chose.
    .filter(|row| bool::from(row.key.as_bytes().ct_eq(hash.as_bytes())));
    judge(pool, row, now).await
}

/// Decides on a key that was admitted before: it may have been revoked since.
///
/// # Errors
/// The database's.
pub async fn admit_id(
    pool: &PgPool,
    key_id: i32,
    now: DateTime<Utc>,
) -> Result<Result<Admitted, Refusal>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select k.id, k.name, k.key, k.user_id, u.username, u.status::text as "user_status!",
               exists (select from public.super_admins s where s.user_id = u.id) as "is_super_admin!",
               k.scopes, k.last_used, k.expires_at
           from public.api_keys k join public.users u on u.id = k.user_id
           where k.id = $1 and k.key ~ '^[0-9a-f]{64}$'"#,
        key_id
    )
    .fetch_optional(pool)
    .await?;
    judge(pool, row, now).await
}

async fn judge(
    pool: &PgPool,
    row: Option<Row>,
    now: DateTime<Utc>,
) -> Result<Result<Admitted, Refusal>, sqlx::Error> {
    let Some(row) = row else {
        return Ok(Err(Refusal::Unknown));
    };
    if row.expires_at.is_some_and(|end| end.and_utc() <= now) {
        return Ok(Err(Refusal::Expired(row.id)));
    }
    if row.user_status != "active" {
        return Ok(Err(Refusal::OwnerInactive(row.id, row.user_status)));
    }
    let own = Scopes::of_column(&row.scopes);
    if own.is_empty() {
        return Ok(Err(Refusal::NoScope(row.id)));
    }
    let is_noted = row
        .last_used
        .is_some_and(|last| last.and_utc() > now - LAST_USED_EVERY);
    if !is_noted {
        sqlx::query!(
            "update public.api_keys set last_used = $2 where id = $1",
            row.id,
            now.naive_utc(),
        )
        .execute(pool)
        .await?;
    }
    Ok(Ok(Admitted {
        key_id: row.id,
        key_name: row.name,
        user_id: row.user_id,
        username: row.username,
        scopes: if row.is_super_admin {
            Scopes::all()
        } else {
            own
        },
    }))
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// `users.id` of its owner.
    pub user_id: i32,
    /// What people call it.
    pub name: String,
    /// What it may do, besides what the template grants.
    pub scopes: Scopes,
    /// `permission_templates.name` of one that fills in scopes.
    pub template: Option<String>,
    /// Until when it holds (UTC).
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key that was made. `Debug` does not show it.
#[derive(Clone)]
pub struct Created {
    /// `api_keys.id`.
    pub id: i32,
    /// The key: shown now, and never again.
    pub key: String,
    /// What it may do.
    pub scopes: Scopes,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a key was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMade {
    /// There is no such user.
    #[error("there is no user {0}")]
    NoUser(i32),
    /// A key of somebody who may not act would not be accepted.
    #[error("user {0} is {1}; keys of users that are not active are not accepted")]
    UserInactive(i32, String),
    /// There is no such template.
    #[error("there is no permission template {0:?}")]
    NoTemplate(String),
    /// It could do nothing.
    #[error(
        "the key would have no scope: give one of read, operate, finance, admin, or a template that grants one of them as worker:read and so on"
    )]
    NoScope,
    /// The column takes so much.
    #[error("a key's name has 1 to {NAME_CHARACTERS} characters")]
    Name,
    /// It would never have been valid.
    #[error("the key would have expired already")]
    Past,
}

/// Makes a key from 32 random bytes.
///
/// # Errors
/// The database's.
pub async fn create(
    conn: &mut PgConnection,
    new: &NewKey,
    random: [u8; 32],
    by: &By,
    now: DateTime<Utc>,
) -> Result<Result<Created, NotMade>, sqlx::Error> {
    let name = storable(new.name.trim()).into_owned();
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS {
        return Ok(Err(NotMade::Name));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        return Ok(Err(NotMade::Past));
    }
    let status = sqlx::query_scalar!(
        r#"select status::text as "status!" from public.users where id = $1"#,
        new.user_id
    )
    .fetch_optional(&mut *conn)
    .await?;
    match status.as_deref() {
        None => return Ok(Err(NotMade::NoUser(new.user_id))),
        Some("active") => {}
        Some(other) => return Ok(Err(NotMade::UserInactive(new.user_id, other.to_owned()))),
    }
    let mut scopes: Vec<_> = new.scopes.iter().collect();
    if let Some(template) = &new.template {
        match template_scopes(conn, template).await? {
            Some(granted) => scopes.extend(granted.iter()),
            None => return Ok(Err(NotMade::NoTemplate(template.clone()))),
        }
    }
    let scopes = Scopes::of(&scopes);
    if scopes.is_empty() {
        return Ok(Err(NotMade::NoScope));
    }
    let key = format!("{PREFIX}{}", hex::encode(random));
    let id = sqlx::query_scalar!(
        r#"insert into public.api_keys (user_id, name, key, scopes, expires_at, created_at)
           values ($1, $2, $3, $4, $5, $6) returning id"#,
        new.user_id,
        name,
        fingerprint(key.as_bytes()),
        &scopes.words(),
        new.expires_at.map(|end| end.naive_utc()),
        now.naive_utc(),
    )
    .fetch_one(&mut *conn)
    .await?;
    let change = Change {
        action: "key.create",
        object_kind: "key",
        object_id: id.to_string(),
        before: None,
        after: Some(json!({
            "name": name, "user_id": new.user_id, "scopes": scopes, "template": new.template,
            "expires_at": new.expires_at,
        })),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(Ok(Created { id, key, scopes }))
}

async fn template_scopes(
    conn: &mut PgConnection,
    name: &str,
) -> Result<Option<Scopes>, sqlx::Error> {
    let permissions: Option<Value> = sqlx::query_scalar!(
        "select permissions from public.permission_templates where name = $1 order by id limit 1",
        &storable(name),
    )
    .fetch_optional(conn)
    .await?;
    Ok(permissions.map(|permissions| Scopes::of_template(&permissions)))
}

/// What came of revoking a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It is accepted no longer.
    Done,
    /// It had expired, or was revoked before.
    Already,
    /// There is no such key of the worker's.
    Missing,
}

/// Ends a key now, and the console's sessions that began with it.
///
/// # Errors
/// The database's.
pub async fn revoke(
    conn: &mut PgConnection,
    key_id: i32,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Revoked, sqlx::Error> {
    let row = sqlx::query!(
        r#"select name, expires_at from public.api_keys
           where id = $1 and key ~ '^[0-9a-f]{64}$'
             and exists (select from unnest(scopes) as scope (word) where word like 'worker:%')
           for update"#,
        key_id
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else {
        return Ok(Revoked::Missing);
    };
    sqlx::query!(
        "delete from worker.console_sessions where key_id = $1",
        key_id
    )
    .execute(&mut *conn)
    .await?;
    if row.expires_at.is_some_and(|end| end.and_utc() <= now) {
        return Ok(Revoked::Already);
    }
    sqlx::query!(
        "update public.api_keys set expires_at = $2 where id = $1",
        key_id,
        now.naive_utc(),
    )
    .execute(&mut *conn)
    .await?;
    let change = Change {
        action: "key.revoke",
        object_kind: "key",
        object_id: key_id.to_string(),
        before: Some(json!({
            "name": row.name, "expires_at": row.expires_at.map(|end| end.and_utc()),
        })),
        after: Some(json!({"name": row.name, "expires_at": now})),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(Revoked::Done)
}

/// The user that a name or e-mail address names.
///
/// # Errors
/// The database's.
pub async fn owner_of(conn: &mut PgConnection, name: &str) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from public.users where username = $1 or email = $1 order by id limit 1",
        &storable(name),
    )
    .fetch_optional(conn)
    .await
}

/// Which keys are listed, the newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFilter {
    /// Only those that are accepted at this time.
    pub valid_at: Option<DateTime<Utc>>,
    /// Only those before this one in the list's order.
    pub after: Option<i32>,
    /// At most so many.
    pub limit: i64,
}

/// A key as lists show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct ListedKey {
    /// `api_keys.id`.
    pub id: i32,
    /// What people call it.
    pub name: String,
    /// `users.id` of its owner.
    pub user_id: i32,
    /// `users.username` of its owner.
    pub username: String,
    /// `users.status` of its owner: only keys of active ones are accepted.
    pub user_status: String,
    /// The owner is a super admin: the key has all scopes.
    pub is_super_admin: bool,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was used last (UTC), to the minute.
    pub last_used: Option<DateTime<Utc>>,
    /// Until when it holds (UTC); one that was revoked: since when it does not.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was made (UTC).
    pub created_at: Option<DateTime<Utc>>,
}

/// Lists the worker's keys. Keys of the web application are not among them.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, filter: &KeyFilter) -> Result<Vec<ListedKey>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select k.id, k.name, k.user_id, u.username, u.status::text as "user_status!",
               exists (select from public.super_admins s where s.user_id = u.id) as "is_super_admin!",
               k.scopes, k.last_used, k.expires_at, k.created_at
           from public.api_keys k join public.users u on u.id = k.user_id
           where k.key ~ '^[0-9a-f]{64}$'
             and exists (select from unnest(k.scopes) as scope (word) where word like 'worker:%')
             and ($1::integer is null or k.id < $1)
             and ($2::timestamp is null or k.expires_at is null or k.expires_at > $2)
           order by k.id desc limit $3"#,
        filter.after,
        filter.valid_at.map(|at| at.naive_utc()),
        filter.limit,
    )
    .fetch_all(pool)
    .await?;
    let keys = rows.into_iter().map(|row| ListedKey {
        id: row.id,
        name: row.name,
        user_id: row.user_id,
        username: row.username,
        user_status: row.user_status,
        is_super_admin: row.is_super_admin,
        scopes: Scopes::of_column(&row.scopes),
        last_used: row.last_used.map(|at| at.and_utc()),
        expires_at: row.expires_at.map(|at| at.and_utc()),
        created_at: row.created_at.map(|at| at.and_utc()),
    });
    Ok(keys.collect())
}
