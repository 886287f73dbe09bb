//! The audit: one row in `worker.audit` for every change by an operator, written in the transaction
//! of the change. Nothing changes or deletes a row.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{access::Scope, database::storable};

/// Objects whose changes hold amounts of money.
const OF_MONEY: [&str; 5] = [
    "royalty_run",
    "royalty_charge",
    "payee",
    "usage_file",
    "daily_stats",
];

/// Who changes something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    actor: String,
    reason: String,
    request_id: Option<String>,
}

/// Nobody changes anything without a name and a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change needs {0}")]
pub struct Unexplained(&'static str);

impl By {
    /// `actor` is `cli:<user>` or `key:<id>`; `reason` is what the audit keeps as the why.
    ///
    /// # Errors
    /// [`Unexplained`] when one of the two says nothing.
    pub fn new(actor: impl Into<String>, reason: impl Into<String>) -> Result<Self, Unexplained> {
        let kept = |text: String| storable(text.trim()).into_owned();
        let (actor, reason) = (kept(actor.into()), kept(reason.into()));
        if actor.is_empty() {
            return Err(Unexplained("an actor"));
        }
        if reason.is_empty() {
            return Err(Unexplained("a reason"));
        }
        Ok(Self {
            actor,
            reason,
            request_id: None,
        })
    }

    /// Names the HTTP request that the change came with.
    #[must_use]
    pub fn with_request(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into().replace('\0', "\u{fffd}"));
        self
    }

    /// Who.
    #[must_use]
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// One change.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// What was done: `delivery.hold`.
    pub action: &'a str,
    /// To what: `delivery`.
    pub object_kind: &'a str,
    /// Its id.
    pub object_id: String,
    /// What of it changed, as it was; `None` where there was nothing.
    pub before: Option<Value>,
    /// As it is now; `None` where nothing is left.
    pub after: Option<Value>,
}

/// Writes the row of a change, in the transaction of the change.
///
/// # Errors
/// The database's.
pub async fn record(
    conn: &mut PgConnection,
    by: &By,
    change: &Change<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into worker.audit
               (at, actor, action, object_kind, object_id, before, after, reason, request_id)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
        now,
        by.actor,
        change.action,
        change.object_kind,
        change.object_id,
        change.before,
        change.after,
        by.reason,
        by.request_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A row of the audit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
#[expect(missing_docs, reason = "the columns of worker.audit")]
pub struct Entry {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub action: String,
    pub object_kind: String,
    pub object_id: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: String,
    pub request_id: Option<String>,
}

impl Entry {
    /// With a word in the place of what it holds of money.
    fn without_amounts(mut self) -> Self {
        if OF_MONEY.contains(&self.object_kind.as_str()) {
            for value in [&mut self.before, &mut self.after].into_iter().flatten() {
                *value = json!({"withheld": format!("amounts need scope {}", Scope::Finance)});
            }
        }
        self
    }
}

/// What was done, the newest first: all, or what was done to one object.
///
/// # Errors
/// The database's.
pub async fn list(
    pool: &PgPool,
    object: Option<(&str, &str)>,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let (object_kind, object_id) = object.map(|(kind, id)| (kind.into(), id.into())).unzip();
    let filter = Filter {
        object_kind,
        object_id,
        sees_amounts: true,
        limit,
        ..Filter::default()
    };
    search(pool, &filter).await
}

/// Which rows: all that fit every condition given, the newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `object_kind`.
    pub object_kind: Option<String>,
    /// `object_id`.
    pub object_id: Option<String>,
    /// `actor`.
    pub actor: Option<String>,
    /// `action`, or the part of it before its full stop: `delivery`.
    pub action: Option<String>,
    /// `request_id`.
    pub request_id: Option<String>,
    /// Only those before this one in the list's order.
    pub after: Option<Uuid>,
    /// Whoever asks may see what rows hold of money.
    pub sees_amounts: bool,
    /// At most so many.
    pub limit: i64,
}

/// The rows that fit. Amounts of money are left out of them unless the filter says otherwise.
///
/// # Errors
/// The database's.
pub async fn search(pool: &PgPool, filter: &Filter) -> Result<Vec<Entry>, sqlx::Error> {
    let text = |value: &Option<String>| value.as_deref().map(|text| storable(text).into_owned());
    let (action, part) = match text(&filter.action) {
        Some(part) if !part.contains('.') => (None, Some(part)),
        whole => (whole, None),
    };
    let entries = sqlx::query_as!(
        Entry,
        r#"select id, at, actor, action, object_kind, object_id, before, after, reason, request_id
           from worker.audit
           where ($1::text is null or object_kind = $1) and ($2::text is null or object_id = $2)
             and ($3::text is null or actor = $3)
             and ($4::text is null or action = $4)
             -- The signs between a full stop and the one after it.
             and ($8::text is null or action >= $8 || '.' and action < $8 || '/')
             and ($5::text is null or request_id = $5)
             and ($6::uuid is null or id < $6)
           order by id desc limit $7"#,
        text(&filter.object_kind),
        text(&filter.object_id),
        text(&filter.actor),
        action,
        text(&filter.request_id),
        filter.after,
        filter.limit,
        part,
    )
    .fetch_all(pool)
    .await?;
    if filter.sees_amounts {
        return Ok(entries);
    }
    Ok(entries.into_iter().map(Entry::without_amounts).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_an_actor_and_a_reason() {
        assert!(By::new("cli:ada", " ").is_err());
        assert!(By::new("", "because").is_err());
        let by = By::new("cli:ada", " wrong cover\0 ").unwrap();
        assert_eq!(by.reason(), "wrong cover\u{fffd}");
    }
}
