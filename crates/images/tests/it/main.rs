//! Tests of the crate from outside: real files, real sockets on the loopback, root needed.

#![allow(clippy::unwrap_used)] // helpers of tests are not seen as tests

mod child;
mod conformance;
mod drops;
mod honest;
mod hostile;
mod load;
mod pull;
mod raw;
mod real;
mod registry;
mod support;
