//! New revisions on an operator's word: a release is taken down, purged, or updated, where it is.

use chrono::{DateTime, Utc};
use platform_adapters::{Fault, Kind, ddex, settings::Platform};
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::one::{Operated, Operation, operate_in};
use crate::{
    audit::{self, By, Change},
    catalog,
    delivery::{State, job},
    schedule::RECORDS_LOCK,
};

/// What a takedown or an update came to on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OnPlatform {
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// What follows.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Deliveries that were on their way and were called off, or are being stopped.
    pub called_off: u64,
}

/// What follows on one platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OutcomeOnPlatform)]
#[serde(tag = "outcome", content = "delivery", rename_all = "snake_case")]
pub enum Outcome {
    /// A new delivery.
    Started(Uuid),
    /// One that does the same is on its way already.
    UnderWay(Uuid),
    /// The platform does not have the release: there is nothing to do.
    NotThere,
}

/// A delivery of the release to the platform, as it matters for what comes next.
struct Earlier {
    id: Uuid,
    kind: String,
    purges: bool,
    state: String,
    was_accepted: bool,
    fault_code: Option<String>,
}

impl Earlier {
    fn is_takedown(&self) -> bool {
        self.kind == Kind::Takedown.as_str()
    }

    fn state(&self) -> Option<State> {
        State::from_word(&self.state)
    }

    /// On its way, or its state is one that this version does not know.
    fn is_open(&self) -> bool {
        self.state().is_none_or(|state| !state.is_decided())
    }

    /// Something of it may lie at the partner.
    fn may_be_there(&self) -> bool {
        let state = self.state();
        let is_uncertain = matches!(
            state,
            None | Some(State::Sending | State::Sent | State::Unknown)
        ) || (state == Some(State::Failed)
            && self.fault_code.as_deref() == Some("gave_up"));
        is_uncertain && !self.is_takedown()
    }

    fn was_taken(&self) -> bool {
        self.was_accepted || self.state() == Some(State::Accepted)
    }
}

/// Takes a release down, on one platform or wherever it is: what is still on its way there is called
/// off first. A takedown goes before everything else of its platform.
///
/// # Errors
/// The database's; platforms before that are done.
pub async fn take_down(
    pool: &PgPool,
    release_id: i32,
    platform_id: Option<i32>,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Vec<OnPlatform>, sqlx::Error> {
    let mut done = Vec::new();
    for platform_id in platforms_of(pool, release_id, platform_id).await? {
        let mut tx = pool.begin().await?;
        let going = Going::TakenDown;
        done.push(end_on(&mut tx, release_id, platform_id, going, by, now).await?);
        tx.commit().await?;
    }
    Ok(done)
}

/// Why nothing is purged. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPurged(pub String);

/// Has one platform forget a release, as if it had never been there: a takedown that is said by a
/// PurgeReleaseMessage, for what cannot be taken down in the normal way. It follows a takedown as well.
///
/// # Errors
/// The database's. The inner error: the platform is not there, or its settings do not allow it.
pub async fn purge(
    pool: &PgPool,
    release_id: i32,
    platform_id: i32,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Result<OnPlatform, NotPurged>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let row = catalog::platform_row(&mut tx, platform_id).await?;
    let Some(row) = row else {
        let missing = format!("there is no platform {platform_id}");
        return Ok(Err(NotPurged(missing)));
    };
    match Platform::from_row(&row).and_then(|platform| allows_purges(&platform)) {
        Ok(true) => {}
        Ok(false) => {
            return Ok(Err(NotPurged(format!(
                "platform {platform_id} ({:?}) takes no purges; take the release down instead. \
                 Where the partner agrees to them, set format_specs.ddex.purge of the platform",
                row.name
            ))));
        }
        Err(fault) => return Ok(Err(NotPurged(fault.message))),
    }
    let mut answer = OnPlatform {
        platform_id,
        outcome: Outcome::NotThere,
        called_off: 0,
    };
    if !platforms_of(pool, release_id, Some(platform_id))
        .await?
        .is_empty()
    {
        answer = end_on(&mut tx, release_id, platform_id, Going::Purged, by, now).await?;
    }
    tx.commit().await?;
    Ok(Ok(answer))
}

fn allows_purges(platform: &Platform) -> Result<bool, Fault> {
    if !platform.takes_purges() {
        return Ok(false);
    }
    ddex::check_settings(platform).map(|_| true)
}

/// How a release leaves a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    TakenDown,
    Purged,
}

