//! The circuit of a queue: faults of the partner in a row open it, then nothing is claimed but one
//! job at a time as a probe, until one succeeds. The state machine is a pure function; `record`
//! applies it to the queue's row in the outcome's transaction.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};

use super::pace::{Pace, pace_after};

/// When a partner counts as down, and how it is found to be up again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CircuitPolicy {
    /// Faults of the partner in a row that open the circuit; 0: it never opens.
    pub faults: u32,
    /// Seconds until the first probe. It doubles with each probe that fails; the wait is drawn from
    /// its second half.
    pub cool_down_s: u64,
    /// Seconds: the longest wait between two probes.
    pub max_cool_down_s: u64,
    /// Seconds in which several faults lower the number of jobs at once only once.
    pub fall_s: u64,
}

impl Default for CircuitPolicy {
    fn default() -> Self {
        Self {
            faults: 5,
            cool_down_s: 30,
            max_cool_down_s: 900,
            fall_s: 5,
        }
    }
}

impl CircuitPolicy {
    /// The wait before a probe after so many that failed. `random` is from 0 to 1.
    fn cool_down(&self, failed_probes: u32, random: f64) -> TimeDelta {
        let doubled = self
            .cool_down_s
            .saturating_mul(1 << failed_probes.min(32))
            .min(self.max_cool_down_s.max(1));
        // A year is for ever, and far from the end of the calendar.
        let ms = doubled.min(365 * 24 * 3600).saturating_mul(1000);
        let drawn =
            std::time::Duration::from_millis(ms).mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        TimeDelta::from_std(drawn).unwrap_or(TimeDelta::MAX)
    }
}

/// What an attempt showed of the partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It answered, be it with a no.
    Success,
    /// It was away, slow, or failed.
    Fault,
    /// It asked for patience.
    Throttled,
}

/// How the partner stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Circuit {
    /// Faults in a row.
    pub faults: u32,
    /// Set while the circuit is open.
    pub open: Option<Open>,
}

/// A circuit that lets only probes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// When it opened.
    pub since: DateTime<Utc>,
    /// Probes that failed.
    pub probes: u32,
    /// Nothing is claimed before; from then on one job at a time.
    pub probe_at: DateTime<Utc>,
}

impl Circuit {
    /// The circuit after an attempt. `random` is from 0 to 1.
    #[must_use]
    pub fn after(
        self,
        signal: Signal,
        policy: &CircuitPolicy,
        now: DateTime<Utc>,
        random: f64,
    ) -> Self {
        let faults = self.faults.saturating_add(1);
        match (signal, self.open) {
            (Signal::Success, _) => Self::default(),
            (Signal::Fault, None) if policy.faults > 0 && faults >= policy.faults => Self {
                faults,
                open: Some(Open {
                    since: now,
                    probes: 0,
                    probe_at: now + policy.cool_down(0, random),
                }),
            },
            (Signal::Fault, None) => Self { faults, open: None },
            (Signal::Throttled, None) => self,
            // Begun before the circuit opened: no news.
            (Signal::Fault | Signal::Throttled, Some(open)) if now < open.probe_at => self,
            (Signal::Fault, Some(open)) => {
                let probes = open.probes.saturating_add(1);
                let open = Open {
                    probes,
                    probe_at: now + policy.cool_down(probes, random),
                    ..open
                };
                Self {
                    faults,
                    open: Some(open),
                }
            }
            // It is there, and does not want us yet.
            (Signal::Throttled, Some(open)) => Self {
                open: Some(Open {
                    probe_at: now + policy.cool_down(open.probes, random),
                    ..open
                }),
                ..self
            },
        }
    }
}

/// A fault as it is kept with the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastFault<'a> {
    /// The stable code.
    pub code: &'a str,
    /// The sentence a person reads. It holds no NUL.
    pub message: &'a str,
}

/// What an attempt showed, with what the queue's owner knows.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// What it showed.
    pub signal: Signal,
    /// The fault, if it was one.
    pub fault: Option<LastFault<'a>>,
    /// Jobs of the queue at once where `worker.queues` says nothing.
    pub default_concurrency: i32,
    /// From 0 to 1, for jitter.
    pub random: f64,
}

/// The circuit before and after an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Before.
    pub before: Circuit,
    /// After.
    pub after: Circuit,
}

/// Records what an attempt showed of the queue's partner, in the outcome's transaction. A success
/// while all is well is one look at an index.
///
/// # Errors
/// The database's.
pub async fn record(
    conn: &mut PgConnection,
    policy: &CircuitPolicy,
    queue: &str,
    observed: Observation<'_>,
    now: DateTime<Utc>,
) -> Result<Recorded, sqlx::Error> {
    if observed.signal != Signal::Success {
        sqlx::query!(
            "insert into worker.queues (name) values ($1) on conflict (name) do nothing",
            queue
        )
        .execute(&mut *conn)
        .await?;
    }
    let Some(row) = sqlx::query!(
        r#"select concurrency, pace, pace_fell_at, circuit_faults, circuit_opened_at,
               circuit_probes, circuit_probe_at
           from worker.queues
           where name = $1 and ($2 or circuit_faults > 0 or circuit_opened_at is not null or pace is not null)
           for update"#,
        queue,
        observed.signal != Signal::Success,
    )
    .fetch_optional(&mut *conn)
    .await?
    else {
        return Ok(Recorded::default());
    };
    let open = row.circuit_opened_at.zip(row.circuit_probe_at);
    let before = Circuit {
        faults: row.circuit_faults.unsigned_abs(),
        open: open.map(|(since, probe_at)| Open {
            since,
            probes: row.circuit_probes.unsigned_abs(),
            probe_at,
        }),
    };
    let pace = row.pace.map(|allowed| Pace {
        allowed,
        fell_at: row.pace_fell_at.unwrap_or(DateTime::UNIX_EPOCH),
    });
    let after = before.after(observed.signal, policy, now, observed.random);
    let limit = row.concurrency.unwrap_or(observed.default_concurrency);
    let pace = pace_after(pace, observed.signal, limit, policy, now);
    write(conn, queue, after, pace, observed.fault, now).await?;
    if before.open.is_some() && after.open.is_none() {
        // Other daemons sleep until the next probe.
        sqlx::query!("select pg_notify('worker_jobs', '')")
            .execute(conn)
            .await?;
    }
    Ok(Recorded { before, after })
}

