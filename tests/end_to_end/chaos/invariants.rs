//! What must hold after any storm. Each is a question to the database or a look at what the partners
//! have; the answer is what is wrong.

use std::collections::{BTreeMap, HashMap};

use platform_adapters::{
    read_key,
    sandbox::{ReceivedHandover, Verdict},
};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::stage::{Partner, Stage};

/// Questions whose every answer is something wrong. `$1` is the platform of poisoned releases, `$2`
/// releases that must fail.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "a schedule's platform without a delivery",
        "select s.id || ' has no target for ' || platform from scheduled_distributions s
         cross join unnest(s.platform_ids) platform
         where not exists (select from worker.schedule_targets t
             where t.schedule_id = s.id and t.platform_id = platform and t.delivery_id is not null)",
    ),
    (
        "two deliveries of a release to a platform",
        "select release_id || ' to ' || platform_id || ': ' || count(*) from worker.deliveries
         group by release_id, platform_id having count(*) > 1",
    ),
    (
        "a delivery that is not decided",
        "select id || ': ' || state from worker.deliveries
         where state not in ('accepted', 'rejected', 'failed', 'canceled') and platform_id <> $1",
    ),
    (
        "a delivery that did not end as it should",
        "select id || ': ' || state || ', ' || coalesce(fault_message, '') from worker.deliveries
         where platform_id <> $1 and state <> case when release_id = any($2) then 'failed' else 'accepted' end",
    ),
    (
        // What an operator says is evidence too; then nobody may know the files any more.
        "an accepted delivery without evidence, receipt or files",
        "select d.id || ' (transmission ' || d.transmission || ', release ' || d.release_id || ', platform '
             || d.platform_id || '): ' || coalesce(d.receipt::text, 'no receipt')
         from worker.deliveries d where d.state = 'accepted' and (d.receipt is null
             or not exists (select from worker.evidence e where e.delivery_id = d.id)
             or not exists (select from worker.evidence e
                 where e.delivery_id = d.id and e.name = 'operator-acknowledgement.json')
             and not exists (select from worker.delivery_files f
                 where f.delivery_id = d.id and f.transmission = d.transmission))",
    ),
    (
        "a failed delivery without its reason",
        "select id::text from worker.deliveries where state in ('failed', 'unknown')
             and (fault_code is null or fault_message is null or fault_remedy is null)",
    ),
    (
        "more attempts than the limit",
        "select 'delivery ' || id || ': ' || attempts - attempts_before from worker.deliveries
             where attempts - attempts_before > 40
         union all
         select 'job ' || id || ': ' || attempt from worker.jobs where attempt > max_attempts
         union all
         select 'job ' || id || ' crashed ' || crashes || ' times' from worker.jobs where crashes > 3",
    ),
    (
        "a job that is held by nobody or waits for nobody",
        "select id || ' (' || kind || ') is ' || state from worker.jobs
         where (state in ('running', 'held') or lease_token is not null) and kind in ('deliver', 'confirm')",
    ),
    (
        "a lease that has expired",
        "select id || ' (' || kind || ')' from worker.jobs
         where lease_expires_at < clock_timestamp() - interval '20 s'",
    ),
    (
        "a dead job that is not poisoned",
        "select id || ' (' || kind || '): ' || coalesce(fault_message, '') from worker.jobs
         where state = 'dead' and queue <> 'deliver/' || $1::int
           and not exists (select from worker.deliveries d where d.id::text = arguments->>'delivery'
                           and (d.state = 'accepted' or d.release_id = any($2)))",
    ),
    (
        "an attempt that nobody ended",
        "select a.id || ' of job ' || a.job_id || ' (' || coalesce(j.kind, 'gone') || ')'
         from worker.attempts a left join worker.jobs j on j.id = a.job_id
         where a.ended_at is null and j.state is distinct from 'running'",
    ),
    (
        "two completed hand-overs of a transmission",
        "select delivery_id || ': ' || count(*) from worker.attempts a
         join worker.jobs j on j.id = a.job_id and j.kind = 'deliver'
         join worker.deliveries d on d.id = a.delivery_id and d.transmission = 1
         where a.outcome = 'completed' group by delivery_id having count(*) > 1",
    ),
    (
        "a schedule that does not say what became of its platforms",
        "select s.id || ' is ' || s.status || ': ' || coalesce(s.completed_platform_ids::text, '') || ', '
             || coalesce(s.failed_platforms::text, '')
         from scheduled_distributions s cross join lateral (
             select coalesce(array_agg(platform_id order by platform_id) filter (where state = 'completed'), '{}') as completed,
                    coalesce(array_agg(platform_id order by platform_id) filter (where state = 'failed'), '{}') as failed,
                    coalesce(bool_or(platform_id = $1 and state = 'open'), false) as is_poisoned
             from worker.schedule_targets t where t.schedule_id = s.id) t
         where not t.is_poisoned and (
             s.status not in ('completed', 'partial', 'failed')
             or coalesce(s.completed_platform_ids, '{}')::int[] <> t.completed
             or array(select key::int from jsonb_object_keys(coalesce(s.failed_platforms, '{}')::jsonb) key order by 1) <> t.failed
             or array(select p from unnest(t.completed || t.failed) p order by 1)
                <> array(select p from unnest(s.platform_ids) p order by 1)
             or s.status <> case when t.failed = '{}' then 'completed'
                                 when t.completed = '{}' then 'failed' else 'partial' end)",
    ),
    (
        "a platform that completed and was not accepted",
        "select t.schedule_id || ' on ' || t.platform_id || ' is ' || t.state || ', its delivery ' || d.state
         from worker.schedule_targets t join worker.deliveries d on d.id = t.delivery_id
         where t.state = 'completed' and d.state <> 'accepted'",
    ),
    (
        "a record that does not show its delivery",
        "select r.id || ' is ' || r.status || ', its delivery ' || d.state
         from worker.deliveries d join distribution_records r on r.id = d.record_id
         where r.status::text <> case d.state when 'accepted' then 'distributed'
             when 'failed' then 'failed' when 'rejected' then 'failed'
             when 'unknown' then 'processing' else d.state end
         union all
         select 'release ' || release_id || ' on ' || platform_id || ' has ' || count(*)
         from distribution_records group by release_id, platform_id having count(*) > 1",
    ),
    (
        "an audit without actor or reason",
        "select id::text from worker.audit where reason <> 'after the storm' or actor not like 'cli:%'",
    ),
];

