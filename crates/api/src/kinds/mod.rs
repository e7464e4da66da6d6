//! One file per kind: its type, columns, defaults and validation.

mod bytes;
mod cells;
pub(crate) mod configmap;
pub(crate) mod configuration;
pub(crate) mod event;
pub(crate) mod lease;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod revision;
pub(crate) mod route;
pub(crate) mod scale;
pub(crate) mod secret;
pub(crate) mod self_subject_access_review;
pub(crate) mod self_subject_review;
pub(crate) mod self_subject_rules_review;
pub(crate) mod service;

use ebb_model::{Fault, Kind as FaultKind, name};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::auth::Verb;
use crate::registry::{ALL, Backing, Kind, Type};

/// A core kind with everything that most of them share; a kind overrides what differs.
pub(crate) const CORE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "",
    about: "",
    plural: "",
    singular: "",
    short: &[],
    categories: &[],
    namespaced: true,
    backing: Backing::Durable,
    answer: None,
    sealed: false,
    verbs: ALL,
    refused: "",
    strategic: true,
    status: false,
    kept: &[],
    put_creates: false,
    allow_unconditional_update: true,
    generation: false,
    subresources: &[],
    fields: &[],
    columns: &[],
    cells: |_, _| Vec::new(),
    type_: Type::of::<Value>(),
    protobuf: None,
    default: |_| {},
    validate: |_, _| Vec::new(),
    lookup: None,
};

/// A kind of Knative Serving.
pub(crate) const KNATIVE: Kind = Kind {
    group: "serving.knative.dev",
    strategic: false,
    status: true,
    generation: true,
    allow_unconditional_update: false,
    ..CORE
};

/// A review: a question about whoever asks, answered and not stored.
pub(crate) const REVIEW: Kind = Kind {
    group: "authorization.k8s.io",
    namespaced: false,
    verbs: &[Verb::Create],
    backing: Backing::Answered,
    refused: "a review is answered, not stored: send it with POST",
    ..CORE
};

/// The object as its type. Admission decoded it before, so this does not fail; if it ever does,
/// that is a fault like any other.
fn typed<T: DeserializeOwned>(object: &Value) -> Result<T, Fault> {
    T::deserialize(object)
        .map_err(|error| Fault::new("INVALID_VALUE", FaultKind::Invalid, error.to_string()))
}

/// What `check` says of the new and the old object.
fn checked<T: DeserializeOwned>(
    new: &Value,
    old: Option<&Value>,
    check: fn(&T, Option<&T>) -> Vec<Fault>,
) -> Vec<Fault> {
    match (typed::<T>(new), old.map(typed::<T>).transpose()) {
        (Ok(new), Ok(old)) => check(&new, old.as_ref()),
        (Err(fault), _) | (_, Err(fault)) => vec![fault],
    }
}

/// Lets `fill` fill in what was left out of the object.
fn filled<T: DeserializeOwned + Serialize>(object: &mut Value, fill: fn(&mut T)) {
    let Ok(mut typed) = typed::<T>(object) else { return };
    fill(&mut typed);
    if let Ok(value) = serde_json::to_value(typed) {
        *object = value;
    }
}

/// Checks `metadata.name` as Kubernetes does for most kinds.
fn subdomain(object: &Value) -> Vec<Fault> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    name::check_subdomain(name, "metadata.name").err().into_iter().collect()
}
