//! `cargo xtask fuzz api`: requests without an end.

#![allow(clippy::print_stdout)] // talking to a person is what it is for

use std::path::Path;

use anyhow::Result;
use clap::{Parser, Subcommand};
use ebb_fuzz::round::{self, Found};

/// Requests to one door before the next is made.
const ROUND: u64 = 1_000;

/// Sends requests that nobody would send, until it is stopped.
#[derive(Parser)]
#[command(name = "ebb-fuzz")]
struct Cli {
    #[command(subcommand)]
    target: Target,
}

#[derive(Subcommand)]
enum Target {
    /// The native door
    Api {
        /// Seed of the first round; each round takes the next
        #[arg(long)]
        seed: Option<u64>,
        /// Requests to send; without it, for ever
        #[arg(long)]
        requests: Option<u64>,
    },
}

fn main() -> Result<()> {
    let Target::Api { seed, requests } = Cli::parse().target;
    let first = seed.unwrap_or_else(rand::random);
    let (mut sent, mut refused, mut written, mut failed) = (0, 0, 0, 0_u64);
    let mut left = requests.unwrap_or(u64::MAX);
    for seed in (0..).map(|round| first.wrapping_add(round)) {
        if left == 0 {
            break;
        }
        let size = left.min(ROUND);
        left -= size;
        match round::run(seed, size)? {
            Ok(count) => {
                sent += count.sent;
                refused += count.refused;
                written += count.written;
            }
            Err(found) => {
                failed += 1;
                println!("{found}\n");
                keep(&found)?;
            }
        }
        println!("seed {seed}: {sent} sent, {refused} refused, {written} written, {failed} failed");
    }
    anyhow::ensure!(failed == 0, "{failed} rounds failed");
    Ok(())
}

/// Writes the case into the corpus, under a name that says which promise it broke.
fn keep(found: &Found) -> Result<()> {
    if !found.alone {
        println!("it is not kept, as it fails only after others: run the seed again");
        return Ok(());
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    std::fs::create_dir_all(&dir)?;
    let promise = found.broken.promise.replace(' ', "-");
    let path = dir.join(format!("{promise}-{}-{}.json", found.seed, found.number));
    std::fs::write(&path, found.case.to_json())?;
    println!("kept as {}", path.display());
    Ok(())
}
