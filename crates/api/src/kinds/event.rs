//! Event: something that happened to an object, for people. Kept in memory.

use ebb_model::k8s::api::core::v1::Event;
use ebb_model::{Fault, Kind as FaultKind, Timestamp};
use serde_json::{Value, json};

use super::{CORE, subdomain};
use crate::protobuf;
use crate::registry::{Backing, Kind, Type};
use crate::table::{Column, age, at, column, wide};

const FIRST: &str = "/firstTimestamp";
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
        wide("Subobject", "The part of the object that it happened to."),
        wide("Source", "What reported it."),
        column("Message", "One sentence."),
        wide("First Seen", "Time since it happened first."),
        wide("Count", "How often it happened."),
        NAME_WIDE,
    ],
    cells,
    type_: Type::of::<Event>(),
    protobuf: Some(protobuf::event),
    validate,
    ..CORE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let since = |places: &[&'static str]| {
        let is_there = |place: &&&str| object.pointer(place).is_some_and(Value::is_string);
        age(object, places.iter().find(is_there).copied().unwrap_or_default(), now)
    };
    let kind = object["involvedObject"]["kind"].as_str().unwrap_or_default().to_lowercase();
    let name = object["involvedObject"]["name"].as_str().unwrap_or_default();
    let source = match at(object, "/source/component") {
        empty if empty == "" => at(object, "/reportingComponent"),
        source => source,
    };
    let created = "/metadata/creationTimestamp";
    vec![
        since(&["/series/lastObservedTime", "/lastTimestamp", "/eventTime", FIRST, created]),
        at(object, "/type"),
        at(object, "/reason"),
        json!(format!("{kind}/{name}")),
        at(object, "/involvedObject/fieldPath"),
        source,
        json!(object["message"].as_str().unwrap_or_default().trim()),
        since(&[FIRST, "/eventTime", created]),
        json!(count(object).to_string()),
        at(object, "/metadata/name"),
    ]
}

/// How often it happened: what a series says, or the count of before there were series.
fn count(object: &Value) -> i64 {
    let number = |place: &str| object.pointer(place).and_then(Value::as_i64);
    number("/series/count").or_else(|| number("/count")).unwrap_or(1).max(1)
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
