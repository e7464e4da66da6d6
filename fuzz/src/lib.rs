//! Requests that nobody would send, and what must hold however they are answered.
//!
//! **What it is.** A seeded generator of requests that knows the routes of the native door, the
//! schemas that the door itself publishes and a valid object of each kind, and spoils all of it;
//! and the promises that every answer is checked against. The requests go through the whole door in
//! one process ([`ebb_api::Direct`]) over in-memory stores, in virtual time.
//!
//! **How it works.** [`door::Door`] is a door with a few objects in it. [`generate::Generator`]
//! makes one [`case::Case`] after the other from a seed. [`check::run`] sends a case and says which
//! promise was broken. [`round::run`] does that with many, and hands back the first that failed,
//! made as small as it can be and still fail ([`shrink`]).
//!
//! Two programs use it: the test of this crate, with as many requests as fit into a test run and
//! every case of `fuzz/corpus` again, and `cargo xtask fuzz api`, without an end.

#![forbid(unsafe_code)]

pub mod bodies;
pub mod case;
pub mod check;
pub mod door;
pub mod generate;
pub mod mutate;
pub mod objects;
pub mod queries;
pub mod round;
pub mod schemas;
pub mod shrink;
