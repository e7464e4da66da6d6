//! Route of Knative Serving: which revisions the requests for a host go to. Made by the Service of
//! the same name, which then writes its spec, or by people.

use ebb_model::knative::{READY, Route};
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::cells::traffic;
use super::{KNATIVE, typed};
use crate::registry::{Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column, condition, wide};

pub(crate) static KIND: Kind = Kind {
    kind: "Route",
    about: "Host and traffic of a Service.",
    plural: "routes",
    singular: "route",
    short: &["rt"],
    categories: &["all", "knative", "serving"],
    columns: &[
        NAME,
        column("URL", "Where it takes requests."),
        column("Ready", "Whether the gateway knows it."),
        column("Reason", "Why it does not."),
        AGE,
        wide("Traffic", "Shares of requests, by revision."),
    ],
    cells,
    subresources: &[Subresource::Status],
    type_: Type::of::<Route>(),
    validate,
    ..KNATIVE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (ready, reason) = condition(object, READY);
    vec![
        at(object, "/metadata/name"),
        at(object, "/status/url"),
        json!(ready),
        json!(reason),
        age(object, "/metadata/creationTimestamp", now),
        traffic(object),
    ]
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    match (typed::<Route>(new), old.map(typed::<Route>).transpose()) {
        (Ok(new), Ok(old)) => validate::route(&new, old.as_ref()),
        (Err(fault), _) | (_, Err(fault)) => vec![fault],
    }
}
