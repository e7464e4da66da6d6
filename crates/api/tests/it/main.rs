//! The door from outside: a real TLS client against a door over in-memory stores.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // as in every test; the lints do not know helpers

mod apply;
mod auth;
mod bad_input;
mod bookmarks;
mod deletion;
mod discovery;
mod excess;
mod kubectl;
mod limits;
mod lists;
mod log_and_images;
mod namespaces;
mod objects;
mod openapi;
mod partial;
mod patches;
mod priority;
mod protobuf;
mod quota;
mod reviews;
mod scale;
mod services;
mod serving;
mod status;
mod watches;
mod world;
