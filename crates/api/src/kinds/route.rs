//! Route of Knative Serving: which revisions the requests for a host go to. Made by the Service of
//! the same name, which then writes its spec, or by people.

use ebb_model::knative::{READY, Route};
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::{KNATIVE, typed};
use crate::decode;
use crate::registry::Kind;
use crate::table::{NAME, at, column, condition};

pub(crate) static KIND: Kind = Kind {
    kind: "Route",
    plural: "routes",
    singular: "route",
    short: &["rt"],
    categories: &["all", "knative", "serving"],
    columns: &[
        NAME,
        column("URL", "Where it takes requests."),
        column("Ready", "Whether the gateway knows it."),
        column("Reason", "Why it does not."),
    ],
    cells,
    decode: decode::typed::<Route>,
    validate,
    ..KNATIVE
};

fn cells(object: &Value, _now: Timestamp) -> Vec<Value> {
    let (ready, reason) = condition(object, READY);
    vec![at(object, "/metadata/name"), at(object, "/status/url"), json!(ready), json!(reason)]
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    match (typed::<Route>(new), old.map(typed::<Route>).transpose()) {
        (Ok(new), Ok(old)) => validate::route(&new, old.as_ref()),
        (Err(fault), _) | (_, Err(fault)) => vec![fault],
    }
}
