//! Runs instances. The only crate with unsafe code, all of it in `sys`.
//!
//! One seam, [`Engine`], with two implementations: `linux` (spawner, shim, namespaces, cgroups) and
//! `sim` (a twin for tests and simulation). Both pass `conformance`.

pub mod check;
pub mod conformance;
mod error;
pub mod linux;
pub mod probe;
mod seam;
pub mod sim;
#[allow(unsafe_code)] // the only place that has any; see the comment there
mod sys;

pub use error::Error;
pub use seam::{Act, Engine, Events, Io, LogQuery, Open};