/// Asks all that concerns the database.
pub(super) async fn of_database(stage: &Stage) -> Vec<String> {
    let hostile: Vec<i32> = stage.hostile.iter().copied().collect();
    let mut wrong = Vec::new();
    for (what, question) in QUESTIONS {
        // Each is to know its parameters, whether it uses them or not.
        let sql = format!(
            "with given as (select $1::int as poisoned, $2::int[] as hostile)
             select * from ({question}) as wrong (what) where (select count(*) from given) > 0"
        );
        let answers: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(stage.poisoned_platform())
            .bind(&hostile)
            .fetch_all(stage.site.pool())
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        report(what, answers.into_iter().flatten().collect(), &mut wrong);
    }
    let ended: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', state, fault_code, fault_message) from worker.deliveries
         where platform_id = $1",
    )
    .bind(stage.poisoned_platform())
    .fetch_all(stage.site.pool())
    .await
    .unwrap();
    let as_unknown = ended
        .iter()
        .filter(|end| end.starts_with("unknown outcome_unknown"));
    let differing = (as_unknown.count() != stage.poisons())
        .then(|| format!("{} were poisoned and ended as {ended:?}", stage.poisons()));
    report(
        "a poisoned delivery that did not end",
        differing.into_iter().collect(),
        &mut wrong,
    );
    wrong
}

fn report(what: &str, found: Vec<String>, wrong: &mut Vec<String>) {
    eprintln!(
        "           {}  {what}",
        if found.is_empty() { "none" } else { "SOME" }
    );
    if found.is_empty() {
        return;
    }
    let shown = found.iter().take(10).cloned().collect::<Vec<_>>();
    wrong.push(format!(
        "{what} ({}):\n  {}",
        found.len(),
        shown.join("\n  ")
    ));
}

