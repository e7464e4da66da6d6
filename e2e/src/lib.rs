//! The harness of the end to end tests and of the benches: starts the real `ebb` binary and speaks
//! to it only through its doors.
//!
//! What is here: [`Platform`] starts `ebb up` in a temporary data directory, waits for its ready
//! line, runs `ebb` and `kubectl` against it, and on its end checks that nothing was left on the
//! machine. [`http`] and [`api`] are small blocking clients, so that a test sees the bytes that a
//! user would see. [`image`], [`debian`] and [`examples`] build the images that are deployed; [`clients`] installs
//! the client libraries and tools that judge the API, and [`capture`] keeps what
//! they send.
//!
//! What is not here: any access to the platform's insides. Of the project's crates only the image
//! builder and the nouns are used.
//!
//! A test that cannot run on this machine calls [`not_run`] and returns; `cargo xtask test`
//! collects those lines.

#![forbid(unsafe_code)]

pub mod api;
pub mod capture;
pub mod clients;
pub mod debian;
pub mod examples;
pub mod http;
pub mod image;
pub mod leaks;
pub mod platform;
pub mod process;
mod tree;

pub use api::Api;
pub use platform::{Options, Platform, Ran};

use std::time::Instant;

/// Says that the test `name` cannot run on this machine, and why.
#[allow(clippy::print_stdout)] // what `cargo xtask test` reads
pub fn not_run(name: &str, why: &str) {
    println!("NOT RUN: {name}: {why}");
}

/// Now. Tests bound their waiting with it and benches measure with it; nothing in the platform does.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Where files are kept between runs: downloaded packages and the like.
pub fn cache_dir() -> std::path::PathBuf {
    platform::target_dir().join("e2e-cache")
}
