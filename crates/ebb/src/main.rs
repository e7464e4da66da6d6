//! The `ebb` command: arguments, output and exit codes. Everything else is in the libraries.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod commands;
mod failure;
mod kubeconfig;
mod output;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A closed standard output (`ebb ... | head`) is seen as a write error, never as a panic.
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let output = cli.output;
    match commands::run(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(output),
    }
}
