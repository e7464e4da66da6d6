//! `cargo xtask sim`: runs seeds, or one of them with its trace.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // talking to a person is what it is for

use std::process::ExitCode;

use clap::Parser;
use ebb_kit::{Clock, SystemClock};
use ebb_sim::{Defect, Options, Place, STEPS, run, seeds};

/// It is said how far it is after so many seeds.
const PROGRESS: usize = 500;

/// Simulates the control plane with seeded faults.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Cli {
    /// How many seeds to draw and run
    #[arg(long, default_value_t = 200)]
    seeds: usize,
    /// What the seeds are drawn from: any number, as printed by an earlier run. Chance, if absent
    #[arg(long)]
    base: Option<u64>,
    /// This seed alone
    #[arg(long, conflicts_with_all = ["seeds", "base"])]
    seed: Option<u64>,
    /// Steps of each run
    #[arg(long, default_value_t = STEPS)]
    steps: u32,
    /// Print the whole trace
    #[arg(long)]
    trace: bool,
    /// Go on after a seed that fails
    #[arg(long)]
    keep_going: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let place = Place::new()?;
    let seeds = if let Some(seed) = cli.seed {
        vec![seed]
    } else {
        let base = cli.base.unwrap_or_else(seeds::any_base);
        println!("{} seeds: --seeds {} --base {base}", cli.seeds, cli.seeds);
        seeds::drawn(base).take(cli.seeds).collect()
    };
    let clock = SystemClock::new();
    let (began, mut failed, count) = (clock.now(), 0, seeds.len());
    for (at, seed) in seeds.into_iter().enumerate() {
        let options = Options { seed, steps: cli.steps, defect: Defect::None, dir: place.path() };
        let outcome = run(options)?;
        if cli.trace {
            outcome.lines.iter().for_each(|line| println!("{line}"));
        }
        if !outcome.violations.is_empty() {
            failed += 1;
            println!("{}", outcome.report());
            if !cli.keep_going {
                break;
            }
        }
        if (at + 1) % PROGRESS == 0 {
            eprintln!("{} of {count}, {failed} failed", at + 1);
        }
        if cli.seed.is_some() {
            println!("seed {seed}: {} lines, hash {:016x}", outcome.lines.len(), outcome.hash());
        }
    }
    let each = clock.now().since(began) / u32::try_from(count.max(1))?;
    println!("{count} seeds, {failed} with a violation, {each:?} each");
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
