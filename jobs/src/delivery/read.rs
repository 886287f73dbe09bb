//! What an operator reads of deliveries: the list, and the whole story of one.

use chrono::{DateTime, Utc};
use platform_adapters::Handover;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    batch::{self, InBatch},
    row::kind,
    selection::{Conditions, Selection},
};

/// Which deliveries are listed, the newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The conditions.
    pub selection: Selection,
    /// Only those before this one in the list's order, which is the end of the page before.
    pub after: Option<Uuid>,
    /// At most so many.
    pub limit: i64,
}

/// A delivery as lists show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct Listed {
    /// `worker.deliveries.id`.
    pub id: Uuid,
    /// `releases.id`.
    pub release_id: i32,
    /// The release's title when it was scheduled.
    pub release: String,
    /// The release's UPC when it was scheduled.
    pub upc: Option<String>,
    /// `distribution_platforms.id`.
    pub platform_id: i32,
    /// The platform's name when it was scheduled.
    pub platform: String,
    /// `api`, `sftp` or `ddex`.
    pub method: String,
    /// `insert`, `update` or `takedown`.
    pub kind: String,
    /// Version of the release at this platform.
    pub revision: i32,
    /// Rises when it is handed over once more.
    pub transmission: i32,
    /// Where it stands.
    pub state: String,
    /// The id at the partner of the batch that it is in, or on its way into.
    pub batch: Option<String>,
    /// Attempts that counted.
    pub attempts: i32,
    /// When it is tried next (UTC).
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What the partner gave back.
    pub receipt: Option<Value>,
    /// The last fault's code.
    pub fault_code: Option<String>,
    /// What happened.
    pub fault_message: Option<String>,
    /// What to do about it.
    pub fault_remedy: Option<String>,
    /// When it came to be (UTC).
    pub created_at: DateTime<Utc>,
    /// When anything last happened to it (UTC).
    pub updated_at: DateTime<Utc>,
}

impl Listed {
    /// Names what stands here: another after whatever an operator decides upon has changed.
    #[must_use]
    pub fn version(&self) -> String {
        version(&self.state, self.transmission, self.updated_at)
    }
}

pub(super) fn version(state: &str, transmission: i32, updated_at: DateTime<Utc>) -> String {
    format!("{state}-{transmission}-{}", updated_at.timestamp_micros())
}

/// Lists deliveries.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, filter: &Filter) -> Result<Vec<Listed>, sqlx::Error> {
    let selection = &filter.selection;
    let these = selection.conditions(pool, &selection.states).await?;
    sqlx::query_as!(
        Listed,
        r#"select id as "id!", release_id as "release_id!", release_title as "release!", upc,
               platform_id as "platform_id!", platform_name as "platform!", method as "method!",
               kind as "kind!", revision as "revision!", transmission as "transmission!",
               state as "state!", attempts as "attempts!", next_attempt_at,
               (select b.name from worker.batch_releases s join worker.batches b on b.id = s.batch_id
                where s.delivery_id = fitting.id and s.transmission = fitting.transmission
                  and s.left_at is null) as batch, receipt, fault_code,
               fault_message, fault_remedy, created_at as "created_at!", updated_at as "updated_at!"
           from worker.matching_deliveries($1, $2, $3, $4, $5, $6, $7, $8, $9) as fitting
           where $10::uuid is null or id < $10
           order by id desc
           limit $11"#,
        these.one_state,
        these.any_state.as_deref() as _,
        selection.platform_id,
        selection.release_id,
        these.releases.as_deref(),
        these.upcs.as_deref(),
        these.fault_code,
        selection.created_from,
        selection.created_before,
        filter.after,
        filter.limit,
    )
    .fetch_all(pool)
    .await
}

/// How many deliveries fit, counted up to `limit`.
///
/// # Errors
/// The database's.
pub async fn count_matching(
    pool: &PgPool,
    selection: &Selection,
    limit: i64,
) -> Result<i64, sqlx::Error> {
    let these = selection.conditions(pool, &selection.states).await?;
    count_among(pool, &these, Some(limit)).await
}

pub(super) async fn count_among(
    pool: &PgPool,
    these: &Conditions<'_>,
    limit: Option<i64>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from worker.matching_deliveries($1, $2, $3, $4, $5, $6, $7, $8, $9)
               limit $10) fitting"#,
        these.one_state,
        these.any_state.as_deref() as _,
        these.selection.platform_id,
        these.selection.release_id,
        these.releases.as_deref(),
        these.upcs.as_deref(),
        these.fault_code,
        these.selection.created_from,
        these.selection.created_before,
        limit,
    )
    .fetch_one(pool)
    .await
}

/// The whole story of a delivery.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeliveryStory)]
pub struct Story {
    /// The delivery itself.
    #[serde(flatten)]
    pub delivery: Listed,
    /// The batch that it is in, or on its way into.
    pub in_batch: Option<InBatch>,
    /// What is known, where it is not known whether the partner has it.
    pub unknown: Option<InDoubt>,
    /// The files as handed over.
    pub files: Vec<File>,
    /// Its attempts, the oldest first.
    pub attempts_made: Vec<Attempt>,
    /// What is kept of what was sent and received.
    pub evidence: Vec<Document>,
}

