//! The simulator: the control plane on one thread and paused time, with seeded faults.
//!
//! What is here: control, its rules and the door as they are shipped, over the stores', images'
//! and engine's twins in memory and a gateway without sockets; a source of faults; invariants that
//! are checked after every step; and a small language for scripts. What is not: the kernel, the
//! network, SQLite's own durability; those are tested where they are real.
//!
//! # How it works
//!
//! One seed makes one run, byte for byte. [`run`] draws what clients do, what fails and how much
//! time passes. Nothing waits for real: time is tokio's, paused, and goes on when nobody has
//! anything left to do. A daemon is ended at an await point by counting the polls of its tasks
//! (`gate`): at the chosen one, nothing of it goes on, and another daemon starts on the same disk
//! and the same instances. What is on the disk and what the machine runs is looked at past all
//! faults, so the invariants do not depend on what the platform believes.
//!
//! Entry points: [`run`] for a seed, [`script::play`] for a script.

#![forbid(unsafe_code)]

mod acked;
mod acts;
mod chance;
mod check;
mod client;
mod clock;
mod daemon;
mod engine;
mod gate;
mod gateway;
mod images;
mod objects;
mod place;
mod published;
mod reasons;
mod requests;
mod run;
pub mod script;
pub mod seeds;
mod settle;
mod store;
mod trace;
mod watcher;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use place::Place;
pub use run::{Options, Outcome, STEPS, run};
pub use trace::Violation;
pub use world::Defect;

/// A mutex that a panic elsewhere does not spoil.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
