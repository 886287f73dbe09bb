//! Both sides of every delivery, held against each other: what the worker's database says was sent,
//! and what the partner's ledger says was received.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use platform_adapters::{
    Handover, Kind, Receipt,
    sandbox::{Ledger, ReceivedHandover, Verdict},
};
use serde_json::Value;
use sqlx::{PgPool, types::Json};
use uuid::Uuid;

/// One delivery with both sides of it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) row: DeliveryRow,
    pub(crate) files: Vec<FileAccount>,
    /// What the partner has under the delivery's key.
    pub(crate) received: Option<ReceivedHandover>,
    /// All that is not as it should be, as sentences; empty when all is well.
    pub(crate) problems: Vec<String>,
}

/// A release on a platform, as the database has it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct DeliveryRow {
    /// `None` where the platform was refused before there was a delivery.
    pub(crate) delivery_id: Option<Uuid>,
    pub(crate) release_id: i32,
    pub(crate) release_title: String,
    pub(crate) upc: Option<String>,
    pub(crate) platform_id: i32,
    pub(crate) platform_name: String,
    pub(crate) method: String,
    pub(crate) kind: String,
    revision: i32,
    transmission: i32,
    pub(crate) state: String,
    pub(crate) attempts: i32,
    started_at: Option<DateTime<Utc>>,
    pub(crate) receipt: Option<Json<Receipt>>,
    /// The receipt as it is stored.
    pub(crate) raw_receipt: Option<Value>,
    pub(crate) fault_message: Option<String>,
    pub(crate) fault_remedy: Option<String>,
    schedule_status: String,
    record_status: Option<String>,
}

/// One file on both sides.
#[derive(Debug)]
pub(crate) struct FileAccount {
    pub(crate) name: String,
    pub(crate) size: i64,
    pub(crate) sha256_sent: String,
    pub(crate) sha256_received: Option<String>,
}

#[derive(sqlx::FromRow)]
struct SentFile {
    delivery_id: Uuid,
    name: String,
    size: i64,
    sha256: String,
}

/// Every release on every platform it was scheduled to, in the order of the catalogue.
/// `ledgers` go by the platform's name.
pub(crate) async fn render(
    pool: &PgPool,
    ledgers: &HashMap<String, Ledger>,
) -> anyhow::Result<Vec<Account>> {
    let rows = deliveries(pool)
        .await
        .context("the deliveries cannot be read")?;
    let mut sent: HashMap<Uuid, Vec<SentFile>> = HashMap::new();
    for file in files(pool).await.context("the files sent cannot be read")? {
        sent.entry(file.delivery_id).or_default().push(file);
    }
    let mut received: HashMap<(String, String), Vec<ReceivedHandover>> = HashMap::new();
    for (platform, ledger) in ledgers {
        let handovers = ledger
            .handovers()
            .with_context(|| format!("what {platform} received cannot be read"))?;
        for handover in handovers {
            let place = (platform.clone(), handover.upc.clone());
            received.entry(place).or_default().push(handover);
        }
    }
    let account = |row: DeliveryRow| {
        let sent = row.delivery_id.and_then(|id| sent.remove(&id));
        let place = (
            row.platform_name.clone(),
            row.upc.clone().unwrap_or_default(),
        );
        settle(
            row,
            sent.unwrap_or_default(),
            received.remove(&place).unwrap_or_default(),
        )
    };
    let mut accounts: Vec<Account> = rows.into_iter().map(account).collect();
    // What nobody sent is nobody's: it stands with the first delivery to that platform.
    for ((platform, upc), _) in received {
        if let Some(account) = accounts
            .iter_mut()
            .find(|a| a.row.platform_name == platform)
        {
            let problem = format!("{platform} holds UPC {upc}, which nobody sent");
            account.problems.push(problem);
        }
    }
    Ok(accounts)
}

