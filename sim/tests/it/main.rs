//! The simulator's own tests: seeds, scripts, and whether it would find anything.

#![allow(clippy::unwrap_used)] // tests

mod controls;
mod scripts;
mod seeds;
