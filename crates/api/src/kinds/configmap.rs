//! ConfigMap: configuration of programs, not secret.

use ebb_model::k8s::api::core::v1::ConfigMap;
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::{CORE, subdomain, typed};
use crate::protobuf;
use crate::registry::{Kind, Type};
use crate::table::{AGE, NAME, age, at, number};

pub(crate) static KIND: Kind = Kind {
    kind: "ConfigMap",
    plural: "configmaps",
    singular: "configmap",
    short: &["cm"],
    columns: &[NAME, number("Data", "Number of entries."), AGE],
    cells,
    type_: Type::of::<ConfigMap>(),
    protobuf: Some(protobuf::config_map),
    validate,
    ..CORE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let entries = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
    vec![
        at(object, "/metadata/name"),
        json!(entries("data") + entries("binaryData")),
        age(object, "/metadata/creationTimestamp", now),
    ]
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    let mut faults = subdomain(new);
    match (typed::<ConfigMap>(new), old.map(typed::<ConfigMap>).transpose()) {
        (Ok(new), Ok(old)) => faults.extend(validate::config_map(&new, old.as_ref())),
        (Err(fault), _) | (_, Err(fault)) => faults.push(fault),
    }
    faults
}
