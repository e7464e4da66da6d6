//! The gateway between real sockets: raw clients on one side, programmable instances on the other.

#![allow(clippy::unwrap_used)] // a test helper that cannot go on should panic

mod backend;
mod client;
mod drain;
mod failures;
mod headers;
mod hold;
mod leaks;
mod limits;
mod routing;
mod smuggling;
mod streaming;
mod timeouts;
mod upgrade;
mod vectors;
mod world;
