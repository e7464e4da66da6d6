//! One file per kind: its type, columns, defaults and validation.

pub(crate) mod configmap;
pub(crate) mod configuration;
pub(crate) mod event;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod revision;
pub(crate) mod route;
pub(crate) mod secret;
pub(crate) mod service;

use ebb_model::{Fault, Kind as FaultKind, name};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::decode;
use crate::registry::{ALL, Backing, Kind};

/// A core kind with everything that most of them share; a kind overrides what differs.
pub(crate) const CORE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    short: &[],
    categories: &[],
    namespaced: true,
    backing: Backing::Durable,
    sealed: false,
    verbs: ALL,
    refused: "",
    strategic: true,
    status: false,
    generation: false,
    subresources: &[],
    fields: &[],
    columns: &[],
    cells: |_, _| Vec::new(),
    decode: decode::typed::<Value>,
    default: |_| {},
    validate: |_, _| Vec::new(),
};

/// A kind of Knative Serving.
pub(crate) const KNATIVE: Kind =
    Kind { group: "serving.knative.dev", strategic: false, status: true, generation: true, ..CORE };

/// The object as its type. Admission decoded it before, so this does not fail; if it ever does,
/// that is a fault like any other.
fn typed<T: DeserializeOwned>(object: &Value) -> Result<T, Fault> {
    T::deserialize(object)
        .map_err(|error| Fault::new("INVALID_VALUE", FaultKind::Invalid, error.to_string()))
}

/// Writes a defaulted type back.
fn replace<T: Serialize>(object: &mut Value, typed: &T) {
    if let Ok(value) = serde_json::to_value(typed) {
        *object = value;
    }
}

/// Checks `metadata.name` as Kubernetes does for most kinds.
fn subdomain(object: &Value) -> Vec<Fault> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    name::check_subdomain(name, "metadata.name").err().into_iter().collect()
}
