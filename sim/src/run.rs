//! A run: what clients do, what fails and how time passes, all drawn from one seed.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ebb_engine::sim::Ending;

use crate::chance::{Rates, StoreRates, Which};
use crate::client::Client;
use crate::trace::hash;
use crate::watcher::Follower;
use crate::world::{Defect, World};
use crate::{Violation, acts, check, settle};

/// Steps of a run unless something else is asked for.
pub const STEPS: u32 = 50;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Decides everything.
    pub seed: u64,
    /// Steps before faults stop.
    pub steps: u32,
    /// A deliberate defect.
    pub defect: Defect,
    /// Directory for the door's files; see [`crate::Place`].
    pub dir: &'a Path,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Its steps.
    pub steps: u32,
    /// What happened, line by line: step, virtual milliseconds, event.
    pub lines: Vec<String>,
    /// The lines up to the first violation, at most 50.
    pub tail: Vec<String>,
    /// Invariants that did not hold.
    pub violations: Vec<Violation>,
}

impl Outcome {
    /// Hash of the trace: the same for the same seed.
    pub fn hash(&self) -> u64 {
        hash(&self.lines)
    }

    /// What went wrong, what came before it, and how to see it again.
    pub fn report(&self) -> String {
        let Self { seed, steps, tail, violations, .. } = self;
        let mut text = String::new();
        for line in tail {
            let _ = writeln!(text, "  {line}");
        }
        for violation in violations {
            let _ = writeln!(text, "seed {seed}: {violation}");
        }
        let _ = write!(text, "again: cargo xtask sim --seed {seed} --steps {steps} --trace");
        text
    }
}

/// Runs `work` alone on this thread, on paused time.
///
/// # Errors
/// When no runtime can be had.
pub(crate) fn alone<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_time().start_paused(true).build()?.block_on(work))
}

/// Runs a seed.
///
/// # Errors
/// When no runtime can be had.
pub fn run(options: Options<'_>) -> std::io::Result<Outcome> {
    alone(async move {
        let world = World::new(options.seed, options.dir, options.defect);
        drive(&world, options.steps).await;
        world.kill("the end");
        Outcome {
            seed: options.seed,
            steps: options.steps,
            lines: world.trace.lines(),
            tail: world.trace.tail(),
            violations: world.trace.violations(),
        }
    })
}

async fn drive(world: &Arc<World>, steps: u32) {
    world.chance.set(calm());
    world.up().await;
    let paths = [
        "/apis/serving.knative.dev/v1/services",
        "/apis/serving.knative.dev/v1/revisions",
        "/api/v1/configmaps",
        "/api/v1/pods",
    ];
    let followers = paths.map(|path| Follower::start(world, path));
    let client = Client::new(world.clone());
    for step in 1..=steps {
        world.trace.step(step);
        weather(world);
        for _ in 0..=world.chance.below(2) {
            acts::act(world, &client);
        }
        if world.chance.one_in(12) {
            outage(world);
        }
        if world.chance.one_in(6) {
            crash(world).await;
        }
        pass(world).await;
        check::now(world);
        if world.trace.broken() {
            return;
        }
    }
    world.trace.step(steps + 1);
    settle::settle(world).await;
    if !world.trace.broken() {
        tokio::time::sleep(Duration::from_secs(5)).await;
        for follower in followers {
            follower.check().await;
        }
    }
}

/// No faults but that everything takes its time.
fn calm() -> Rates {
    Rates { slow: 300, client_away: 15, hang_up: 20, ..Rates::default() }
}

/// Faults come and go.
fn weather(world: &World) {
    if !world.chance.one_in(4) {
        return;
    }
    let calm = calm();
    let none = StoreRates::default();
    let failing = StoreRates { read: 30, refused: 60, unknown: 60, ..none };
    let full = StoreRates { full: 500, ..none };
    let watches = StoreRates { watch_break: 50, watch_lag: 200, too_old: 300, ..none };
    let rates = match world.chance.below(13) {
        0 => Rates { disk: failing, ..calm },
        1 => Rates { disk: full, ..calm },
        2 => Rates { start: 200, start_unknown: 100, stop: 150, engine: 100, ..calm },
        3 => Rates { event_break: 50, event_lost: 80, list: 300, ..calm },
        4 => Rates { disk: watches, ..calm },
        5 => Rates { pull: 300, slow_pull: 300, ..calm },
        6 => Rates {
            disk: StoreRates { read: 10, refused: 20, unknown: 20, watch_break: 10, ..watches },
            live: StoreRates { read: 10, refused: 20, unknown: 20, watch_break: 10, ..watches },
            stop: 30,
            engine: 30,
            start_unknown: 20,
            event_lost: 20,
            slow_pull: 50,
            ..calm
        },
        7 => Rates { live: failing, ..calm },
        8 => Rates { live: full, ..calm },
        9 => Rates { live: watches, ..calm },
        10 => Rates { hang_up: 300, client_away: 200, ..calm },
        _ => calm,
    };
    if rates.disk.full > 0 {
        world.trace.log("weather: the disk is full");
    } else {
        world.trace.log(format!("weather: {rates:?}"));
    }
    world.chance.set(rates);
}

/// A store neither answers nor takes anything for a time.
fn outage(world: &World) {
    let store = world.chance.pick(&[Which::Disk, Which::Live]);
    let time = world.chance.time(Duration::from_mins(1));
    world.trace.log(format!("fault: {store:?} is away for {time:?}"));
    world.chance.take_away(store, time);
}

/// The program of some instance ends.
async fn crash(world: &World) {
    let living = world.engine.living();
    if living.is_empty() {
        return;
    }
    let (id, _) = world.chance.pick(&living);
    let ending =
        world.chance.pick(&[Ending::Code(0), Ending::Code(2), Ending::Signal(11), Ending::Oom]);
    world.trace.log(format!("fault: {} ends with {ending:?}", world.trace.known(&id)));
    world.engine.crash(&id, ending).await;
}

/// Time passes, perhaps for longer than anything is kept, perhaps none at all. The daemon may end
/// meanwhile, at an await point.
async fn pass(world: &Arc<World>) {
    let Some(daemon) = world.daemon() else { return };
    if world.chance.one_in(8) {
        daemon.cut.after(world.chance.below(300));
    }
    let times = [0, 1, 30, 500, 3_000, 12_000, 80_000];
    let time = Duration::from_millis(world.chance.pick(&times));
    let died = tokio::time::timeout(time, daemon.cut.ended()).await.is_ok();
    daemon.cut.never();
    if died {
        world.kill(&format!("at an await point of {:?}", daemon.cut.at()));
    } else if world.chance.one_in(40) {
        if world.chance.one_in(2) {
            daemon.cut.after(world.chance.below(200));
        }
        world.stop().await;
    } else {
        return;
    }
    if world.chance.one_in(5) {
        world.trace.log("fault: power is cut");
        world.engine.power_cut();
    }
    if world.chance.one_in(4) {
        let by = world.chance.time(Duration::from_hours(2));
        let back = world.chance.one_in(2);
        world.trace.log(format!("fault: the wall clock steps by {by:?}, back: {back}"));
        world.clock.step(by, back);
    }
    world.acked.check(&world.store, &world.trace);
    tokio::time::sleep(world.chance.time(Duration::from_secs(5))).await;
    if world.chance.one_in(4) {
        // The next one does not get far either.
        if let Ok(daemon) = world.start() {
            daemon.cut.after(world.chance.below(200));
        }
    }
    world.up().await;
    if let Some(daemon) = world.daemon() {
        daemon.cut.never();
    }
}
