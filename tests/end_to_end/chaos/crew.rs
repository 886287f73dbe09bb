//! The daemons of a storm: who is at work, who is to be started again, and who ended without being
//! told to.

use std::{
    fs::File,
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    processes::{Running, resident_memory_mb},
    site::Site,
};

/// What a daemon may have resident at most: a build for tests takes half of it at rest.
const MEMORY_MAX_MB: u64 = 260;
/// How much more a daemon may have at its end than when it had warmed up.
const GROWTH_MAX_MB: u64 = 60;
const WARM_AFTER: Duration = Duration::from_secs(30);
/// A daemon that is told to stop has drained by then.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// Until who could not be started, because the database was away, is started again.
const START_AGAIN: Duration = Duration::from_secs(1);
/// What a daemon says when it is at work.
const AT_WORK: &str = "queue started";
/// What is said of the configuration that daemons are to refuse.
const WRONG_CONFIGURATION: &str = "queue.lease_s must be at least 1";
/// EX_UNAVAILABLE: the database was away when it started.
const UNAVAILABLE: i32 = 69;

/// What surrounds a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Sound,
    /// Its clock is so many days off.
    ClockOff(i32),
    /// Its logs go to a full disk.
    NoRoomForLogs,
}

struct Member {
    process: Running,
    manner: Manner,
    began: Instant,
    warm_mb: Option<u64>,
    last_mb: u64,
}

enum Place {
    Running(Box<Member>),
    /// Told to stop then; started again so long after it has.
    Stopping(Box<Member>, Instant, Duration),
    Empty(Instant),
}

/// See the module.
pub(super) struct Crew<'a> {
    site: &'a Site,
    places: Vec<Place>,
    started: u32,
    pub(super) killed: u32,
    /// What no daemon may do.
    pub(super) complaints: Vec<String>,
    peak_mb: u64,
}

impl<'a> Crew<'a> {
    pub(super) fn start(site: &'a Site, daemons: usize) -> Self {
        let mut crew = Self {
            site,
            places: Vec::new(),
            started: 0,
            killed: 0,
            complaints: Vec::new(),
            peak_mb: 0,
        };
        for _ in 0..daemons {
            let member = crew.member(Manner::Sound);
            crew.places.push(Place::Running(member));
        }
        crew
    }

