//! Every invariant, over seeds that are drawn anew in each run.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ebb_sim::{Defect, Options, Outcome, Place, STEPS, run, seeds};

/// Seeds that a test run draws.
const SEEDS: usize = 200;
/// Failures that are reported whole.
const REPORTED: usize = 3;

fn outcome(place: &Place, seed: u64) -> Outcome {
    let options = Options { seed, steps: STEPS, defect: Defect::None, dir: place.path() };
    run(options).unwrap()
}

/// A number from the environment.
fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Says it even where the test passes, or never ends: past what the harness catches.
fn say(what: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{what}").unwrap();
}

#[test]
fn no_seed_breaks_an_invariant() {
    let count = number("EBB_SIM_SEEDS").unwrap_or(SEEDS);
    let base = number("EBB_SIM_BASE").unwrap_or_else(seeds::any_base);
    say(&format!(
        "simulation: {count} seeds, again with EBB_SIM_SEEDS={count} EBB_SIM_BASE={base}"
    ));
    let mut all = seeds::FIXED.to_vec();
    all.extend(seeds::drawn(base).take(count));
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let place = Place::new().unwrap();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().unwrap().len() < REPORTED {
                    let Some(seed) = all.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    let ran = std::panic::catch_unwind(|| outcome(&place, *seed));
                    let said = match ran {
                        Ok(outcome) if outcome.violations.is_empty() => continue,
                        Ok(outcome) => outcome.report(),
                        Err(_) => format!("panics: cargo xtask sim --seed {seed} --trace"),
                    };
                    failed.lock().unwrap().push(said);
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn a_base_gives_the_same_seeds_and_another_one_others() {
    let of = |base| seeds::drawn(base).take(SEEDS).collect::<Vec<u64>>();
    assert_eq!(of(5), of(5));
    assert!(of(5).iter().all(|seed| !of(6).contains(seed)));
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
