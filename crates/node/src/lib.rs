//! The composition root: a checked configuration in, a running platform out.
//!
//! This is the only crate that names concrete implementations of the seams. It decides nothing and
//! serves nothing itself; it reads the configuration ([`config`]), claims the data directory
//! ([`claim`]), hands over to the spawner ([`up`]) and, in the daemon, builds every part and wires
//! them with small adapters ([`daemon`], `adapters`).
//!
//! Process roles, all in one binary: [`up::start`] runs in the process that the user started and
//! ends by executing the spawner ([`up::spawner`]); the spawner starts the daemon
//! ([`daemon::run`]) and, on demand, confined processes that
//! unpack one layer each.

#![forbid(unsafe_code)]

mod adapters;
pub mod claim;
pub mod config;
pub mod daemon;
mod error;
mod machine;
pub mod up;

pub use error::Error;

/// What this machine can do, as `ebb doctor` shows it; `data_dir` is the disk that is looked at.
pub fn doctor(data_dir: &std::path::Path) -> Vec<ebb_engine::probe::Probe> {
    ebb_engine::probe::run(data_dir)
}
