//! When to look for due work, and how to share the free slots among the queues that have some.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::{
    claim::{Ask, Claimed, Lane, claim, survey},
    crew::Crew,
    run::Daemon,
};

/// Claims jobs for one crew whenever there is due work and room for it, until shutdown.
pub(super) async fn fetch(daemon: &Daemon, crew: &Crew, claimed: mpsc::Sender<Arc<Claimed>>) {
    let pulse = daemon.vitals.watch(
        format!("claims ({})", crew.name),
        daemon.settings.poll_interval,
    );
    let mut agenda = Agenda::default();
    let mut measure = crew.measure();
    let mut failures = 0_u32;
    // A claim is never cut short: what it claimed would be unknown to all until the lease expires.
    while !daemon.stopping.is_cancelled() {
        pulse.beat();
        let pause = match step(daemon, crew, &mut agenda, &claimed).await {
            Ok(Step::Again) => {
                failures = 0;
                crew.follow(&mut measure);
                continue;
            }
            Ok(Step::Full) => {
                failures = 0;
                wait(daemon, crew, daemon.settings.poll_interval).await;
                crew.follow(&mut measure);
                continue;
            }
            Ok(Step::Wait(pause)) => {
                failures = 0;
                pause
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(%error, crew = crew.name, "no jobs claimed; trying again");
                daemon.settings.reconnect.delay(failures, (daemon.random)())
            }
        };
        agenda.lanes.clear();
        wait(daemon, crew, pause).await;
        // No jobs ran because there were none: that says nothing of how fast they do.
        measure = crew.measure();
    }
    pulse.end();
}

/// Until there may be something to do, at most that long.
async fn wait(daemon: &Daemon, crew: &Crew, at_most: Duration) {
    tokio::select! {
        () = daemon.stopping.cancelled() => {}
        () = crew.wake.notified() => {}
        () = tokio::time::sleep(at_most) => {}
    }
}

/// For so long what a survey found is good for further claims. A job that came meanwhile and goes
/// before them waits that long.
const SURVEY_LASTS: Duration = Duration::from_millis(50);

/// Lanes that had due work when last looked at, and whose turn it is.
#[derive(Default)]
struct Agenda {
    lanes: Vec<Lane>,
    surveyed_at: Option<Instant>,
    turn: usize,
}

enum Step {
    /// There may be more.
    Again,
    /// No room for more.
    Full,
    /// Nothing to do for that long, unless woken.
    Wait(Duration),
}

async fn step(
    daemon: &Daemon,
    crew: &Crew,
    agenda: &mut Agenda,
    claimed: &mpsc::Sender<Arc<Claimed>>,
) -> Result<Step, sqlx::Error> {
    let settings = &daemon.settings;
    let room = crew.room();
    if room == 0 {
        return Ok(Step::Full);
    }
    let now = (daemon.clock)();
    if agenda
        .surveyed_at
        .is_none_or(|at| at.elapsed() > SURVEY_LASTS)
    {
        agenda.lanes.clear();
    }
    agenda.lanes.retain(|lane| lane.rules.is_open(now));
    let surveyed = agenda.lanes.is_empty();
    if surveyed {
        let mut lanes = survey(&daemon.pool, &crew.kinds).await?;
        let next = lanes.iter().map(|lane| lane.claimable_at(now)).min();
        lanes.retain(|lane| lane.claimable_at(now) <= now);
        if lanes.is_empty() {
            return Ok(Step::Wait(until(next, now, settings.poll_interval)));
        }
        agenda.lanes = lanes;
        agenda.surveyed_at = Some(Instant::now());
    }
    let default_limit = settings.default_concurrency.filter(|_| !crew.prefetch);
    let asks = share(&agenda.lanes, room, agenda.turn, default_limit);
    agenda.turn = agenda.turn.wrapping_add(1);
    let lease_s = settings.lease.as_secs_f64();
    let jobs = claim(
        &daemon.pool,
        &daemon.registry,
        &asks,
        &daemon.worker,
        lease_s,
        now,
    )
    .await?;
    // A queue that gave less than asked has no more, or is at its limit.
    agenda.lanes.retain(|lane| {
        asks.iter()
            .find(|ask| ask.queue == lane.queue)
            .is_none_or(|ask| got(&jobs, &ask.queue) >= ask.quota)
    });
    if jobs.is_empty() {
        agenda.lanes.clear();
        // Due work that cannot be had: a queue at its limit, or locked rows.
        return Ok(if surveyed {
            Step::Wait(settings.busy_interval)
        } else {
            Step::Again
        });
    }
    crew.arrived(jobs.len());
    daemon.leases.add(jobs.iter().map(|job| job.lease.key()));
    for job in jobs {
        // There is room for all that may be held; the receiver lives as long as the fetcher.
        if claimed.send(Arc::new(job)).await.is_err() {
            tracing::error!("the worker is gone; its claimed jobs wait for their leases to expire");
        }
    }
    Ok(Step::Again)
}

