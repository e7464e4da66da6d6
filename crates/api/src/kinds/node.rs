//! Node: the machine. Written by controllers.

use ebb_model::Timestamp;
use ebb_model::k8s::api::core::v1::Node;
use serde_json::{Value, json};

use super::CORE;
use crate::decode;
use crate::registry::{Backing, Kind, READ};
use crate::table::{AGE, NAME, age, at, column, condition, wide};

pub(crate) static KIND: Kind = Kind {
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short: &["no"],
    namespaced: false,
    backing: Backing::Live,
    verbs: READ,
    status: true,
    columns: &[
        NAME,
        column("Status", "Whether it takes instances."),
        column("Roles", "Parts of the platform that run on it."),
        AGE,
        column("Version", "Version of the platform."),
        wide("OS-Image", "Operating system."),
        wide("Kernel-Version", "Kernel."),
    ],
    cells,
    decode: decode::typed::<Node>,
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
        at(object, "/status/nodeInfo/osImage"),
        at(object, "/status/nodeInfo/kernelVersion"),
    ]
}
