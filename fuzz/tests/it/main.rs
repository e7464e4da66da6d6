//! As many requests as fit into a test run, and every case that ever failed.

#![allow(clippy::unwrap_used)] // as in every test; the lints do not know helpers

use std::path::Path;

use ebb_fuzz::round;

/// Requests of one test run.
const REQUESTS: u64 = 1_000;

#[test]
fn a_thousand_requests_break_no_promise() {
    // Another seed is tried with `cargo xtask fuzz api --seed S`; this one is the same every time.
    let seed = std::env::var("EBB_FUZZ_SEED").map_or(1, |seed| seed.parse().unwrap());
    let count = round::run(seed, REQUESTS).unwrap().unwrap_or_else(|found| panic!("\n{found}\n"));
    // What is refused at the first look tests nothing behind it.
    assert!(count.sent > REQUESTS * 9 / 10, "{count:?}");
    assert!(count.written > REQUESTS / 50, "{count:?}");
    assert!(count.refused < count.sent * 19 / 20, "{count:?}");
}

#[test]
fn what_failed_once_does_not_fail_again() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let cases = round::corpus(&dir).unwrap();
    for (path, case) in &cases {
        let judged = round::replay(case).unwrap();
        assert!(judged.is_ok(), "{}: {}\n{case}", path.display(), judged.unwrap_err());
    }
}