async fn end_on(
    conn: &mut PgConnection,
    release_id: i32,
    platform_id: i32,
    going: Going,
    by: &By,
    now: DateTime<Utc>,
) -> Result<OnPlatform, sqlx::Error> {
    let is_purge = going == Going::Purged;
    lock_records(conn).await?;
    let earlier = earlier(conn, release_id, platform_id).await?;
    let mut answer = OnPlatform {
        platform_id,
        outcome: Outcome::NotThere,
        called_off: 0,
    };
    if let Some(newest) = earlier.last()
        && newest.is_takedown()
        && newest.is_open()
        && (newest.purges || !is_purge)
    {
        answer.outcome = Outcome::UnderWay(newest.id);
        return Ok(answer);
    }
    let mut is_in_sealed_batch = false;
    for open in earlier.iter().filter(|one| one.is_open()) {
        match operate_in(conn, open.id, Operation::Cancel, by, now).await? {
            Some(Operated::Changed(_) | Operated::Stopping) => answer.called_off += 1,
            // It was sent, or is about to be: the takedown follows it.
            Some(Operated::Refused(_)) => {
                is_in_sealed_batch |= open.state() == Some(State::Batched) && !open.is_takedown();
            }
            None => {}
        }
    }
    // What was taken down lies at the partner still, and can be forgotten.
    let is_there = earlier
        .iter()
        .rev()
        .find(|one| one.was_taken())
        .is_some_and(|taken| !taken.is_takedown() || (is_purge && !taken.purges));
    let was_never_ours = earlier.is_empty();
    if is_there || was_never_ours || is_in_sealed_batch || earlier.iter().any(Earlier::may_be_there)
    {
        let kind = Kind::Takedown;
        let started = start(conn, release_id, platform_id, kind, is_purge, now).await?;
        answer.outcome = Outcome::Started(started);
        let action = match going {
            Going::TakenDown => "release.take_down",
            Going::Purged => "release.purge",
        };
        note(conn, action, release_id, &answer, by, now).await?;
    }
    Ok(answer)
}

/// Sends what changed of a release since it was delivered, to one platform or wherever it is. The
/// attempt finds out whether anything did.
///
/// # Errors
/// The database's; platforms before that are done.
pub async fn update(
    pool: &PgPool,
    release_id: i32,
    platform_id: Option<i32>,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Vec<OnPlatform>, sqlx::Error> {
    let mut done = Vec::new();
    for platform_id in platforms_of(pool, release_id, platform_id).await? {
        let mut tx = pool.begin().await?;
        let answer = update_on(&mut tx, release_id, platform_id, now).await?;
        if let Outcome::Started(_) = answer.outcome {
            note(&mut tx, "release.update", release_id, &answer, by, now).await?;
        }
        tx.commit().await?;
        done.push(answer);
    }
    Ok(done)
}

/// Starts an update on one platform, if the release is there or on its way.
pub(in crate::delivery) async fn update_on(
    conn: &mut PgConnection,
    release_id: i32,
    platform_id: i32,
    now: DateTime<Utc>,
) -> Result<OnPlatform, sqlx::Error> {
    lock_records(conn).await?;
    let earlier = earlier(conn, release_id, platform_id).await?;
    let outcome = match earlier.last() {
        None => Outcome::NotThere,
        Some(newest) if newest.is_takedown() && (newest.is_open() || newest.was_taken()) => {
            Outcome::NotThere
        }
        // Its next attempt reads the catalogue as it is then.
        Some(newest)
            if matches!(
                newest.state(),
                Some(State::Queued | State::Retrying | State::Held)
            ) =>
        {
            Outcome::UnderWay(newest.id)
        }
        Some(newest) => {
            let is_live = earlier
                .iter()
                .rev()
                .find(|one| one.was_taken())
                .is_some_and(|taken| !taken.is_takedown());
            match is_live || newest.is_open() {
                true => {
                    let kind = Kind::Update;
                    Outcome::Started(start(conn, release_id, platform_id, kind, false, now).await?)
                }
                false => Outcome::NotThere,
            }
        }
    };
    Ok(OnPlatform {
        platform_id,
        outcome,
        called_off: 0,
    })
}

/// The platforms where a release is, was, or is on its way to; where one is named, that one.
async fn platforms_of(
    pool: &PgPool,
    release_id: i32,
    platform_id: Option<i32>,
) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select known.platform_id as "platform_id!" from (
               select platform_id from worker.deliveries where release_id = $1
               union
               select platform_id from public.distribution_records
               where release_id = $1 and status = 'distributed'
           ) known
           where $2::integer is null or known.platform_id = $2
           order by 1"#,
        release_id,
        platform_id,
    )
    .fetch_all(pool)
    .await
}

