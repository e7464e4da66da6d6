//! The engine of this machine, with real instances. Needs root.
//!
//! The program has no test harness, because it is also the spawner and the daemon of the platforms
//! under test, and a spawner must begin with one thread. Each test is a function that runs in a
//! daemon of its own; the runner checks afterwards that nothing is left on the machine.
//!
//! `cargo test -p ebb-engine --test it -- NAME` runs the tests whose name contains NAME.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)] // all of it is test

mod conform;
mod dropped;
mod harness;
mod killed;
mod lives;
mod security;
mod speed;

use std::process::ExitCode;

use harness::Test;

/// Every test.
const TESTS: &[Test] = &[
    Test::new("ready_and_stopped", |ctx| Box::pin(lives::ready_and_stopped(ctx))),
    Test::new("exit_codes_and_signals", |ctx| Box::pin(lives::exit_codes_and_signals(ctx))),
    Test::new("output", |ctx| Box::pin(lives::output(ctx))),
    Test::new("out_of_memory", |ctx| Box::pin(lives::out_of_memory(ctx))),
    Test::new("full_disk", |ctx| Box::pin(lives::full_disk(ctx))),
    Test::new("start_failures", |ctx| Box::pin(lives::start_failures(ctx))),
    Test::new("never_ready", |ctx| Box::pin(lives::never_ready(ctx))),
    Test::new("stop_kills_after_the_grace", |ctx| Box::pin(lives::stop_kills(ctx))),
    Test::new("frozen", |ctx| Box::pin(lives::frozen(ctx))),
    Test::new("more_than_the_reserve", |ctx| Box::pin(lives::more_than_the_reserve(ctx))),
    Test::new("started_once", |ctx| Box::pin(lives::started_once(ctx))),
    Test::new("left_running", |ctx| Box::pin(lives::left_running(ctx))),
    Test::new("kills_its_spawner", |ctx| Box::pin(lives::kills_its_spawner(ctx))),
    Test::new("after_a_killed_spawner", |ctx| Box::pin(lives::after_a_killed_spawner(ctx)))
        .after("kills_its_spawner"),
    Test::new("side_by_side", |ctx| Box::pin(lives::side_by_side(ctx))),
    Test::new("confined", |ctx| Box::pin(lives::confined(ctx))),
    Test::new("confined_is_dropped", |ctx| Box::pin(dropped::confined(ctx))),
    Test::new("start_is_dropped", |ctx| Box::pin(dropped::start(ctx))),
    Test::new("stop_is_dropped", |ctx| Box::pin(dropped::stop(ctx))),
    Test::new("kills_everything", |ctx| Box::pin(killed::kills_everything(ctx))),
    Test::new("starts_again", |ctx| Box::pin(killed::starts_again(ctx))).after("kills_everything"),
    Test::new("cleared_by_another", |ctx| Box::pin(killed::cleared_by_another(ctx))),
    Test::new("orphans_are_let_alone", |ctx| Box::pin(killed::orphans_are_let_alone(ctx))),
    Test::new("eight_at_once", |ctx| Box::pin(killed::eight_at_once(ctx))),
    Test::new("profile", |ctx| Box::pin(security::profile(ctx))),
    Test::new("users", |ctx| Box::pin(security::users(ctx))),
    Test::new("hostile_images", |ctx| Box::pin(security::hostile_images(ctx))),
    Test::new("read_only", |ctx| Box::pin(security::read_only(ctx))),
    Test::new("conformance", |ctx| Box::pin(conform::all(ctx))),
    Test::new("phases", |ctx| Box::pin(speed::phases(ctx))),
];

fn main() -> ExitCode {
    harness::main(TESTS)
}
