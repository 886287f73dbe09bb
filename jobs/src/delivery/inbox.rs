//! Acknowledgements where a platform's partner puts all of them: looked for now and then, whatever
//! deliveries still wait. So a word is heard that comes late, or contradicts an earlier one. A file is
//! heard once, when it is complete; what is in it stays as evidence of its delivery.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use platform_adapters::{Code, Fault, Said, Status, WordFile};
use serde::Deserialize;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Services, State,
    acknowledge::{Acknowledgement, Heard, Word, acknowledge},
    adapters::Known,
    batch,
    outcome::OutcomeError,
    resend, row,
};
use crate::{catalog, database::storable};

/// When partners' folders of acknowledgements are looked into (configuration `inbox`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboxSettings {
    /// Seconds between two looks; 0: never.
    pub scan_s: u64,
    /// Days after the last hand-over to a platform for which its folder is looked into.
    pub days: u16,
    /// Seconds that a file which cannot be read must stay as it is until it counts as wrong rather
    /// than as being written.
    pub settle_s: u32,
}

impl Default for InboxSettings {
    fn default() -> Self {
        Self {
            scan_s: 300,
            days: 90,
            settle_s: 300,
        }
    }
}

/// Looks into all folders until `shutdown`.
pub async fn watch_inboxes(
    services: Arc<Services>,
    settings: InboxSettings,
    shutdown: CancellationToken,
) {
    if settings.scan_s == 0 {
        return;
    }
    while !shutdown.is_cancelled() {
        if let Err(error) = look_everywhere(&services, &settings).await {
            tracing::warn!("acknowledgements could not be looked for, trying again: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(settings.scan_s)) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// One look into the folders of all platforms that had something lately. A platform that cannot be
/// looked at does not keep the others from it. The answer is the number of files dealt with.
///
/// # Errors
/// The database's.
pub async fn look_everywhere(
    services: &Services,
    settings: &InboxSettings,
) -> Result<u64, sqlx::Error> {
    let now = (services.clock)();
    let since = now - TimeDelta::days(settings.days.into());
    let mut conn = services.pool.acquire().await?;
    let busy = sqlx::query_scalar!(
        r#"select p.id from public.distribution_platforms p
           where exists (select from worker.deliveries d
                         where d.platform_id = p.id and d.sent_at >= $1)
             and not exists (select from worker.queues q
                             where q.name = 'deliver/' || p.id and q.paused_at is not null)
           order by p.id"#,
        since,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut heard = 0;
    for id in busy {
        let Some(row) = catalog::platform_row(&mut conn, id).await? else {
            continue;
        };
        let Ok(known) = services.adapters.get(&row) else {
            // Its deliveries say what is wrong with its row.
            continue;
        };
        match look(services, settings, id, &known).await {
            Ok(found) => heard += found,
            Err(Looked::Database(error)) => return Err(error),
            Err(Looked::Fault(fault)) => {
                tracing::info!(
                    platform.id = id,
                    fault.code = fault.code.as_str(),
                    "acknowledgements of {} could not be looked for: {fault}",
                    row.name
                );
            }
        }
    }
    Ok(heard)
}

/// Why a folder was not looked through.
#[derive(Debug, thiserror::Error)]
enum Looked {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Fault(#[from] Fault),
}

async fn look(
    services: &Services,
    settings: &InboxSettings,
    platform: i32,
    known: &Known,
) -> Result<u64, Looked> {
    let files = known.adapter.word_files().await?;
    let mut heard = 0;
    for file in files {
        let now = (services.clock)();
        let mut conn = services.pool.acquire().await?;
        let Some(seen_at) = to_read(&mut conn, platform, &file, now).await? else {
            continue;
        };
        drop(conn);
        let said = match known.adapter.read_words(&file).await {
            Ok(said) => Ok(said),
            Err(fault) if fault.code == Code::PartnerError => Err(fault),
            Err(fault) => return Err(fault.into()),
        };
        let settled = now - seen_at >= TimeDelta::seconds(settings.settle_s.into());
        match said {
            Ok(said) => heard += u64::from(hear(services, platform, &file, said, now).await?),
            // It may still be being written.
            Err(_) if !settled => {}
            Err(fault) => {
                let mut conn = services.pool.acquire().await?;
                finish(&mut conn, platform, &file, Some(&fault.message), now).await?;
                tracing::warn!(platform.id = platform, file.name, "{fault}");
                heard += 1;
            }
        }
    }
    Ok(heard)
}

/// Since when a file has been as it is; `None` where it was dealt with.
async fn to_read(
    conn: &mut PgConnection,
    platform: i32,
    file: &WordFile,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let row = sqlx::query!(
        r#"insert into worker.acknowledgement_files as known (platform_id, name, size, seen_at)
           values ($1, $2, $3, $4)
           on conflict (platform_id, name) do update set
               seen_at = case when known.size = excluded.size then known.seen_at
                         else excluded.seen_at end,
               heard_at = case when known.size = excluded.size then known.heard_at end,
               size = excluded.size
           returning seen_at, heard_at"#,
        platform,
        &*storable(&file.name),
        i64::try_from(file.size).unwrap_or(i64::MAX),
        now,
    )
    .fetch_one(conn)
    .await?;
    Ok(row.heard_at.is_none().then_some(row.seen_at))
}

async fn finish(
    conn: &mut PgConnection,
    platform: i32,
    file: &WordFile,
    problem: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update worker.acknowledgement_files set heard_at = $3, problem = $4
           where platform_id = $1 and name = $2"#,
        platform,
        &*storable(&file.name),
        now,
        problem.map(|problem| storable(problem).into_owned()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether what was handed over is not on record, because the daemon died before it wrote it down, and
/// an attempt will look at the partner. The word waits for that: it would end the delivery without
/// anybody knowing which files the partner has.
async fn will_be_looked_at(conn: &mut PgConnection, said: &Said) -> Result<bool, sqlx::Error> {
    let Some((id, _, transmission)) = platform_adapters::read_key(&said.key) else {
        return Ok(false);
    };
    sqlx::query_scalar!(
        r#"select exists (
               select from worker.deliveries d
               join worker.jobs j on j.unique_key = 'deliver/' || d.id
                and j.state in ('available', 'running')
               where d.id = $1 and d.transmission = $2 and d.state = 'unknown'
                 and not exists (select from worker.delivery_files f
                                 where f.delivery_id = d.id and f.transmission = d.transmission)
           ) as "will!""#,
        id,
        i32::try_from(transmission).unwrap_or(i32::MAX),
    )
    .fetch_one(conn)
    .await
}

/// Hears all that a file says, in one transaction with the note that it was heard. False: another
/// daemon did, or it is read again with the next look.
async fn hear(
    services: &Services,
    platform: i32,
    file: &WordFile,
    said: Vec<Said>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let mut tx = super::begin(&services.pool).await?;
    let open = sqlx::query_scalar!(
        r#"select heard_at is null as "open!" from worker.acknowledgement_files
           where platform_id = $1 and name = $2 for update"#,
        platform,
        &*storable(&file.name),
    )
    .fetch_optional(&mut *tx)
    .await?;
    if open != Some(true) {
        return Ok(false);
    }
    for one in &said {
        if will_be_looked_at(&mut tx, one).await? {
            return Ok(false);
        }
    }
    let mut problems = Vec::new();
    for one in said {
        let key = one.key.clone();
        for problem in hear_said(&mut tx, services, platform, file, one, now).await? {
            tracing::warn!(
                platform.id = platform,
                file.name,
                message.id = key,
                "{problem}"
            );
            problems.push(problem);
        }
    }
    let problem = (!problems.is_empty()).then(|| problems.join("; "));
    finish(&mut tx, platform, file, problem.as_deref(), now).await?;
    tx.commit().await?;
    Ok(true)
}

/// What stands against one word, if anything does: on one hand-over, or on those of a batch.
async fn hear_said(
    conn: &mut PgConnection,
    services: &Services,
    platform: i32,
    file: &WordFile,
    said: Said,
    now: DateTime<Utc>,
) -> Result<Vec<String>, sqlx::Error> {
    if let Some((id, _, transmission)) = platform_adapters::read_key(&said.key) {
        let of = (id, transmission);
        let problem = hear_one(conn, services, platform, file, of, said, now).await?;
        return Ok(problem.into_iter().collect());
    }
    let significant = |bar_code: &str| bar_code.trim().trim_start_matches('0').to_owned();
    let wanted = said.release_id.as_deref().map(significant);
    let mut members = batch::members_of(conn, platform, &said.key).await?;
    members.retain(|one| {
        let is_wanted = |wanted: &String| *wanted == significant(&one.release_key);
        wanted.as_ref().is_none_or(is_wanted)
    });
    if members.is_empty() {
        return Ok(vec![nobody(&said.key)]);
    }
    let mut problems = Vec::new();
    for one in members {
        let (of, said) = ((one.delivery, one.transmission), said.clone());
        problems.extend(hear_one(conn, services, platform, file, of, said, now).await?);
    }
    Ok(problems)
}

fn nobody(key: &str) -> String {
    format!("no delivery to this platform has the key {key:?}")
}

/// What stands against one word on this transmission, if anything does.
async fn hear_one(
    conn: &mut PgConnection,
    services: &Services,
    platform: i32,
    file: &WordFile,
    (id, transmission): (Uuid, u32),
    said: Said,
    now: DateTime<Utc>,
) -> Result<Option<String>, sqlx::Error> {
    let nobody = || Some(nobody(&said.key));
    let Some(mut delivery) = row::lock(conn, id).await? else {
        return Ok(nobody());
    };
    if delivery.platform_id != platform {
        return Ok(nobody());
    }
    // Its batch is about to be noted as complete; then the partner is asked, and its word heard.
    if delivery.state == State::Batched {
        return Ok(None);
    }
    // Names end with the time: one as new or newer was heard already, as the answer to a question.
    let time = file.name.rsplit('_').next().unwrap_or_default();
    let is_known = sqlx::query_scalar!(
        r#"select exists (select from worker.evidence
                          where delivery_id = $1 and transmission = $2 and name like 'ACK\_%'
                            and substring(name from '[^_]*$') collate "C" >= $3) as "known!""#,
        id,
        i32::try_from(transmission).unwrap_or(i32::MAX),
        &*storable(time),
    )
    .fetch_one(&mut *conn)
    .await?;
    if is_known {
        return Ok(None);
    }
    let (word, evidence) = match said.status {
        Status::Pending(_) => return Ok(None),
        Status::Accepted(mut receipt) => {
            let evidence = std::mem::take(&mut receipt.evidence);
            (Word::Accepted(receipt), evidence)
        }
        Status::Rejected { reason, evidence } => (Word::Rejected(reason), evidence),
        Status::Resend {
            wanted,
            reason,
            evidence,
        } => {
            let can = matches!(
                delivery.state,
                State::Sent | State::Accepted | State::Rejected
            );
            if transmission != delivery.transmission || !can {
                return Ok(None);
            }
            if transmission < services.confirm.max_transmissions {
                let fault = resend::asked(&reason, evidence);
                return match resend::begin(conn, &mut delivery, None, wanted, fault, now).await {
                    Ok(_) => Ok(None),
                    Err(OutcomeError::Database(error)) => Err(error),
                    Err(refused) => Ok(Some(refused.to_string())),
                };
            }
            (Word::Rejected(reason), evidence)
        }
    };
    let acknowledgement = Acknowledgement {
        transmission: Some(transmission),
        word,
        evidence,
    };
    let heard = acknowledge(conn, id, acknowledgement, now).await?;
    Ok(match heard {
        Heard::OutOfPlace(state) => Some(format!("the delivery {id} is {state}")),
        Heard::NoSuchDelivery => nobody(),
        Heard::Changed(_) | Heard::Repeated | Heard::Outdated => None,
    })
}
