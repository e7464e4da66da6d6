//! `cargo xtask`: the chores of this repository, in Rust so that they run wherever cargo runs.

#![allow(clippy::print_stdout, clippy::print_stderr)] // talking to a person is what it is for

mod command;
mod packages;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// All tests from a clean clone: what `.ci/run` calls
    Test,
    /// Checks the shape of the tree: arrows between crates, sizes, documents
    Tidy {
        /// Rewrite what is generated instead of complaining that it is stale
        #[arg(long)]
        fix: bool,
    },
    /// The end to end tests, with the release binary
    E2e {
        /// Arguments for the test program, such as the name of a test
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The simulator: `sim --seeds N`, or one seed again with `sim --seed S --trace`
    Sim {
        /// Arguments for the simulator
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Writes down what the kubectl of this machine sends, for the end to end tests
    Capture,
    /// Requests that nobody would send, until it is stopped: `fuzz api [--seed S] [--requests N]`
    Fuzz {
        /// `api`, and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// A benchmark: `bench api`, `bench cold` or `bench proxy`
    Bench {
        /// `cold` or `proxy`, and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Test => test::run(),
        Chore::Tidy { fix } => tidy::run(fix),
        Chore::E2e { arguments } => test::end_to_end(&arguments),
        Chore::Sim { arguments } => test::simulate(&arguments),
        Chore::Capture => test::capture(),
        Chore::Fuzz { arguments } => test::fuzz(&arguments),
        Chore::Bench { arguments } => test::bench(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
