//! Event: something that happened to an object, for people. Kept in memory.

use ebb_model::k8s::api::core::v1::Event;
use ebb_model::{Fault, Kind as FaultKind, Timestamp};
use serde_json::{Value, json};

use super::{CORE, subdomain};
use crate::decode;
use crate::registry::{Backing, Kind};
use crate::table::{Column, age, at, column, wide};

const NAME_WIDE: Column = wide("Name", "Name of the event.");

pub(crate) static KIND: Kind = Kind {
    kind: "Event",
    plural: "events",
    singular: "event",
    short: &["ev"],
    backing: Backing::Live,
    fields: &[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.fieldPath",
        "reason",
        "type",
        "source.component",
        "reportingComponent",
    ],
    columns: &[
        column("Last Seen", "Time since it happened last."),
        column("Type", "Normal or Warning."),
        column("Reason", "Stable word or code."),
        column("Object", "What it happened to."),
        wide("Source", "What reported it."),
        column("Message", "One sentence."),
        wide("Count", "How often it happened."),
        NAME_WIDE,
    ],
    cells,
    decode: decode::typed::<Event>,
    validate,
    ..CORE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let seen = ["/lastTimestamp", "/eventTime", "/firstTimestamp", "/metadata/creationTimestamp"];
    let seen = seen.into_iter().find(|at| object.pointer(at).is_some_and(Value::is_string));
    let kind = object["involvedObject"]["kind"].as_str().unwrap_or_default().to_lowercase();
    let name = object["involvedObject"]["name"].as_str().unwrap_or_default();
    let source = match at(object, "/source/component") {
        empty if empty == "" => at(object, "/reportingComponent"),
        source => source,
    };
    vec![
        age(object, seen.unwrap_or_default(), now),
        at(object, "/type"),
        at(object, "/reason"),
        json!(format!("{kind}/{name}")),
        source,
        json!(object["message"].as_str().unwrap_or_default().trim()),
        at(object, "/count"),
        at(object, "/metadata/name"),
    ]
}

fn validate(new: &Value, _old: Option<&Value>) -> Vec<Fault> {
    let mut faults = subdomain(new);
    let own = new["metadata"]["namespace"].as_str().unwrap_or_default();
    let about = new["involvedObject"]["namespace"].as_str().unwrap_or_default();
    // An event about a cluster-scoped object has no namespace of its own and goes to `default`.
    if about != own && !(about.is_empty() && own == "default") {
        faults.push(
            Fault::new(
                "NAMESPACE_MISMATCH",
                FaultKind::Invalid,
                format!("{about:?} does not match the event's namespace {own:?}"),
            )
            .at("involvedObject.namespace"),
        );
    }
    faults
}
