//! Configuration of Knative Serving: a template and its history. Made by the Service of the same
//! name, which then writes its spec, or by people.

use ebb_model::knative::{Configuration, READY};
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::cells::image;
use super::{KNATIVE, replace, typed};
use crate::registry::{Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column, condition, wide};

pub(crate) static KIND: Kind = Kind {
    kind: "Configuration",
    about: "The template of the next Revision and the history of its snapshots.",
    plural: "configurations",
    singular: "configuration",
    short: &["config", "cfg"],
    categories: &["all", "knative", "serving"],
    columns: &[
        NAME,
        column("LatestCreated", "Newest revision."),
        column("LatestReady", "Newest revision that was ready."),
        column("Ready", "Whether the newest revision is ready."),
        column("Reason", "Why it is not."),
        AGE,
        wide("Image", "Image of the container that takes requests."),
    ],
    cells,
    subresources: &[Subresource::Status],
    type_: Type::of::<Configuration>(),
    default,
    validate,
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

fn default(object: &mut Value) {
    let Ok(mut configuration) = typed::<Configuration>(object) else { return };
    validate::default_configuration(&mut configuration);
    replace(object, &configuration);
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    match (typed::<Configuration>(new), old.map(typed::<Configuration>).transpose()) {
        (Ok(new), Ok(old)) => validate::configuration(&new, old.as_ref()),
        (Err(fault), _) | (_, Err(fault)) => vec![fault],
    }
}