/// Of each queue, whether a success would change nothing: no fault is remembered and nothing limits its
/// pace.
///
/// # Errors
/// The database's.
pub(crate) async fn are_well(pool: &PgPool, queues: &[String]) -> Result<Vec<bool>, sqlx::Error> {
    let unwell = sqlx::query_scalar!(
        r#"select name from worker.queues
           where name = any($1)
             and (circuit_faults > 0 or circuit_opened_at is not null or pace is not null)"#,
        queues,
    )
    .fetch_all(pool)
    .await?;
    Ok(queues.iter().map(|queue| !unwell.contains(queue)).collect())
}

/// Has circuits probed at once whose last fault the database's clock has not come to yet: whoever noted
/// it has a clock that is ahead, and nobody is to wait until it was right. The queues' number.
pub(super) async fn set_right(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let set_right = sqlx::query!(
        r#"update worker.queues
           set circuit_opened_at = least(circuit_opened_at, clock_timestamp()),
               circuit_fault_at = clock_timestamp(),
               circuit_probe_at = clock_timestamp()
           where circuit_opened_at is not null
             and circuit_fault_at > clock_timestamp() + interval '1 minute'"#,
    )
    .execute(pool)
    .await?;
    Ok(set_right.rows_affected())
}

async fn write(
    conn: &mut PgConnection,
    queue: &str,
    circuit: Circuit,
    pace: Option<Pace>,
    fault: Option<LastFault<'_>>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update worker.queues
           set pace = $2, pace_fell_at = $3, circuit_faults = $4, circuit_opened_at = $5,
               circuit_probes = $6, circuit_probe_at = $7,
               circuit_fault_at = case when $8::text is null then circuit_fault_at else $10 end,
               circuit_fault_code = coalesce($8, circuit_fault_code),
               circuit_fault_message = coalesce($9, circuit_fault_message)
           where name = $1"#,
        queue,
        pace.map(|pace| pace.allowed),
        pace.map(|pace| pace.fell_at),
        i32::try_from(circuit.faults).unwrap_or(i32::MAX),
        circuit.open.map(|open| open.since),
        circuit
            .open
            .map_or(0, |open| i32::try_from(open.probes).unwrap_or(i32::MAX)),
        circuit.open.map(|open| open.probe_at),
        fault.map(|fault| fault.code),
        fault.map(|fault| fault.message),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signal() -> impl Strategy<Value = Signal> {
        prop_oneof![
            2 => Just(Signal::Success),
            5 => Just(Signal::Fault),
            2 => Just(Signal::Throttled)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn it_opens_on_faults_in_a_row_and_closes_on_a_success(
            faults in 1..8u32,
            history in prop::collection::vec((signal(), 0..2000i64, 0.0..1.0f64), 0..80),
        ) {
            let policy = CircuitPolicy { faults, ..CircuitPolicy::default() };
            let (mut circuit, mut now, mut in_a_row) = (Circuit::default(), DateTime::UNIX_EPOCH, 0);
            for (signal, seconds, random) in history {
                now += TimeDelta::seconds(seconds);
                let before = circuit;
                circuit = circuit.after(signal, &policy, now, random);
                match signal {
                    Signal::Success => in_a_row = 0,
                    Signal::Fault => in_a_row += 1,
                    Signal::Throttled => {}
                }
                prop_assert_eq!(circuit.open.is_some(), in_a_row >= faults);
                let Some(open) = circuit.open else { continue };
                prop_assert!(open.since <= now);
                if before.open.is_none_or(|was| now >= was.probe_at) {
                    let wait = open.probe_at - now;
                    let first = TimeDelta::seconds(policy.cool_down_s as i64);
                    prop_assert!(wait >= first / 2 && wait <= TimeDelta::seconds(policy.max_cool_down_s as i64));
                } else {
                    prop_assert_eq!(before.open, circuit.open, "what began before it opened is no probe");
                }
            }
        }

        #[test]
        fn no_policy_is_too_absurd(cool_down_s in any::<u64>(), max_cool_down_s in any::<u64>(), probes in any::<u32>(), random in -1.0..2.0f64) {
            let policy = CircuitPolicy { cool_down_s, max_cool_down_s, ..CircuitPolicy::default() };
            prop_assert!(policy.cool_down(probes, random) <= TimeDelta::days(366));
        }
    }

    #[test]
    fn waits_between_probes_double_up_to_their_bound() {
        let policy = CircuitPolicy::default();
        let wait = |probes| policy.cool_down(probes, 1.0).num_seconds();
        assert_eq!([wait(0), wait(1), wait(2), wait(9)], [30, 60, 120, 900]);
        assert_eq!(policy.cool_down(0, 0.0).num_seconds(), 15);
    }

    #[test]
    fn a_policy_of_no_faults_never_opens() {
        let policy = CircuitPolicy {
            faults: 0,
            ..CircuitPolicy::default()
        };
        let mut circuit = Circuit::default();
        for _ in 0..100 {
            circuit = circuit.after(Signal::Fault, &policy, DateTime::UNIX_EPOCH, 0.5);
        }
        assert_eq!(circuit.open, None);
    }
}
