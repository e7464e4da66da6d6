//! Namespace: owner of everything else.

use ebb_model::k8s::api::core::v1::Namespace;
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::CORE;
use crate::auth::Verb;
use crate::protobuf;
use crate::registry::{Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column};

/// What a namespace waits for until everything in it is gone (`spec.finalizers`).
pub(crate) const FINALIZER: &str = "kubernetes";

/// There is no deleting all of them at once, as in Kubernetes.
const VERBS: &[Verb] =
    &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch];

pub(crate) static KIND: Kind = Kind {
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short: &["ns"],
    namespaced: false,
    verbs: VERBS,
    status: true,
    kept: &["spec"],
    fields: &["status.phase"],
    columns: &[NAME, column("Status", "Active, or Terminating while it is emptied."), AGE],
    cells,
    subresources: &[Subresource::Status],
    type_: Type::of::<Namespace>(),
    protobuf: Some(protobuf::namespace),
    default,
    validate: |new, old| {
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        let fault: Option<Fault> = validate::namespace(name, old.is_none());
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
    if object["spec"]["finalizers"].is_null() {
        object["spec"]["finalizers"] = json!([FINALIZER]);
    }
    if let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) {
        // Kubernetes sets it on every namespace, and selectors rely on it.
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
    }
}