    fn member(&mut self, manner: Manner) -> Box<Member> {
        self.started += 1;
        let log = self.site.path(&format!("daemon-{}.log", self.started));
        let mut command = self.site.run();
        if let Manner::ClockOff(days) = manner {
            command
                .env("LD_PRELOAD", library_of_false_time())
                .env("FAKETIME", format!("{days:+}d"))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let process = if manner == Manner::NoRoomForLogs {
            let full = || File::options().write(true).open("/dev/full").unwrap();
            File::create(&log).unwrap();
            Running::start_saying(&mut command, log, full(), full())
        } else {
            Running::start(&mut command, log)
        };
        Box::new(Member {
            process,
            manner,
            began: Instant::now(),
            warm_mb: None,
            last_mb: 0,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Looks after everybody.
    pub(super) fn tend(&mut self) {
        let now = Instant::now();
        for number in 0..self.places.len() {
            let place = std::mem::replace(&mut self.places[number], Place::Empty(now));
            self.places[number] = match place {
                Place::Empty(until) if until <= now => Place::Running(self.member(Manner::Sound)),
                Place::Empty(until) => Place::Empty(until),
                Place::Running(mut member) => match member.process.ended() {
                    Some(status) => {
                        self.ended_by_itself(&member, status);
                        Place::Empty(now + START_AGAIN)
                    }
                    None => {
                        self.weigh(&mut member);
                        Place::Running(member)
                    }
                },
                Place::Stopping(mut member, since, pause) => match member.process.ended() {
                    Some(status) => {
                        self.stopped(&member, status);
                        Place::Empty(now + pause)
                    }
                    None if since.elapsed() > STOPS_WITHIN => {
                        self.complain(&member, "does not stop");
                        member.process.signal(Signal::SIGKILL);
                        Place::Stopping(member, now, pause)
                    }
                    None => Place::Stopping(member, since, pause),
                },
            };
        }
    }

    fn weigh(&mut self, member: &mut Member) {
        let Some(mb) = resident_memory_mb(member.process.pid()) else {
            return;
        };
        self.peak_mb = self.peak_mb.max(mb);
        member.last_mb = mb;
        if member.warm_mb.is_none() && member.began.elapsed() >= WARM_AFTER {
            member.warm_mb = Some(mb);
        }
    }

    /// A daemon that cannot be at work because the database is away says so and ends; whoever
    /// supervises it starts it again. Otherwise it never ends by itself.
    fn ended_by_itself(&mut self, member: &Member, status: ExitStatus) {
        self.leave(member);
        let was_at_work = member.process.log().contains(AT_WORK);
        let cannot_tell = member.manner == Manner::NoRoomForLogs;
        if status.code() == Some(UNAVAILABLE) && (!was_at_work || cannot_tell) {
            return;
        }
        // It was started while another was to read a configuration that cannot be.
        if !was_at_work && member.process.log().contains(WRONG_CONFIGURATION) {
            return;
        }
        self.complain(member, &format!("ended by itself: {status}"));
    }

    fn stopped(&mut self, member: &Member, status: ExitStatus) {
        self.leave(member);
        let is_in_order = status.success()
            // It was still being started.
            || status.code() == Some(UNAVAILABLE) && !member.process.log().contains(AT_WORK)
            || status.code().is_none() && !member.process.log().contains("stopping");
        if !is_in_order {
            self.complain(member, &format!("was told to stop and ended so: {status}"));
        }
    }

    fn leave(&mut self, member: &Member) {
        if let Some(warm_mb) = member.warm_mb
            && member.last_mb > warm_mb + GROWTH_MAX_MB
        {
            let words = format!("grew from {warm_mb} to {} MB", member.last_mb);
            self.complain(member, &words);
        }
    }

    fn complain(&mut self, member: &Member, words: &str) {
        let log = member.process.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        self.complaints.push(format!(
            "daemon {} ({:?}) {words}; the end of its log:\n{tail}",
            member.process.pid(),
            member.manner
        ));
    }

    /// Kills one, and has it started again.
    pub(super) async fn kill(&mut self, place: usize, pause: Duration) {
        let empty = Place::Empty(Instant::now() + pause);
        match std::mem::replace(&mut self.places[place], empty) {
            Place::Running(mut member) | Place::Stopping(mut member, ..) => {
                member.process.signal(Signal::SIGKILL);
                member.process.end().await;
                self.leave(&member);
                self.killed += 1;
            }
            still_empty @ Place::Empty(_) => self.places[place] = still_empty,
        }
    }

    /// Kills the daemon with this process number, if it is one of these.
    pub(super) async fn kill_process(&mut self, pid: i32) -> bool {
        let is_it = |place: &Place| {
            matches!(place, Place::Running(member) | Place::Stopping(member, ..)
                if member.process.pid() == pid)
        };
        match self.places.iter().position(is_it) {
            Some(place) => {
                self.kill(place, Duration::ZERO).await;
                true
            }
            None => false,
        }
    }

    /// Sends a signal to a daemon that is at work. Its process, if there is one.
    pub(super) fn signal(&self, place: usize, signal: Signal) -> Option<i32> {
        match &self.places[place] {
            Place::Running(member) => {
                member.process.signal(signal);
                Some(member.process.pid())
            }
            _ => None,
        }
    }

    /// Has a daemon that is at work read its configuration again. Nobody asks one that is starting.
    pub(super) fn reload(&self, place: usize) {
        if let Place::Running(member) = &self.places[place]
            && member.process.log().contains(AT_WORK)
        {
            member.process.signal(Signal::SIGHUP);
        }
    }

    /// Wakes who was suspended, if it is still there.
    pub(super) fn wake(&self, pid: i32) {
        for place in &self.places {
            if let Place::Running(member) | Place::Stopping(member, ..) = place
                && member.process.pid() == pid
            {
                member.process.signal(Signal::SIGCONT);
            }
        }
    }

    /// Tells one to stop, and has it started again when it has.
    pub(super) fn drain(&mut self, place: usize, pause: Duration) {
        let now = Instant::now();
        let taken = std::mem::replace(&mut self.places[place], Place::Empty(now));
        self.places[place] = match taken {
            Place::Running(member) => {
                member.process.signal(Signal::SIGTERM);
                Place::Stopping(member, now, pause)
            }
            other => other,
        };
    }

    /// Puts a daemon in other surroundings in the place of this one.
    pub(super) async fn replace(&mut self, place: usize, manner: Manner) {
        self.kill(place, Duration::ZERO).await;
        let member = self.member(manner);
        self.places[place] = Place::Running(member);
    }

    /// Puts sound daemons in the place of all that are not.
    pub(super) async fn mend(&mut self) {
        for place in 0..self.places.len() {
            match &self.places[place] {
                Place::Running(member) if member.manner == Manner::Sound => {
                    member.process.signal(Signal::SIGCONT);
                }
                Place::Running(_) => self.kill(place, Duration::ZERO).await,
                Place::Stopping(..) | Place::Empty(_) => {}
            }
        }
    }

    /// Stops all in order. What they had of memory at most.
    pub(super) async fn stop(&mut self) -> u64 {
        for place in 0..self.places.len() {
            self.drain(place, Duration::from_secs(3600));
        }
        while self
            .places
            .iter()
            .any(|place| matches!(place, Place::Stopping(..)))
        {
            self.tend();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if self.peak_mb > MEMORY_MAX_MB {
            let words = format!("a daemon had {} MB of memory", self.peak_mb);
            self.complaints.push(words);
        }
        self.peak_mb
    }

    /// The logs of all that were started.
    pub(super) fn logs(&self) -> impl Iterator<Item = PathBuf> {
        (1..=self.started).map(|number| self.site.path(&format!("daemon-{number}.log")))
    }
}

/// The library that shows a process another time.
fn library_of_false_time() -> PathBuf {
    let name = "faketime/libfaketimeMT.so.1";
    let multiarch = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found = multiarch.map(|entry| entry.path().join(name));
    found
        .find(|path| path.exists())
        .expect("libfaketime is installed (scripts/setup does it)")
}
