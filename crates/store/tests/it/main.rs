//! Stores from outside, through their public interface.

#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

mod conformance;
mod disk;
mod kill;
mod model;
mod opening;
