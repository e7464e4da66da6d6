//! End to end: the real binary and real containers, only through the doors.

#![allow(clippy::unwrap_used)] // all of it is tests, helpers too

mod captured;
mod client_libraries;
mod demo;
mod deploy;
mod examples;
mod failures;
mod fake_registry;
mod gitops;
mod killed;
mod kubectl;
mod registry;
mod scale_zero;
mod schemathesis;
mod startup;
mod support;
mod survive;
