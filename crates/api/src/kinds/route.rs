//! Route of Knative Serving: which revisions the requests for a host go to. Made by the Service of
//! the same name, which then writes its spec, or by people.

use ebb_model::knative::{READY, Route};
use ebb_model::{Timestamp, validate};
use serde_json::{Value, json};

use super::cells::{TRAFFIC, traffic};
use super::{KNATIVE, checked};
use crate::registry::{Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column, condition};

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
        TRAFFIC,
    ],
    cells,
    subresources: &[Subresource::Status],
    type_: Type::of::<Route>(),
    validate: |new, old| checked(new, old, validate::route),
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
