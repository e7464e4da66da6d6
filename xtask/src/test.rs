//! `cargo xtask test`: every check, from a clean clone, in one run.
//!
//! The steps run in order and the first failure ends the run. Test programs are asked to show the
//! output of passing tests; of it, only lines that begin with `NOT RUN:` are kept: a test prints
//! one when it cannot run on this machine, and all of them are listed at the end.

mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::{command, packages, tidy};
use report::Report;

/// A step: what it is called, and what it does.
type Step = (&'static str, fn(&mut Report) -> Result<()>);

/// What the first line of a test that cannot run begins with.
pub(crate) const NOT_RUN: &str = "NOT RUN:";

const STEPS: [Step; 8] = [
    ("what the tests want of this machine", |_| {
        packages::install();
        Ok(())
    }),
    ("tidy", |_| tidy::run(false)),
    ("formatting", |_| command::run(command::cargo().args(["fmt", "--all", "--check"]))),
    ("clippy, warnings denied", |_| clippy()),
    ("build, release", |_| build()),
    ("unit, property, conformance and integration tests", |report| units(report)),
    ("end to end tests, real binary and real containers", |report| e2e(report, &[])),
    ("demo --exit", demo),
];

/// Runs every step.
pub(crate) fn run() -> Result<()> {
    let mut report = Report::default();
    let start = command::now();
    for (at, (name, step)) in STEPS.iter().enumerate() {
        let number = at + 1;
        println!("\n== {number}/{} {name}", STEPS.len());
        let begin = command::now();
        let result = step(&mut report);
        let seconds = begin.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("== {number}/{} ok, {seconds:.1} s", STEPS.len()),
            Err(error) => {
                println!(
                    "== {number}/{} FAILED after {seconds:.1} s: {name}: {error:#}",
                    STEPS.len()
                );
                report.step_failed();
                report.print();
                bail!("step {number} failed: {name}");
            }
        }
    }
    println!("\nall steps took {:.0} s", start.elapsed().as_secs_f64());
    report.print();
    Ok(())
}

/// `cargo xtask e2e`.
pub(crate) fn end_to_end(arguments: &[String]) -> Result<()> {
    build()?;
    let mut report = Report::default();
    let result = e2e(&mut report, arguments);
    report.print();
    result
}

/// `cargo xtask sim`.
pub(crate) fn simulate(arguments: &[String]) -> Result<()> {
    let mut sim = command::cargo();
    sim.args(["run", "--quiet", "-p", "ebb-sim", "--"]).args(arguments);
    command::run(&mut sim)
}

/// `cargo xtask bench`.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    build()?;
    let mut bench = command::cargo();
    bench.args(["run", "--quiet", "--release", "-p", "ebb-bench", "--"]).args(arguments);
    command::run(bench.env("EBB_BIN", binary()))
}

/// `cargo xtask capture`.
pub(crate) fn capture() -> Result<()> {
    build()?;
    let mut capture = command::cargo();
    capture.args(["run", "--quiet", "-p", "ebb-e2e", "--bin", "capture"]);
    command::run(capture.env("EBB_BIN", binary()))
}

/// `cargo xtask fuzz`.
pub(crate) fn fuzz(arguments: &[String]) -> Result<()> {
    let mut fuzz = command::cargo();
    fuzz.args(["run", "--quiet", "--release", "-p", "ebb-fuzz", "--"]).args(arguments);
    command::run(&mut fuzz)
}

fn clippy() -> Result<()> {
    let scope = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    command::run(command::cargo().args(scope))
}

fn build() -> Result<()> {
    command::run(command::cargo().args(["build", "--release", "-p", "ebb"]))
}

fn units(report: &mut Report) -> Result<()> {
    let mut test = command::cargo();
    test.args(["test", "--workspace", "--exclude", "ebb-e2e", "--", "--show-output"]);
    tests(report, &mut test)
}

fn e2e(report: &mut Report, arguments: &[String]) -> Result<()> {
    if !packages::is_root() {
        report.not_run("NOT RUN: end to end tests: they need root, for namespaces and mounts");
        return Ok(());
    }
    let mut test = command::cargo();
    test.args(["test", "-p", "ebb-e2e", "--", "--show-output"]).args(arguments);
    tests(report, test.env("EBB_BIN", binary()))
}

fn demo(report: &mut Report) -> Result<()> {
    if !packages::is_root() {
        report.not_run("NOT RUN: demo --exit: it needs root, for namespaces and mounts");
        return Ok(());
    }
    let result = command::run(command::cargo().args(["run", "--release", "--", "demo", "--exit"]));
    report.count(u64::from(result.is_ok()), 0);
    result
}

/// Runs a cargo test command, passes its lines on and counts.
fn tests(report: &mut Report, test: &mut Command) -> Result<()> {
    let mut filter = report::Filter::default();
    let status = command::lines(test, |line| {
        report.read(line);
        if filter.shows(line) {
            println!("{line}");
        }
    })?;
    ensure!(status.success(), "`{}` failed", command::shown(test));
    Ok(())
}

/// The release binary of `ebb`.
fn binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    target.join("release").join("ebb")
}
