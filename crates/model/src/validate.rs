//! Validation and defaults of declared resources: pure functions from an object to what is wrong
//! with it. Nothing is looked up: what must be known of other objects is an argument
//! ([`traffic_revisions`]), and a Secret that is named and not there is not a fault here.
//!
//! What this platform does not do yet is refused by name, with `UNSUPPORTED_FIELD`; what it will
//! never do for a tenant is refused with `FORBIDDEN_FIELD`. No field is dropped in silence.

mod annotations;
mod config;
mod configuration;
mod container;
mod forbidden;
pub mod metadata;
mod namespace;
mod revision;
mod route;
mod service;
mod traffic;

pub use annotations::{
    INITIAL_SCALE, MAX_SCALE, MIN_SCALE, WINDOW, parse_duration, template as template_annotations,
};
pub use config::{config_map, secret};
pub use configuration::{configuration, default_configuration};
pub use namespace::namespace;
pub use revision::revision;
pub use route::route;
pub use service::{default_service, service};
pub use traffic::revisions as traffic_revisions;

use crate::{Fault, Kind};

/// A fault at a field.
fn fault(code: &str, field: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault::new(code, Kind::Invalid, message).at(field)
}

/// The refusal of a field that is known and not done yet.
fn unsupported(field: impl Into<String>, instead: &str) -> Fault {
    fault("UNSUPPORTED_FIELD", field, "this field is known and not supported yet").hint(instead)
}

#[cfg(test)]
mod tests;
