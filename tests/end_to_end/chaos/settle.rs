//! After a storm: what an operator does by the runbook until every delivery is decided.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use uuid::Uuid;

use super::{stage::Stage, storm::Storm};

/// How long all may take, and what each delivery adds.
const PATIENCE: Duration = Duration::from_secs(600);
const PATIENCE_EACH: Duration = Duration::from_millis(60);
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A command that takes longer is told of.
const SLOW: Duration = Duration::from_secs(5);
/// So long nobody hurries what waits for its next attempt.
const ITSELF: Duration = Duration::from_secs(10);
/// Deliveries named in one command.
const AT_ONCE: usize = 500;
const REASON: &str = "after the storm";

/// An operator at the command line, and what was done so far, by the audit's name of it.
pub(super) struct Operator<'a> {
    stage: &'a Stage,
    pub(super) done: BTreeMap<String, i64>,
}

/// A delivery that is not as it should be.
struct Open {
    id: Uuid,
    release: i32,
    platform: i32,
    state: String,
    attempts: i32,
    job: Option<String>,
    fault: Option<String>,
}

impl<'a> Operator<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            done: BTreeMap::new(),
        }
    }

    /// Looks after everything until all is decided. What is not, when patience is over.
    pub(super) async fn settle(&mut self, storm: &mut Storm<'_>, all: u64) -> Vec<String> {
        let began = Instant::now();
        let patience = PATIENCE + PATIENCE_EACH * u32::try_from(all).unwrap();
        loop {
            let looked = Instant::now();
            while looked.elapsed() < LOOK_EVERY {
                storm.crew.tend();
                // A poisoned job kills whoever takes it up, to its end.
                storm.hunt(self.stage).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let open = self.open().await;
            if open.is_empty() && self.open_schedules().await == 0 {
                return Vec::new();
            }
            eprintln!(
                "           {} of {} are open after {:.0} s",
                open.len(),
                self.count().await,
                began.elapsed().as_secs_f64()
            );
            if began.elapsed() > patience {
                return open.iter().map(describe).collect();
            }
            self.look_after_platforms().await;
            self.look_after(&open, began.elapsed() > ITSELF).await;
            self.retry_the_dead().await;
        }
    }

    /// Those that are not where they should end.
    async fn open(&self) -> Vec<Open> {
        type Row = (Uuid, i32, i32, String, i32, Option<String>, Option<String>);
        let rows: Vec<Row> = sqlx::query_as(
            "select d.id, d.release_id, d.platform_id, d.state, d.attempts, j.state, d.fault_message
             from worker.deliveries d left join lateral (
                 select state from worker.jobs
                 where arguments->>'delivery' = d.id::text order by id desc limit 1) j on true
             where d.state <> 'accepted'
             order by d.id",
        )
        .fetch_all(self.stage.site.pool())
        .await
        .unwrap();
        let all =
            rows.into_iter().map(
                |(id, release, platform, state, attempts, job, fault)| Open {
                    id,
                    release,
                    platform,
                    state,
                    attempts,
                    job,
                    fault,
                },
            );
        all.filter(|one| !self.is_as_it_should_be(one)).collect()
    }

    fn is_as_it_should_be(&self, one: &Open) -> bool {
        let is_hostile = self.stage.hostile.contains(&one.release);
        let is_poisoned = one.platform == self.stage.poisoned_platform();
        is_hostile && one.state == "failed"
            || is_poisoned
                && matches!(one.state.as_str(), "failed" | "unknown")
                && one.job.as_deref() == Some("dead")
    }

    async fn count(&self) -> i64 {
        sqlx::query_scalar("select count(*) from worker.deliveries")
            .fetch_one(self.stage.site.pool())
            .await
            .unwrap()
    }

    async fn open_schedules(&self) -> i64 {
        sqlx::query_scalar(
            "select count(*) from scheduled_distributions s
             where status in ('pending', 'scheduled')
                or status = 'processing' and exists (
                    select from worker.schedule_targets t join worker.deliveries d on d.id = t.delivery_id
                    where t.schedule_id = s.id and t.state = 'open' and d.platform_id <> $1)",
        )
        .bind(self.stage.poisoned_platform())
        .fetch_one(self.stage.site.pool())
        .await
        .unwrap()
    }

    /// Resumes what is paused, and probes partners that are left alone.
    async fn look_after_platforms(&mut self) {
        for partner in self.stage.all_partners() {
            let id = partner.platform.to_string();
            let row: Option<(bool, bool)> = sqlx::query_as(
                "select paused_at is not null, circuit_opened_at is not null
                 from worker.queues where name = 'deliver/' || $1",
            )
            .bind(partner.platform)
            .fetch_optional(self.stage.site.pool())
            .await
            .unwrap();
            let (is_paused, is_open) = row.unwrap_or_default();
            for (is_needed, verb) in [(is_paused, "resume"), (is_open, "probe")] {
                if is_needed {
                    self.cli(&["platforms", verb, &id, "--json"]).await;
                    self.note(&format!("platform.{verb}"), 1);
                }
            }
        }
    }

    /// What goes on by itself is left alone for a while.
    async fn look_after(&mut self, open: &[Open], is_late: bool) {
        let mut operations: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for one in open {
            let verb = match (one.state.as_str(), one.job.as_deref()) {
                ("held", _) => "release",
                ("failed" | "rejected", _) => "redeliver",
                // Nobody goes on with it: what does the partner say?
                ("unknown", Some("held") | None) => {
                    self.ask_partner(one).await;
                    continue;
                }
                // Its daemons were killed, by nothing that is in it.
                ("unknown", Some("dead")) => "retry",
                // A daemon whose clock was off may have put it off for a day.
                ("retrying" | "unknown" | "sent" | "queued", _) if is_late => "retry",
                _ => continue,
            };
            operations.entry(verb).or_default().push(one.id.to_string());
        }
        for (verb, ids) in operations {
            for some in ids.chunks(AT_ONCE) {
                let mut words = vec!["deliveries", verb, "--json"];
                words.extend(some.iter().map(String::as_str));
                let said = self.cli(&words).await;
                // Some may have gone on by themselves since.
                let changed = said["changed"].as_i64().unwrap_or_default();
                self.note(&format!("delivery.{verb}"), changed);
            }
        }
    }

    /// Looks at the partner whether it has it, and writes its answer down.
    async fn ask_partner(&mut self, one: &Open) {
        let mut partners = self.stage.all_partners();
        let partner = partners.find(|partner| partner.platform == one.platform);
        let handovers = partner.unwrap().host.ledger().handovers().unwrap();
        let transmission: i32 =
            sqlx::query_scalar("select transmission from worker.deliveries where id = $1")
                .bind(one.id)
                .fetch_one(self.stage.site.pool())
                .await
                .unwrap();
        let is_there = handovers.iter().any(|handover| {
            platform_adapters::read_key(&handover.key).is_some_and(|(delivery, _, number)| {
                delivery == one.id && i32::try_from(number) == Ok(transmission)
            })
        });
        let word = if is_there { "--accepted" } else { "--absent" };
        let id = one.id.to_string();
        let said = self
            .cli(&["deliveries", "acknowledge", &id, word, "--json"])
            .await;
        if said["heard"] == "changed" {
            self.note("delivery.acknowledge", 1);
        }
    }

    /// Jobs that are not a delivery's own.
    async fn retry_the_dead(&mut self) {
        let kinds: Vec<String> = sqlx::query_scalar(
            "select distinct kind from worker.jobs where state = 'dead' and kind <> 'deliver'",
        )
        .fetch_all(self.stage.site.pool())
        .await
        .unwrap();
        for kind in kinds {
            self.cli(&["jobs", "retry", "--kind", &kind, "--yes", "--json"])
                .await;
        }
    }

    async fn cli(&self, words: &[&str]) -> Value {
        let words = [words, &["--reason", REASON]].concat();
        let began = Instant::now();
        let answer = self.stage.site.cli(&words).await;
        if began.elapsed() > SLOW {
            let verb = words[..3].join(" ");
            eprintln!("           {verb} took {:?}", began.elapsed());
        }
        if !matches!(answer.code, Some(0 | 1 | 64)) {
            eprintln!("           {words:?}: {answer:?}");
        }
        serde_json::from_str(&answer.stdout).unwrap_or_default()
    }

    fn note(&mut self, action: &str, count: i64) {
        *self.done.entry(action.to_owned()).or_default() += count;
    }
}

fn describe(one: &Open) -> String {
    format!(
        "delivery {} of release {} to platform {} is {} after {} attempts, its job {}: {}",
        one.id,
        one.release,
        one.platform,
        one.state,
        one.attempts,
        one.job.as_deref().unwrap_or("gone"),
        one.fault.as_deref().unwrap_or("no fault"),
    )
}