/// As many rows of the audit as the operator did things.
pub(super) async fn of_audit(pool: &PgPool, done: &BTreeMap<String, i64>) -> Vec<String> {
    let kept: Vec<(String, i64)> =
        sqlx::query_as("select action, count(*) from worker.audit group by action")
            .fetch_all(pool)
            .await
            .unwrap();
    let kept: HashMap<String, i64> = kept.into_iter().collect();
    let mut wrong = Vec::new();
    let differing = done.iter().filter_map(|(action, count)| {
        let rows = kept.get(action).copied().unwrap_or_default();
        (rows != *count).then(|| format!("{action}: {rows} rows for {count} times"))
    });
    report(
        "an operator's action that is not in the audit",
        differing.collect(),
        &mut wrong,
    );
    wrong
}

/// What a partner has is what was delivered, once, to the byte.
pub(super) async fn of_partner(stage: &Stage, partner: &Partner) -> Vec<String> {
    let pool = stage.site.pool();
    let name: String = sqlx::query_scalar("select name from distribution_platforms where id = $1")
        .bind(partner.platform)
        .fetch_one(pool)
        .await
        .unwrap();
    let handovers = partner.host.ledger().handovers().unwrap();
    let mut wrong = Vec::new();
    let mut report_of =
        |what: &str, found: Vec<String>| report(&format!("{name}: {what}"), found, &mut wrong);

    let mut of_upc: BTreeMap<&str, u32> = BTreeMap::new();
    for one in &handovers {
        *of_upc.entry(&one.upc).or_default() += 1;
    }
    let twice = of_upc.iter().filter(|(_, count)| **count > 1);
    report_of(
        "a release that came more than once",
        twice
            .map(|(upc, count)| format!("{upc}: {count}"))
            .collect(),
    );
    report_of(
        "a hand-over that a strict partner complains of",
        handovers.iter().filter_map(complaint).collect(),
    );
    let ours = deliveries(pool, partner.platform).await;
    let mut lost: HashMap<Uuid, &Ours> = ours.iter().map(|one| (one.id, one)).collect();
    let mut differing = Vec::new();
    for one in &handovers {
        let Some((delivery, _, transmission)) = read_key(&one.key) else {
            differing.push(format!("{} is nobody's key", one.key));
            continue;
        };
        let Some(known) = lost.remove(&delivery) else {
            differing.push(format!("{} is of no accepted delivery", one.key));
            continue;
        };
        let mut received: Vec<&str> = one.files.iter().map(|file| file.sha256.as_str()).collect();
        received.sort_unstable();
        let is_same = known.sha256.is_empty() || received == known.sha256;
        if i64::from(transmission) != i64::from(known.transmission) || !is_same {
            differing.push(format!("{}: {received:?} for {:?}", one.key, known.sha256));
        }
    }
    report_of("bytes that are not those that were sent", differing);
    report_of(
        "an accepted delivery that the partner does not have",
        lost.keys().map(Uuid::to_string).collect(),
    );
    wrong
}

fn complaint(one: &ReceivedHandover) -> Option<String> {
    // One marker in one folder; a repetition over HTTP is known by its key and has none.
    let is_good = one.verdict == Verdict::Accepted
        && one.violations.is_empty()
        && one.markers.len() <= 1
        && (one.markers.is_empty() || one.completed == 1);
    (!is_good).then(|| {
        format!(
            "{}: {:?}, {:?}, completed {} times in {:?}",
            one.key, one.verdict, one.violations, one.completed, one.markers
        )
    })
}

/// An accepted delivery, as we know it.
struct Ours {
    id: Uuid,
    transmission: i32,
    /// In order; empty where an operator said that it is there.
    sha256: Vec<String>,
}

async fn deliveries(pool: &PgPool, platform: i32) -> Vec<Ours> {
    let rows: Vec<(Uuid, i32, Vec<String>)> = sqlx::query_as(
        r#"select d.id, d.transmission,
               coalesce(array_agg(f.sha256 order by f.sha256 collate "C") filter (where f.sha256 is not null), '{}')
           from worker.deliveries d left join worker.delivery_files f
             on f.delivery_id = d.id and f.transmission = d.transmission
           where d.platform_id = $1 and d.state = 'accepted'
           group by d.id"#,
    )
    .bind(platform)
    .fetch_all(pool)
    .await
    .unwrap();
    let ours = rows.into_iter().map(|(id, transmission, sha256)| Ours {
        id,
        transmission,
        sha256,
    });
    ours.collect()
}
