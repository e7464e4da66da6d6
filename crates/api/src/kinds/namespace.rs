//! Namespace: owner of everything else.

use ebb_model::k8s::api::core::v1::Namespace;
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::CORE;
use crate::decode;
use crate::registry::Kind;
use crate::table::{AGE, NAME, age, at, column};

pub(crate) static KIND: Kind = Kind {
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short: &["ns"],
    namespaced: false,
    status: true,
    fields: &["status.phase"],
    columns: &[NAME, column("Status", "Active, or Terminating while it is emptied."), AGE],
    cells,
    decode: decode::typed::<Namespace>,
    default,
    validate: |new, _| {
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        let fault: Option<Fault> = validate::metadata::dns_label(name, "metadata.name").err();
        fault.into_iter().collect()
    },
    ..CORE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        at(object, "/metadata/name"),
        at(object, "/status/phase"),
        age(object, "/metadata/creationTimestamp", now),
    ]
}

fn default(object: &mut Value) {
    if object["status"]["phase"].is_null() {
        object["status"] = json!({"phase": "Active"});
    }
    if let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) {
        // Kubernetes sets it on every namespace, and selectors rely on it.
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
    }
}
