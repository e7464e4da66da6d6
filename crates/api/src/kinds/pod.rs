//! Pod: how an instance looks from outside. Written by controllers; deleting one stops it.

use ebb_model::Timestamp;
use ebb_model::k8s::api::core::v1::Pod;
use serde_json::{Value, json};

use super::CORE;
use crate::auth::Verb;
use crate::registry::{Backing, Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column, wide};

pub(crate) static KIND: Kind = Kind {
    kind: "Pod",
    plural: "pods",
    singular: "pod",
    short: &["po"],
    categories: &["all"],
    backing: Backing::Live,
    verbs: &[Verb::Delete, Verb::DeleteCollection, Verb::Get, Verb::List, Verb::Watch],
    refused: "a pod shows an instance of a revision and cannot be made or changed by itself; apply \
              a Service of serving.knative.dev/v1",
    status: true,
    subresources: &[Subresource::Log],
    fields: &["spec.nodeName", "spec.restartPolicy", "status.phase", "status.podIP"],
    columns: &[
        NAME,
        column("Ready", "Containers that are ready, of all."),
        column("Status", "What it is doing, or why it does not."),
        column("Restarts", "How often its containers were started again."),
        AGE,
        wide("IP", "Address of the instance."),
        wide("Node", "Machine that it runs on."),
    ],
    cells,
    type_: Type::of::<Pod>(),
    ..CORE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let statuses = object.pointer("/status/containerStatuses").and_then(Value::as_array);
    let statuses = statuses.map(Vec::as_slice).unwrap_or_default();
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let all = object.pointer("/spec/containers").and_then(Value::as_array).map_or(0, Vec::len);
    let restarts: i64 = statuses.iter().filter_map(|s| s["restartCount"].as_i64()).sum();
    let node = at(object, "/spec/nodeName");
    vec![
        at(object, "/metadata/name"),
        json!(format!("{ready}/{}", all.max(statuses.len()))),
        json!(status(object, statuses)),
        json!(restarts.to_string()),
        age(object, "/metadata/creationTimestamp", now),
        or_none(at(object, "/status/podIP")),
        or_none(node),
    ]
}

fn or_none(cell: Value) -> Value {
    if cell == "" { json!("<none>") } else { cell }
}

/// As kubectl shows it: the reason of a container that waits or ended, else the phase.
fn status(object: &Value, statuses: &[Value]) -> String {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating".to_owned();
    }
    let reasons = statuses.iter().flat_map(|status| {
        ["/state/waiting/reason", "/state/terminated/reason"]
            .into_iter()
            .filter_map(|pointer| status.pointer(pointer)?.as_str())
    });
    let pod = [object.pointer("/status/reason"), object.pointer("/status/phase")];
    let pod = pod.into_iter().flatten().filter_map(Value::as_str);
    reasons.chain(pod).find(|text| !text.is_empty()).unwrap_or("Unknown").to_owned()
}