/// One at a time makes deliveries and records: see the fan-out.
async fn lock_records(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock($1)", RECORDS_LOCK)
        .fetch_one(conn)
        .await?;
    Ok(())
}

async fn earlier(
    conn: &mut PgConnection,
    release_id: i32,
    platform_id: i32,
) -> Result<Vec<Earlier>, sqlx::Error> {
    sqlx::query_as!(
        Earlier,
        r#"select id, kind, purges, state, was_accepted, fault_code from worker.deliveries
           where release_id = $1 and platform_id = $2 order by revision"#,
        release_id,
        platform_id,
    )
    .fetch_all(conn)
    .await
}

async fn note(
    conn: &mut PgConnection,
    action: &str,
    release_id: i32,
    answer: &OnPlatform,
    by: &By,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        action,
        object_kind: "release",
        object_id: release_id.to_string(),
        before: None,
        after: Some(json!(answer)),
    };
    audit::record(conn, by, &change, now).await
}

/// A new revision with its job, under the lock of the records. What the release's and the platform's
/// rows do not say any more is taken from the delivery before.
async fn start(
    conn: &mut PgConnection,
    release_id: i32,
    platform_id: i32,
    kind: Kind,
    purges: bool,
    now: DateTime<Utc>,
) -> Result<Uuid, sqlx::Error> {
    let record = record_of(conn, release_id, platform_id, now).await?;
    let id = sqlx::query_scalar!(
        r#"insert into worker.deliveries
               (release_id, platform_id, record_id, kind, revision, release_title, platform_name,
                upc, method, created_at, updated_at, purges)
           select $1, $2, coalesce($4, newest.record_id, 0), $3, coalesce(newest.revision, 0) + 1,
               coalesce(r.title, newest.release_title, 'release ' || $1),
               coalesce(p.name, newest.platform_name, 'platform ' || $2),
               coalesce(r.upc, newest.upc),
               coalesce(lower(trim(p.delivery_method)), newest.method, 'unknown'), $5, $5, $6
           from (values (1)) as one
           left join public.releases r on r.id = $1
           left join public.distribution_platforms p on p.id = $2
           left join lateral (
               select record_id, revision, release_title, platform_name, upc, method
               from worker.deliveries where release_id = $1 and platform_id = $2
               order by revision desc limit 1
           ) newest on true
           returning id"#,
        release_id,
        platform_id,
        kind.as_str(),
        record,
        now,
        purges,
    )
    .fetch_one(&mut *conn)
    .await?;
    job::enqueue_deliver(conn, id, platform_id, kind, now).await?;
    Ok(id)
}

/// The record that shows the release on the platform, pending from now on. `None`: there can be
/// none, since one of the two is gone.
async fn record_of(
    conn: &mut PgConnection,
    release_id: i32,
    platform_id: i32,
    now: DateTime<Utc>,
) -> Result<Option<i32>, sqlx::Error> {
    let used_again = sqlx::query_scalar!(
        r#"update public.distribution_records
           set status = 'pending', error_details = null, last_status_update = $3, updated_at = $3
           where id = (select id from public.distribution_records
                       where release_id = $1 and platform_id = $2 order by id desc limit 1)
           returning id"#,
        release_id,
        platform_id,
        now.naive_utc(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    if used_again.is_some() {
        return Ok(used_again);
    }
    sqlx::query_scalar!(
        r#"insert into public.distribution_records
               (release_id, platform_id, status, last_status_update, created_at, updated_at)
           select r.id, p.id, 'pending', $3, $3, $3
           from public.releases r, public.distribution_platforms p
           where r.id = $1 and p.id = $2
           returning id"#,
        release_id,
        platform_id,
        now.naive_utc(),
    )
    .fetch_optional(conn)
    .await
}
