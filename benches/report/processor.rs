//! Processor time, which says more than the clock on a machine that does other things meanwhile.

use std::{fs, time::Duration};

use sqlx::PgPool;

/// Ticks a second in `/proc`: what Linux shows on every architecture.
const TICKS_PER_S: u64 = 100;

/// The PostgreSQL server that a pool leads to, on this machine.
pub(crate) struct Server(u32);

impl Server {
    pub(crate) async fn of(pool: &PgPool) -> Self {
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(pool)
            .await
            .unwrap();
        let stat = stat(backend.unsigned_abs()).unwrap();
        Self(u32::try_from(stat.parent).unwrap())
    }

    /// What the server and all its processes have used, those that have ended too.
    pub(crate) fn used(&self) -> Duration {
        let processes = fs::read_dir("/proc").unwrap();
        let running = processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(stat)
            .filter(|stat| stat.parent == u64::from(self.0))
            .map(|stat| stat.own);
        let server = stat(self.0).unwrap();
        ticks(running.sum::<u64>() + server.own + server.ended_children)
    }
}

/// What a process has used.
pub(crate) fn used_by(pid: u32) -> Duration {
    ticks(stat(pid).map_or(0, |stat| stat.own))
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / TICKS_PER_S)
}

struct Stat {
    parent: u64,
    own: u64,
    ended_children: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before these fields may hold blanks and brackets.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Stat {
        parent: number(1)?,
        own: number(11)? + number(12)?,
        ended_children: number(13)? + number(14)?,
    })
}
