//! Control against the in-memory store, simulated images, the simulated engine and a gateway that
//! records what it is told; on tokio's paused time.

#![allow(clippy::unwrap_used)] // clippy does not see that helpers of tests are tests

mod deploy;
mod engine_faults;
mod failures;
mod faults;
mod garbage;
mod manual;
mod namespaces;
mod order;
mod ownership;
mod pods;
mod remove;
mod resync;
mod scaling;
mod standalone;
mod world;
