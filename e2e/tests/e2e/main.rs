//! End to end: the real binary and real containers, only through the doors.

#![allow(clippy::unwrap_used)] // all of it is tests, helpers too

mod demo;
mod deploy;
mod failures;
mod fake_registry;
mod python_client;
mod registry;
mod scale_zero;
mod startup;
mod support;
mod survive;
