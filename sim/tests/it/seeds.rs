use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ebb_sim::{Defect, Options, Outcome, Place, STEPS, run};

/// Seeds of a test run. Always the same ones, so that a run says the same on every machine.
const SEEDS: u64 = 200;
/// Failures that are reported whole.
const REPORTED: usize = 3;

fn outcome(place: &Place, seed: u64) -> Outcome {
    let options = Options { seed, steps: STEPS, defect: Defect::None, dir: place.path() };
    run(options).unwrap()
}

#[test]
fn no_seed_breaks_an_invariant() {
    let count = std::env::var("EBB_SIM_SEEDS").ok();
    let count = count.map_or(SEEDS, |text| text.parse().expect("EBB_SIM_SEEDS is a number"));
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let place = Place::new().unwrap();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count || failed.lock().unwrap().len() >= REPORTED {
                        return;
                    }
                    let outcome = outcome(&place, seed);
                    if !outcome.violations.is_empty() {
                        failed.lock().unwrap().push(outcome.report());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let place = Place::new().unwrap();
    for seed in [7, 11, 23] {
        let (first, second) = (outcome(&place, seed), outcome(&place, seed));
        for (at, (a, b)) in first.lines.iter().zip(&second.lines).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {at}");
        }
        assert_eq!(first.hash(), second.hash(), "seed {seed}");
        assert!(first.lines.len() > 100, "something happens");
    }
    assert_ne!(outcome(&place, 1).hash(), outcome(&place, 2).hash());
}
