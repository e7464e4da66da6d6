//! ConfigMap: configuration of programs, not secret.

use ebb_model::k8s::api::core::v1::ConfigMap;
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::{CORE, bytes, checked, subdomain};
use crate::decode::{self, Decoded};
use crate::protobuf;
use crate::registry::{Kind, Type};
use crate::status::Failure;
use crate::table::{AGE, NAME, age, at, number};

pub(crate) static KIND: Kind = Kind {
    kind: "ConfigMap",
    plural: "configmaps",
    singular: "configmap",
    short: &["cm"],
    columns: &[NAME, number("Data", "Number of entries."), AGE],
    cells,
    type_: Type { decode: read, ..Type::of::<ConfigMap>() },
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
    faults.extend(checked(new, old, validate::config_map));
    faults
}

fn read(mut object: Value) -> Result<Decoded, Failure> {
    bytes::unwrap_lines(&mut object, "binaryData");
    decode::typed::<ConfigMap>(object)
}