/// A hand-over of which it is not known whether it arrived: what a person needs to find out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InDoubt {
    /// Since when it is not known (UTC).
    pub since: DateTime<Utc>,
    /// The last step that is certain.
    pub last_step: String,
    /// The key under which the partner was given it.
    pub key: String,
    /// The folder where the partner was given it.
    pub folder: String,
    /// When this transmission's first attempt began (UTC).
    pub first_sent_at: Option<DateTime<Utc>>,
    /// Files of the package.
    pub files: usize,
    /// Bytes of these files.
    pub bytes: i64,
    /// It was called off: if the partner does not have it, nothing more is sent.
    pub is_called_off: bool,
}

/// A file as handed over.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeliveryFile)]
#[expect(missing_docs, reason = "the columns of worker.delivery_files")]
pub struct File {
    pub transmission: i32,
    pub name: String,
    pub path: String,
    pub size: i64,
    pub sha256: String,
    pub md5: String,
}

/// One try of one of the delivery's jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
#[expect(missing_docs, reason = "the columns of worker.attempts")]
pub struct Attempt {
    pub number: i16,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub outcome: Option<String>,
    pub fault_code: Option<String>,
    pub fault_message: Option<String>,
    pub worker: String,
}

/// A document kept as evidence, without its body.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = EvidenceDocument)]
#[expect(missing_docs, reason = "the columns of worker.evidence")]
pub struct Document {
    pub id: Uuid,
    pub transmission: i32,
    pub attempt: i32,
    pub name: String,
    pub media_type: String,
    pub bytes: i32,
    pub created_at: DateTime<Utc>,
}

/// Reads the story of a delivery; `None` when there is no such delivery.
///
/// # Errors
/// The database's.
pub async fn story(pool: &PgPool, id: Uuid) -> Result<Option<Story>, sqlx::Error> {
    let delivery = sqlx::query_as!(
        Listed,
        r#"select id, release_id, release_title as release, upc, platform_id,
               platform_name as platform, method, kind, revision, transmission, state, attempts,
               next_attempt_at, null::text as batch, receipt, fault_code, fault_message, fault_remedy,
               created_at, updated_at
           from worker.deliveries where id = $1"#,
        id
    )
    .fetch_optional(pool)
    .await?;
    let Some(mut delivery) = delivery else {
        return Ok(None);
    };
    let in_batch = batch::of_delivery(pool, id).await?;
    delivery.batch = in_batch.as_ref().map(|batch| batch.id.clone());
    let files = sqlx::query_as!(
        File,
        r#"select transmission, name, path, size, sha256, md5 from worker.delivery_files
           where delivery_id = $1 order by transmission, position"#,
        id
    );
    let attempts = sqlx::query_as!(
        Attempt,
        r#"select number, started_at, ended_at, outcome, fault_code, fault_message, worker
           from worker.attempts where delivery_id = $1 order by started_at, id"#,
        id
    );
    let evidence = sqlx::query_as!(
        Document,
        r#"select id, transmission, attempt, name, media_type, length(body) as "bytes!", created_at
           from worker.evidence where delivery_id = $1 order by id"#,
        id
    );
    let files = files.fetch_all(pool).await?;
    let unknown = in_doubt(pool, id, &files).await?;
    Ok(Some(Story {
        delivery,
        in_batch,
        unknown,
        files,
        attempts_made: attempts.fetch_all(pool).await?,
        evidence: evidence.fetch_all(pool).await?,
    }))
}

async fn in_doubt(pool: &PgPool, id: Uuid, files: &[File]) -> Result<Option<InDoubt>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select kind, revision, transmission, started_at, unknown_since as "since!",
               coalesce(unknown_reason, '') as "last_step!",
               cancel_requested_at is not null as "is_called_off!"
           from worker.deliveries
           where id = $1 and unknown_since is not null and state not in ('sending', 'canceled')"#,
        id
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let handover = Handover {
        delivery: id,
        kind: kind(&row.kind)?,
        revision: row.revision.unsigned_abs(),
        transmission: row.transmission.unsigned_abs(),
        partner_release_id: None,
        started_at: row.started_at.unwrap_or_default(),
        batch: None,
        last_stated: None,
        resend_of: None,
        purges: false,
    };
    let sent: Vec<&File> = files
        .iter()
        .filter(|file| file.transmission == row.transmission)
        .collect();
    Ok(Some(InDoubt {
        since: row.since,
        last_step: row.last_step,
        key: handover.key(),
        folder: handover.timestamp(),
        first_sent_at: row.started_at,
        files: sent.len(),
        bytes: sent.iter().map(|file| file.size).sum(),
        is_called_off: row.is_called_off,
    }))
}

/// The body of the newest document of this name that is kept of a delivery, or of its batch.
///
/// # Errors
/// The database's.
pub async fn evidence(
    pool: &PgPool,
    delivery: Uuid,
    name: &str,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let kept = sqlx::query_scalar!(
        r#"select body from worker.evidence where delivery_id = $1 and name = $2
           order by id desc limit 1"#,
        delivery,
        name,
    )
    .fetch_optional(pool)
    .await?;
    match kept {
        Some(body) => Ok(Some(body)),
        None => batch::manifest(pool, delivery, name).await,
    }
}

/// A document as it was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name, as the partner or we gave it.
    pub name: String,
    /// Its media type, as it was given.
    pub media_type: String,
    /// The document.
    pub body: Vec<u8>,
}

/// One document of a delivery, by its id.
///
/// # Errors
/// The database's.
pub async fn evidence_by_id(
    pool: &PgPool,
    delivery: Uuid,
    id: Uuid,
) -> Result<Option<Kept>, sqlx::Error> {
    sqlx::query_as!(
        Kept,
        "select name, media_type, body from worker.evidence where id = $1 and delivery_id = $2",
        id,
        delivery,
    )
    .fetch_optional(pool)
    .await
}
