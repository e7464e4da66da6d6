//! `cargo xtask sim`: runs seeds, or one of them with its trace.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // talking to a person is what it is for

use std::process::ExitCode;

use clap::Parser;
use ebb_sim::{Defect, Options, Place, STEPS, run};

/// Simulates the control plane with seeded faults.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Cli {
    /// How many seeds to run: 200, or 1 when --seed names it
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long)]
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
    let (first, count) = match cli.seed {
        Some(seed) => (seed, cli.seeds.unwrap_or(1)),
        None => (0, cli.seeds.unwrap_or(200)),
    };
    let mut failed = 0;
    for seed in first..first + count {
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
        if cli.seed.is_some() {
            println!("seed {seed}: {} lines, hash {:016x}", outcome.lines.len(), outcome.hash());
        }
    }
    if failed > 0 {
        return Ok(ExitCode::FAILURE);
    }
    println!("{count} seeds, no violation");
    Ok(ExitCode::SUCCESS)
}
