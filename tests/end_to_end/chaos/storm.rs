//! A storm: the faults of a plan begin at their times and are lifted again.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use platform_adapters::sandbox::{BadAcknowledgement, Misbehaviour};
use sqlx::{Connection, PgConnection};
use test_support::wire::Conduct;

use super::{
    crew::{Crew, Manner},
    plan::{Fault, Kind},
    stage::{Host, Partner, Stage},
};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often it is looked who is at a poisoned delivery.
const HUNT_EVERY: Duration = Duration::from_millis(200);
/// 1 KB/s.
const TRICKLE: u64 = 1000;
/// What a Retry-After may say.
const RETRY_AFTER: [Option<&str>; 9] = [
    None,
    Some("1"),
    Some("0"),
    Some("86400"),
    Some("-5"),
    Some("99999999999999999999"),
    Some("soon"),
    Some("Mon, 01 Jan 2001 00:00:00 GMT"),
    Some("Fri, 31 Dec 9999 23:59:59 GMT"),
];
const BAD_ACKNOWLEDGEMENTS: [BadAcknowledgement; 4] = [
    BadAcknowledgement::Late,
    BadAcknowledgement::Cut,
    BadAcknowledgement::Twice,
    BadAcknowledgement::Bomb,
];

/// What ends a fault.
enum Lift {
    Wake(i32),
    Replace(usize),
    StartDatabase,
    Writable,
    /// Those who had taken the connections leave when this is dropped.
    Leave(Vec<PgConnection>),
    DatabaseWire,
    Wire(usize),
    Behave(usize),
}

/// See the module.
pub(super) struct Storm<'a> {
    pub(super) crew: Crew<'a>,
    lifts: Vec<(Instant, Lift)>,
    /// Faults that need a database, which was away at their time.
    postponed: Vec<(Instant, Fault)>,
}

fn one_of<T: Clone>(all: &[T], number: usize) -> T {
    all[number % all.len()].clone()
}

impl<'a> Storm<'a> {
    pub(super) fn new(crew: Crew<'a>) -> Self {
        Self {
            crew,
            lifts: Vec::new(),
            postponed: Vec::new(),
        }
    }

