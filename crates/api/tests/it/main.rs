//! The door from outside: a real TLS client against a door over in-memory stores.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // as in every test; the lints do not know helpers

mod auth;
mod discovery;
mod kubectl;
mod limits;
mod lists;
mod log_and_images;
mod namespaces;
mod objects;
mod services;
mod serving;
mod watches;
mod world;