fn settle(row: DeliveryRow, sent: Vec<SentFile>, received: Vec<ReceivedHandover>) -> Account {
    let mut problems = Vec::new();
    if row.state != "accepted" {
        problems.push(match (&row.fault_message, &row.fault_remedy) {
            (Some(message), Some(remedy)) => {
                format!("{}: {} {remedy}", row.state, sentence(message))
            }
            (Some(message), None) => format!("{}: {}", row.state, sentence(message)),
            _ => format!("is {}", row.state),
        });
    } else {
        if row.schedule_status != "completed" {
            problems.push(format!("its schedule is {}", row.schedule_status));
        }
        let record = row.record_status.as_deref().unwrap_or("missing");
        if record != "distributed" {
            problems.push(format!("its distribution record is {record}"));
        }
    }
    let key = row.key();
    if received.len() > 1 {
        problems.push(format!("the partner has it {} times", received.len()));
    }
    let received = received
        .into_iter()
        .find(|handover| Some(&handover.key) == key.as_ref());
    let arrived = received.as_ref().map(|handover| handover.files.as_slice());
    let files: Vec<FileAccount> = sent
        .into_iter()
        .map(|file| FileAccount {
            sha256_received: arrived
                .and_then(|files| files.iter().find(|other| other.name == file.name))
                .map(|other| other.sha256.clone()),
            name: file.name,
            size: file.size,
            sha256_sent: file.sha256,
        })
        .collect();
    match &received {
        Some(received) => problems.extend(complaints(&row, &files, received)),
        None if row.state == "accepted" => problems.push("the partner does not have it".into()),
        None => {}
    }
    Account {
        row,
        files,
        received,
        problems,
    }
}

/// Faults end without a full stop where no remedy follows.
fn sentence(message: &str) -> String {
    format!("{}.", message.trim_end_matches('.'))
}

/// What is wrong with what arrived.
fn complaints(
    row: &DeliveryRow,
    files: &[FileAccount],
    received: &ReceivedHandover,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let Verdict::Rejected(reason) = &received.verdict {
        problems.push(format!("the partner rejects it: {reason}"));
    }
    problems.extend(received.violations.iter().cloned());
    // An HTTP partner recognises a repetition by its key; a completion marker is written once.
    if received.completed != 1 && row.method != "api" {
        problems.push(format!("it was completed {} times", received.completed));
    }
    if files.is_empty() || files.len() != received.files.len() {
        problems.push(format!(
            "{} files were sent and {} received",
            files.len(),
            received.files.len()
        ));
    }
    for file in files {
        if file.sha256_received.as_ref() != Some(&file.sha256_sent) {
            problems.push(format!("{} is not what was sent", file.name));
        }
    }
    problems
}

impl DeliveryRow {
    /// What names the hand-over at the partner.
    fn key(&self) -> Option<String> {
        let handover = Handover {
            delivery: self.delivery_id?,
            kind: Kind::Insert,
            revision: u32::try_from(self.revision).ok()?,
            transmission: u32::try_from(self.transmission).ok()?,
            partner_release_id: None,
            started_at: self.started_at?,
            batch: None,
            last_stated: None,
            resend_of: None,
            purges: false,
        };
        Some(handover.key())
    }
}

async fn deliveries(pool: &PgPool) -> sqlx::Result<Vec<DeliveryRow>> {
    sqlx::query_as(
        "select target.delivery_id, release.id as release_id, release.title as release_title,
                release.upc, platform.id as platform_id, platform.name as platform_name,
                platform.delivery_method as method, coalesce(delivery.kind, 'insert') as kind,
                coalesce(delivery.revision, 0) as revision,
                coalesce(delivery.transmission, 0) as transmission,
                coalesce(delivery.state, target.state, 'queued') as state,
                coalesce(delivery.attempts, 0) as attempts, delivery.started_at, delivery.receipt,
                delivery.receipt as raw_receipt,
                coalesce(delivery.fault_message, target.failure ->> 'message') as fault_message,
                delivery.fault_remedy, schedule.status as schedule_status,
                record.status::text as record_status
         from public.scheduled_distributions as schedule
         cross join unnest(schedule.platform_ids) as wanted (platform_id)
         join public.releases as release on release.id = schedule.release_id
         join public.distribution_platforms as platform on platform.id = wanted.platform_id
         left join worker.schedule_targets as target
             on target.schedule_id = schedule.id and target.platform_id = platform.id
         left join worker.deliveries as delivery on delivery.id = target.delivery_id
         left join public.distribution_records as record on record.id = delivery.record_id
         order by release.id, platform.id",
    )
    .fetch_all(pool)
    .await
}

