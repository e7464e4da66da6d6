//! Service of Knative Serving: what people deploy.

use ebb_model::knative::{READY, Service};
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::cells::{image, traffic};
use super::{KNATIVE, replace, typed};
use crate::registry::{Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column, condition, wide};

pub(crate) static KIND: Kind = Kind {
    kind: "Service",
    about: "A named, addressable thing that answers requests: a Configuration and a Route of the same name.",
    plural: "services",
    singular: "service",
    short: &["kservice", "ksvc"],
    categories: &["all", "knative", "serving"],
    subresources: &[Subresource::Status, Subresource::Scale],
    columns: &[
        NAME,
        column("URL", "Where it takes requests."),
        column("LatestCreated", "Newest revision."),
        column("LatestReady", "Newest revision that was ready."),
        column("Ready", "Whether it takes requests."),
        column("Reason", "Why it does not."),
        AGE,
        wide("Image", "Image of the container that takes requests."),
        wide("Traffic", "Shares of requests, by revision."),
    ],
    cells,
    type_: Type::of::<Service>(),
    default,
    validate,
    ..KNATIVE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (ready, reason) = condition(object, READY);
    vec![
        at(object, "/metadata/name"),
        at(object, "/status/url"),
        at(object, "/status/latestCreatedRevisionName"),
        at(object, "/status/latestReadyRevisionName"),
        json!(ready),
        json!(reason),
        age(object, "/metadata/creationTimestamp", now),
        image(object, "/spec/template/spec/containers"),
        traffic(object),
    ]
}

fn default(object: &mut Value) {
    let Ok(mut service) = typed::<Service>(object) else { return };
    validate::default_service(&mut service);
    replace(object, &service);
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    match (typed::<Service>(new), old.map(typed::<Service>).transpose()) {
        (Ok(new), Ok(old)) => validate::service(&new, old.as_ref()),
        (Err(fault), _) | (_, Err(fault)) => vec![fault],
    }
}
