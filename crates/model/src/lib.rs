//! The nouns of ebb: resource types, identities, quantities, validation and error kinds.
//!
//! What is here: plain data that two or more crates share, with the checks that belong to the data
//! itself. Everything is `Send`, `Clone` and comparable, and most of it has a wire form.
//!
//! What is deliberately absent: I/O, async, clocks, randomness, logging and decisions. A decision
//! belongs to `ebb-rules`, an effect to the crates above.
//!
//! Kubernetes core types (Secret, ConfigMap, Pod, ...) come from `k8s-openapi`, re-exported as
//! [`k8s`]; the Knative kinds in [`knative`] are ours and reuse its `Container` and `ObjectMeta`.

#![forbid(unsafe_code)]

pub mod digest;
pub mod engine;
pub mod error;
pub mod image;
pub mod key;
pub mod knative;
pub mod name;
pub mod near;
pub mod quantity;
pub mod reference;
pub mod reserve;
pub mod resource;
pub mod routing;
pub mod scaling;
pub mod time;
pub mod validate;

pub use digest::Digest;
pub use error::{Fault, Kind};
pub use k8s_openapi as k8s;
pub use name::{InstanceId, RevisionKey};
pub use reference::Reference;
pub use resource::Resource;
pub use time::Timestamp;
