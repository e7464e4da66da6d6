//! Service of Knative Serving: what people deploy.

use ebb_model::knative::{READY, Service};
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::{KNATIVE, replace, typed};
use crate::decode;
use crate::registry::Kind;
use crate::table::{NAME, at, column, condition};

pub(crate) static KIND: Kind = Kind {
    kind: "Service",
    plural: "services",
    singular: "service",
    short: &["kservice", "ksvc"],
    categories: &["all", "knative", "serving"],
    columns: &[
        NAME,
        column("URL", "Where it takes requests."),
        column("LatestCreated", "Newest revision."),
        column("LatestReady", "Newest revision that was ready."),
        column("Ready", "Whether it takes requests."),
        column("Reason", "Why it does not."),
    ],
    cells,
    decode: decode::typed::<Service>,
    default,
    validate,
    ..KNATIVE
};

fn cells(object: &Value, _now: Timestamp) -> Vec<Value> {
    let (ready, reason) = condition(object, READY);
    vec![
        at(object, "/metadata/name"),
        at(object, "/status/url"),
        at(object, "/status/latestCreatedRevisionName"),
        at(object, "/status/latestReadyRevisionName"),
        json!(ready),
        json!(reason),
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
