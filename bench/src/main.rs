//! Benchmarks of the whole platform against something that a reader knows, both sides in one run.
//!
//! Sides are interleaved round by round, so that a noisy machine disturbs them alike, and what is
//! reported are medians, tails and ratios, with the machine and its load beside them. The platform
//! is the real binary and is reached only through its doors; everything that a bench starts is
//! ended by its process id and everything that it makes is removed.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // its output is what it is for

mod api;
mod cold;
mod machine;
mod proxy;
mod stats;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask bench", version)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// The API with 10,000 Services stored, the cost of a durable write, and the time to start
    Api(api::Options),
    /// Time from a request to a service at zero until the first byte of its answer, against bare
    /// fork+exec of the same server and against `runc run`
    Cold(cold::Options),
    /// Warm requests through the gateway, against nginx as reverse proxy and against no proxy
    Proxy(proxy::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().bench {
        Bench::Api(options) => api::run(&options),
        Bench::Cold(options) => cold::run(&options),
        Bench::Proxy(options) => proxy::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
