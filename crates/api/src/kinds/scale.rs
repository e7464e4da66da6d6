//! Scale: the number of instances of a Service, as `kubectl scale` reads and writes it. Not a kind
//! of its own but the form of the subresource `scale`, so it is not among the registered ones.

use ebb_model::k8s::api::autoscaling::v1::Scale;
use ebb_model::scaling::MANUAL_MAX;
use ebb_model::{Fault, Kind as FaultKind};
use serde_json::{Value, json};

use super::CORE;
use crate::protobuf;
use crate::registry::{Backing, Kind, Type};

pub(crate) static KIND: Kind = Kind {
    group: "autoscaling",
    kind: "Scale",
    plural: "scales",
    singular: "scale",
    verbs: &[],
    backing: Backing::Answered,
    type_: Type::of::<Scale>(),
    protobuf: Some(protobuf::scale),
    default,
    validate,
    ..CORE
};

/// In protobuf, no instances and nothing said are the same; in JSON, Kubernetes takes them as the
/// same.
fn default(scale: &mut Value) {
    if scale["spec"]["replicas"].is_null() {
        scale["spec"]["replicas"] = json!(0);
    }
}

fn validate(new: &Value, _old: Option<&Value>) -> Vec<Fault> {
    let replicas = new["spec"]["replicas"].as_i64().unwrap_or(-1);
    if (0..=i64::from(MANUAL_MAX)).contains(&replicas) {
        return Vec::new();
    }
    let message = format!("Invalid value: {replicas}: 0 to {MANUAL_MAX} is allowed");
    vec![Fault::new("INVALID_VALUE", FaultKind::Invalid, message).at("spec.replicas")]
}