    /// Does all of it, and lifts all that still stands at the end.
    pub(super) async fn rage(&mut self, stage: &Stage, plan: &[Fault], lasts: Duration) {
        let began = Instant::now();
        let mut hunted = began;
        let mut to_come = plan.iter().peekable();
        while began.elapsed() < lasts {
            let now = Instant::now();
            let again = self.postponed.extract_if(.., |(at, _)| *at <= now);
            let mut due: Vec<Fault> = again.map(|(_, fault)| fault).collect();
            while let Some(fault) = to_come.next_if(|fault| began.elapsed() >= fault.at) {
                due.push(*fault);
            }
            for fault in &due {
                eprintln!("{:7.1} s: {fault}", began.elapsed().as_secs_f64());
                self.begin(stage, fault).await;
            }
            let over = self.lifts.extract_if(.., |(at, _)| *at <= now);
            let over: Vec<(Instant, Lift)> = over.collect();
            for (_, lift) in over {
                self.lift(stage, lift).await;
            }
            self.crew.tend();
            if hunted.elapsed() >= HUNT_EVERY {
                hunted = Instant::now();
                self.hunt(stage).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        for (_, lift) in std::mem::take(&mut self.lifts) {
            self.lift(stage, lift).await;
        }
        self.crew.mend().await;
    }

    /// Kills whoever is at a poisoned delivery.
    pub(super) async fn hunt(&mut self, stage: &Stage) {
        for process in stage.poisoned_processes().await {
            self.crew.kill_process(process).await;
        }
    }

    async fn begin(&mut self, stage: &Stage, fault: &Fault) {
        let place = fault.whom % self.crew.len();
        match fault.kind {
            Kind::Kill => self.crew.kill(place, fault.lasts).await,
            Kind::KillAll => {
                for place in 0..self.crew.len() {
                    self.crew.kill(place, fault.lasts).await;
                }
            }
            Kind::Suspend => {
                if let Some(pid) = self.crew.signal(place, Signal::SIGSTOP) {
                    self.until(fault, Lift::Wake(pid));
                }
            }
            Kind::Drain => self.crew.drain(place, fault.lasts),
            Kind::Reload => self.crew.reload(place),
            Kind::WrongReload => self.reload_wrongly(stage, place).await,
            Kind::DayAhead => self.replace(fault, place, Manner::ClockOff(1)).await,
            Kind::DayBehind => self.replace(fault, place, Manner::ClockOff(-1)).await,
            Kind::FullDisk => self.replace(fault, place, Manner::NoRoomForLogs).await,
            Kind::Poison => {
                if stage.poison().await.is_none() {
                    self.postpone(fault);
                }
            }
            _ if self.begin_at_database(stage, fault).await => {}
            _ => self.begin_at_partner(stage, fault),
        }
    }

    async fn replace(&mut self, fault: &Fault, place: usize, manner: Manner) {
        self.crew.replace(place, manner).await;
        self.until(fault, Lift::Replace(place));
    }

    fn postpone(&mut self, fault: &Fault) {
        eprintln!("           later: the database is away");
        self.postponed
            .push((Instant::now() + Duration::from_secs(1), *fault));
    }

    fn until(&mut self, fault: &Fault, lift: Lift) {
        self.lifts.push((Instant::now() + fault.lasts, lift));
    }

    /// The daemon reads a configuration that cannot be; then the file is as it was.
    async fn reload_wrongly(&mut self, stage: &Stage, place: usize) {
        stage.site.configure("queue", "lease_s", 0);
        self.crew.reload(place);
        tokio::time::sleep(Duration::from_millis(300)).await;
        stage.site.configure("queue", "lease_s", 3);
    }

    /// False: it is no fault of the database.
    async fn begin_at_database(&mut self, stage: &Stage, fault: &Fault) -> bool {
        let (postgres, wire) = (&stage.postgres, &stage.database_wire);
        match fault.kind {
            Kind::DatabaseRestart | Kind::DatabaseOutage => {
                postgres.stop().await;
                self.until(fault, Lift::StartDatabase);
            }
            Kind::DatabaseCrash => {
                postgres.crash().await;
                self.until(fault, Lift::StartDatabase);
            }
            Kind::ReadOnly => {
                postgres.set("default_transaction_read_only = on");
                self.until(fault, Lift::Writable);
            }
            Kind::ConnectionsTaken if postgres.is_up().await => {
                let taken = postgres.take_all().await;
                self.until(fault, Lift::Leave(taken));
            }
            Kind::ConnectionsTaken => {
                self.postpone(fault);
            }
            Kind::DatabaseCut => wire.cut_all(),
            Kind::DatabaseForgotten => wire.forget_all(),
            Kind::DatabaseCutAt => wire.cut_after(fault.number % 20_000),
            Kind::DatabaseSilent => {
                wire.conduct(Conduct::Silent);
                self.until(fault, Lift::DatabaseWire);
            }
            _ => return false,
        }
        true
    }

    fn begin_at_partner(&mut self, stage: &Stage, fault: &Fault) {
        let candidates: Vec<usize> = (0..stage.partners.len())
            .filter(|number| {
                let wants_sftp = is_for_sftp(fault.kind);
                let is_sftp = matches!(stage.partners[*number].host, Host::Sftp(_));
                wants_sftp.is_none_or(|wants_sftp| wants_sftp == is_sftp)
            })
            .collect();
        let number = one_of(&candidates, fault.whom);
        let Partner { host, wire, .. } = &stage.partners[number];
        let conduct = match fault.kind {
            Kind::Cut => return wire.cut_after(fault.number),
            Kind::CutAll => return wire.cut_all(),
            Kind::Forgotten => return wire.forget_all(),
            Kind::Silent => Conduct::Silent,
            Kind::Slow => Conduct::Trickle(TRICKLE),
            Kind::Away => Conduct::Shut,
            kind => {
                host.misbehave(misbehaviour(kind, fault.number, fault.lasts));
                return self.until(fault, Lift::Behave(number));
            }
        };
        wire.conduct(conduct);
        self.until(fault, Lift::Wire(number));
    }

    async fn lift(&mut self, stage: &Stage, lift: Lift) {
        match lift {
            Lift::Wake(pid) => self.crew.wake(pid),
            Lift::Replace(place) => self.crew.kill(place, Duration::ZERO).await,
            Lift::StartDatabase => stage.postgres.start_again().await,
            Lift::Writable => stage.postgres.set("default_transaction_read_only = off"),
            Lift::Leave(taken) => {
                for connection in taken {
                    // The server may have been stopped meanwhile.
                    let _closed = connection.close().await;
                }
            }
            Lift::DatabaseWire => stage.database_wire.conduct(Conduct::Sound),
            Lift::Wire(number) => stage.partners[number].wire.conduct(Conduct::Sound),
            Lift::Behave(number) => stage.partners[number].host.misbehave(None),
        }
    }
}

/// Whether only a partner behind SFTP can do it, or only one that speaks HTTP; `None`: any.
fn is_for_sftp(kind: Kind) -> Option<bool> {
    match kind {
        Kind::Unavailable
        | Kind::TooMany
        | Kind::BadRequest
        | Kind::Garbage
        | Kind::CutBeforeAnswer => Some(false),
        Kind::HostKey | Kind::PartnerFull | Kind::PartnerReadOnly | Kind::Acknowledgements => {
            Some(true)
        }
        _ => None,
    }
}

fn misbehaviour(kind: Kind, number: u64, lasts: Duration) -> Option<Misbehaviour> {
    let number = usize::try_from(number).unwrap();
    let retry_after = one_of(&RETRY_AFTER, number).map(str::to_owned);
    Some(match kind {
        Kind::Unavailable => Misbehaviour::Unavailable { retry_after },
        Kind::TooMany => Misbehaviour::TooManyRequests { retry_after },
        Kind::BadRequest => Misbehaviour::Refuse {
            reason: "we take nothing today".into(),
        },
        Kind::Garbage => Misbehaviour::Garbage,
        Kind::CutBeforeAnswer => Misbehaviour::CutBeforeAnswer,
        Kind::Credentials => Misbehaviour::RefuseCredentials,
        Kind::HostKey => Misbehaviour::OtherHostKey,
        Kind::PartnerFull => Misbehaviour::Full,
        Kind::PartnerReadOnly => Misbehaviour::ReadOnly,
        Kind::Acknowledgements => Misbehaviour::Acknowledge {
            how: one_of(&BAD_ACKNOWLEDGEMENTS, number),
            mended_after: lasts,
        },
        _ => return None,
    })
}