async fn files(pool: &PgPool) -> sqlx::Result<Vec<SentFile>> {
    sqlx::query_as(
        "select file.delivery_id, file.name, file.size, file.sha256
         from worker.delivery_files as file
         join worker.deliveries as delivery
             on delivery.id = file.delivery_id and delivery.transmission = file.transmission
         order by file.delivery_id, file.position",
    )
    .fetch_all(pool)
    .await
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::PathBuf};

    use platform_adapters::sandbox::ReceivedFile;

    use super::*;

    fn row(method: &str) -> DeliveryRow {
        DeliveryRow {
            delivery_id: Some(Uuid::from_u128(7)),
            release_id: 1,
            release_title: "Midnight Ferry".into(),
            upc: Some("042601000119".into()),
            platform_id: 2,
            platform_name: "Tidepool".into(),
            method: method.into(),
            kind: "insert".into(),
            revision: 1,
            transmission: 1,
            state: "accepted".into(),
            attempts: 1,
            started_at: Some(jobs::clock::system()()),
            receipt: None,
            raw_receipt: None,
            fault_message: None,
            fault_remedy: None,
            schedule_status: "completed".into(),
            record_status: Some("distributed".into()),
        }
    }

    fn sent() -> Vec<SentFile> {
        vec![SentFile {
            delivery_id: Uuid::from_u128(7),
            name: "cover.jpg".into(),
            size: 3,
            sha256: "aa".into(),
        }]
    }

    fn received(row: &DeliveryRow) -> ReceivedHandover {
        ReceivedHandover {
            key: row.key().unwrap(),
            partner: "Tidepool".into(),
            kind: "insert".into(),
            upc: "042601000119".into(),
            partner_release_id: "rel-1".into(),
            received_at: jobs::clock::system()(),
            folder: PathBuf::from("handovers/1"),
            media_folder: PathBuf::from("handovers/1"),
            documents: Vec::new(),
            files: vec![ReceivedFile {
                name: "cover.jpg".into(),
                size: 3,
                sha256: "aa".into(),
            }],
            verdict: Verdict::Accepted,
            violations: Vec::new(),
            completed: 1,
            asked: 0,
            markers: BTreeMap::new(),
            fingerprint: String::new(),
        }
    }

    /// What is said of a hand-over that was tampered with.
    fn problems(method: &str, tamper: impl Fn(&mut DeliveryRow, &mut ReceivedHandover)) -> String {
        let mut row = row(method);
        let mut handover = received(&row);
        tamper(&mut row, &mut handover);
        settle(row, sent(), vec![handover]).problems.join("; ")
    }

    #[test]
    fn both_sides_agree() {
        assert_eq!(problems("sftp", |_, _| {}), "");
        assert_eq!(
            problems("api", |_, received| received.completed = 2),
            "",
            "recognised by its key"
        );
    }

    #[test]
    fn whatever_differs_is_said() {
        let cases = [
            (
                problems("sftp", |_, received| received.completed = 2),
                "it was completed 2 times",
            ),
            (
                problems("api", |_, received| received.files[0].sha256 = "bb".into()),
                "cover.jpg is not what was sent",
            ),
            (
                problems("api", |_, received| received.files.clear()),
                "1 files were sent and 0 received; cover.jpg is not what was sent",
            ),
            (
                problems("api", |_, received| received.key = "other".into()),
                "the partner does not have it",
            ),
            (
                problems("api", |_, r| r.verdict = Verdict::Rejected("no".into())),
                "the partner rejects it: no",
            ),
            (
                problems("ddex", |_, r| r.violations.push("no artwork".into())),
                "no artwork",
            ),
            (
                problems("api", |row, _| row.schedule_status = "partial".into()),
                "its schedule is partial",
            ),
            (
                problems("api", |row, _| row.record_status = None),
                "its distribution record is missing",
            ),
            (
                problems("api", |row, _| {
                    row.state = "held".into();
                    row.fault_message = Some("The host key changed.".into());
                    row.fault_remedy = Some("Ask the partner.".into());
                }),
                "held: The host key changed. Ask the partner.",
            ),
        ];
        for (said, expected) in cases {
            assert_eq!(said, expected);
        }
        let row = row("api");
        let twice = vec![received(&row), received(&row)];
        let account = settle(row, sent(), twice);
        assert_eq!(account.problems, ["the partner has it 2 times"]);
    }
}
