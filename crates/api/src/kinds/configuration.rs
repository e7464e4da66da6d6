//! Configuration of Knative Serving: a template and its history. Made by the Service of the same
//! name, which then writes its spec, or by people.

use ebb_model::knative::{Configuration, READY};
use ebb_model::{Timestamp, validate};
use serde_json::{Value, json};

use super::cells::{IMAGE, LATEST_CREATED, LATEST_READY, image};
use super::{KNATIVE, checked, filled};
use crate::registry::{Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column, condition};

pub(crate) static KIND: Kind = Kind {
    kind: "Configuration",
    about: "The template of the next Revision and the history of its snapshots.",
    plural: "configurations",
    singular: "configuration",
    short: &["config", "cfg"],
    categories: &["all", "knative", "serving"],
    columns: &[
        NAME,
        LATEST_CREATED,
        LATEST_READY,
        column("Ready", "Whether the newest revision is ready."),
        column("Reason", "Why it is not."),
        AGE,
        IMAGE,
    ],
    cells,
    subresources: &[Subresource::Status],
    type_: Type::of::<Configuration>(),
    default: |object| filled(object, validate::default_configuration),
    validate: |new, old| checked(new, old, validate::configuration),
    ..KNATIVE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (ready, reason) = condition(object, READY);
    vec![
        at(object, "/metadata/name"),
        at(object, "/status/latestCreatedRevisionName"),
        at(object, "/status/latestReadyRevisionName"),
        json!(ready),
        json!(reason),
        age(object, "/metadata/creationTimestamp", now),
        image(object, "/spec/template/spec/containers"),
    ]
}
