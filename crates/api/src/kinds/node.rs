//! Node: the machine. Written by controllers.

use ebb_model::Timestamp;
use ebb_model::k8s::api::core::v1::Node;
use serde_json::{Value, json};

use super::CORE;
use crate::registry::{Backing, Kind, READ, Type};
use crate::table::{AGE, NAME, age, at, column, condition, wide};

pub(crate) static KIND: Kind = Kind {
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short: &["no"],
    namespaced: false,
    backing: Backing::Live,
    verbs: READ,
    refused: "the platform describes its own machine",
    status: true,
    columns: &[
        NAME,
        column("Status", "Whether it takes instances."),
        column("Roles", "Parts of the platform that run on it."),
        AGE,
        column("Version", "Version of the platform."),
        wide("Internal-IP", "Address of the machine, where one is known."),
        wide("OS-Image", "Operating system."),
        wide("Kernel-Version", "Kernel."),
        wide("Container-Runtime", "What runs the instances."),
    ],
    cells,
    type_: Type::of::<Node>(),
    ..CORE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = match condition(object, "Ready").0 {
        "True" => "Ready",
        "False" => "NotReady",
        _ => "Unknown",
    };
    let labels = object["metadata"]["labels"].as_object();
    let roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    vec![
        at(object, "/metadata/name"),
        json!(ready),
        json!(if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }),
        age(object, "/metadata/creationTimestamp", now),
        at(object, "/status/nodeInfo/kubeletVersion"),
        internal_ip(object),
        at(object, "/status/nodeInfo/osImage"),
        at(object, "/status/nodeInfo/kernelVersion"),
        at(object, "/status/nodeInfo/containerRuntimeVersion"),
    ]
}

fn internal_ip(object: &Value) -> Value {
    let addresses = object.pointer("/status/addresses").and_then(Value::as_array);
    let found = addresses.into_iter().flatten().find(|address| address["type"] == "InternalIP");
    found.map_or_else(|| json!("<none>"), |address| address["address"].clone())
}
