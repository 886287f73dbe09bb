//! Follows the deliveries until all are decided, and keeps the daemon running meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::PgPool;

use super::{daemon::Daemon, screen::Screen, state::State};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(200);
/// When all that is left is held, it waits for an operator, whom a demo has not got.
const HELD_UP: Duration = Duration::from_secs(10);
/// When nothing at all has changed for so long, nothing will.
const STANDSTILL: Duration = Duration::from_secs(180);

/// How far the deliveries are.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Counts {
    /// Releases times platforms, as scheduled.
    expected: i64,
    accepted: i64,
    /// Rejected, failed, canceled, or refused before there was a delivery.
    refused: i64,
    sending: i64,
    /// At the partner, who has not answered yet.
    sent: i64,
    /// Waiting for another try.
    retrying: i64,
    held: i64,
    /// Over all deliveries; shows that something happens.
    attempts: i64,
}

impl Counts {
    async fn read(pool: &PgPool) -> anyhow::Result<Self> {
        sqlx::query_as(
            "select
                 (select coalesce(sum(cardinality(platform_ids)), 0)
                  from public.scheduled_distributions) as expected,
                 count(*) filter (where state = 'accepted') as accepted,
                 count(*) filter (where state in ('rejected', 'failed', 'canceled'))
                     + (select count(*) from worker.schedule_targets
                        where delivery_id is null and state = 'failed') as refused,
                 count(*) filter (where state = 'sending') as sending,
                 count(*) filter (where state in ('batched', 'sent')) as sent,
                 count(*) filter (where state in ('retrying', 'unknown')) as retrying,
                 count(*) filter (where state = 'held') as held,
                 coalesce(sum(attempts), 0) as attempts
             from worker.deliveries",
        )
        .fetch_one(pool)
        .await
        .context("the demo's database does not answer any more")
    }

    fn decided(&self) -> i64 {
        self.accepted + self.refused
    }

    fn is_over(&self) -> bool {
        self.decided() >= self.expected
    }

    /// What is left waits for an operator, or stands behind what does.
    fn is_held_up(&self) -> bool {
        self.held > 0 && self.sending + self.sent + self.retrying == 0
    }

    fn line(&self, daemon: u32) -> String {
        let waiting =
            self.expected - self.decided() - self.sending - self.sent - self.retrying - self.held;
        let mut line = format!("{} of {} accepted", self.accepted, self.expected);
        for (count, what) in [
            (self.refused, "refused"),
            (self.sending, "sending"),
            (self.sent, "sent"),
            (self.retrying, "retrying"),
            (self.held, "held"),
            (waiting, "queued"),
        ] {
            if count > 0 {
                line += &format!(", {count} {what}");
            }
        }
        line + &format!("; daemon {daemon}")
    }
}

/// Returns when everything is decided. Nothing is lost when this is dropped.
pub(crate) async fn until_decided(
    pool: &PgPool,
    daemon: &mut Daemon,
    state: &State,
    screen: &Screen,
) -> anyhow::Result<()> {
    let mut before = Counts::default();
    let mut changed = Instant::now();
    loop {
        let counts = Counts::read(pool).await?;
        screen.progress(&counts.line(daemon.pid()), counts.is_over());
        if counts.is_over() {
            return Ok(());
        }
        if counts != before {
            (before, changed) = (counts, Instant::now());
        } else if counts.is_held_up() && changed.elapsed() > HELD_UP {
            bail!(
                "{} deliveries are held and wait for an operator",
                counts.held
            );
        } else if changed.elapsed() > STANDSTILL {
            bail!(
                "nothing has moved for {} s; the daemon's log may say why: {}",
                STANDSTILL.as_secs(),
                state.daemon_log().display()
            );
        }
        revive(daemon, state, screen)?;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Keeps the daemon running until this is dropped.
pub(crate) async fn keep_running(
    daemon: &mut Daemon,
    state: &State,
    screen: &Screen,
) -> anyhow::Result<()> {
    loop {
        revive(daemon, state, screen)?;
        tokio::time::sleep(INTERVAL).await;
    }
}

fn revive(daemon: &mut Daemon, state: &State, screen: &Screen) -> anyhow::Result<()> {
    let old = daemon.pid();
    if let Some(status) = daemon.revive(state)? {
        screen.note(&format!(
            "The daemon {old} died ({status}); {} goes on where it stopped.",
            daemon.pid()
        ));
    }
    Ok(())
}