fn got(jobs: &[Claimed], queue: &str) -> i32 {
    let count = jobs.iter().filter(|job| job.lease.queue == queue).count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn until(next: Option<DateTime<Utc>>, now: DateTime<Utc>, poll_interval: Duration) -> Duration {
    next.and_then(|next| (next - now).to_std().ok())
        .map_or(poll_interval, |wait| wait.min(poll_interval))
}

/// Shares `room` evenly among the queues with due work. What does not divide goes to other queues
/// at each turn, so that none waits behind one with a backlog.
fn share(lanes: &[Lane], room: usize, turn: usize, default_limit: Option<i32>) -> Vec<Ask> {
    let mut queues: BTreeMap<&str, Ask> = BTreeMap::new();
    for lane in lanes {
        queues
            .entry(&lane.queue)
            .or_insert_with(|| Ask {
                queue: lane.queue.clone(),
                quota: 0,
                concurrency: lane.rules.concurrency.or(default_limit),
                has_row: lane.rules.exists,
                is_rated: lane.rules.rates.is_some(),
                lanes: Vec::new(),
            })
            .lanes
            .push((lane.kind.clone(), lane.priority));
    }
    let count = queues.len().max(1);
    let (each, rest) = (room / count, room % count);
    let first = turn.wrapping_mul(rest.max(1)) % count;
    queues
        .into_values()
        .enumerate()
        .map(|(place, mut ask)| {
            let one_more = (place + count - first) % count < rest;
            let quota = i32::try_from(each + usize::from(one_more)).unwrap_or(i32::MAX);
            ask.quota = ask.concurrency.map_or(quota, |limit| quota.min(limit));
            ask
        })
        .filter(|ask| ask.quota > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::limits::Rules, *};

    fn lanes(queues: usize) -> Vec<Lane> {
        (0..queues)
            .map(|n| Lane {
                queue: format!("deliver/{n:03}"),
                kind: "deliver".to_owned(),
                priority: 0,
                next_run_at: DateTime::UNIX_EPOCH,
                rules: Rules::default(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn shares_are_even_and_use_all_room(queues in 1_usize..50, room in 1_usize..200, turn in any::<usize>()) {
            let asks = share(&lanes(queues), room, turn, None);
            let total: i32 = asks.iter().map(|ask| ask.quota).sum();
            prop_assert_eq!(usize::try_from(total).unwrap(), room);
            let most = asks.iter().map(|ask| ask.quota).max().unwrap();
            let least = if asks.len() < queues { 0 } else { asks.iter().map(|ask| ask.quota).min().unwrap() };
            prop_assert!(most - least <= 1);
        }

        #[test]
        fn every_queue_has_its_turn(queues in 1_usize..50, room in 1_usize..10) {
            let mut seen = std::collections::HashSet::new();
            for turn in 0..queues {
                seen.extend(share(&lanes(queues), room, turn, None).into_iter().map(|ask| ask.queue));
            }
            prop_assert_eq!(seen.len(), queues);
        }
    }

    #[test]
    fn a_queue_is_asked_for_no_more_than_its_limit() {
        let mut all = lanes(2);
        all[0].rules.concurrency = Some(3);
        let asks = share(&all, 20, 0, Some(5));
        assert_eq!(asks.iter().map(|ask| ask.quota).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(asks[0].concurrency, Some(3));
        assert_eq!(asks[1].concurrency, Some(5));
    }

    #[test]
    fn sleeps_until_the_next_due_time_if_that_is_sooner() {
        let now = DateTime::UNIX_EPOCH;
        let poll = Duration::from_secs(5);
        assert_eq!(until(None, now, poll), poll);
        assert_eq!(
            until(Some(now + Duration::from_secs(2)), now, poll),
            Duration::from_secs(2)
        );
        assert_eq!(until(Some(now + Duration::from_secs(9)), now, poll), poll);
    }
}
