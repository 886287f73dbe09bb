//! Storms: daemons, database, network and partners go wrong by a plan that is drawn from a seed; then
//! everything is lifted, an operator follows the runbook, all settles, and what must always hold is
//! looked at. `scripts/chaos` runs the same for longer, with other seeds, more daemons, or some of the
//! faults alone.

mod crew;
mod invariants;
mod plan;
mod settle;
mod stage;
mod storm;

use std::{fs, str::FromStr, time::Duration};

use self::{crew::Crew, plan::Kind, settle::Operator, stage::Stage, storm::Storm};

/// What a storm is made of.
struct Scenario {
    daemons: usize,
    lasts: Duration,
    deliveries: u64,
    seed: u64,
    kinds: Vec<Kind>,
}

/// A value from the environment, for the scripts.
fn setting<T: FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, which cannot be read")),
        Err(_) => otherwise,
    }
}

/// The faults that `CHAOS_ONLY` names.
fn kinds() -> Vec<Kind> {
    let words = setting("CHAOS_ONLY", String::new());
    let words = words.split(',').filter(|word| !word.is_empty());
    let named: Vec<Kind> = words
        .map(|word| word.parse().unwrap_or_else(|error| panic!("{error}")))
        .collect();
    if named.is_empty() {
        Kind::ALL.to_vec()
    } else {
        named
    }
}

impl Scenario {
    async fn run(self) {
        let Self {
            daemons,
            lasts,
            deliveries,
            seed,
            kinds,
        } = self;
        eprintln!(
            "seed {seed}: {daemons} daemons, {lasts:?}, {deliveries} deliveries to 4 partners"
        );
        let plan = plan::draw(seed, &kinds, lasts, daemons);
        // Due one after the other until shortly before the end, so that there is work all the time.
        let poisons = plan.iter().filter(|fault| fault.kind == Kind::Poison);
        let poisons = u32::try_from(poisons.count()).unwrap();
        let stage = Stage::set(deliveries, poisons, lasts.mul_f64(0.8), seed).await;
        let mut storm = Storm::new(Crew::start(&stage.site, daemons));
        storm.rage(&stage, &plan, lasts).await;
        stage.postgres.start_again().await;
        eprintln!(
            "{} daemons killed in {lasts:?}, {} accepted by then",
            storm.crew.killed,
            stage.site.accepted().await
        );
        let mut operator = Operator::new(&stage);
        let mut wrong = operator.settle(&mut storm, deliveries).await;
        let peak_mb = storm.crew.stop().await;
        eprintln!("what an operator did: {:?}", operator.done);
        wrong.extend(invariants::of_database(&stage).await);
        wrong.extend(invariants::of_audit(stage.site.pool(), &operator.done).await);
        for partner in &stage.partners {
            wrong.extend(invariants::of_partner(&stage, partner).await);
        }
        for log in storm.crew.logs() {
            stage
                .site
                .assert_no_secret(&fs::read_to_string(log).unwrap());
        }
        wrong.append(&mut storm.crew.complaints);
        eprintln!("a daemon had {peak_mb} MB of memory at most");
        assert!(
            wrong.is_empty(),
            "seed {seed}: {} things are wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        eprintln!("seed {seed}: all holds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_loses_nothing_and_doubles_nothing() {
    let scenario = Scenario {
        daemons: setting("CHAOS_DAEMONS", 2),
        lasts: Duration::from_secs(setting("CHAOS_SECONDS", 30)),
        deliveries: setting("CHAOS_DELIVERIES", 240),
        seed: setting("CHAOS_SEED", 20_261_123),
        kinds: kinds(),
    };
    scenario.run().await;
}
