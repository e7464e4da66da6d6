//! Service of Knative Serving: what people deploy.

use std::collections::BTreeSet;

use ebb_model::knative::{LABEL_CONFIGURATION, READY, Service};
use ebb_model::{Timestamp, validate};
use serde_json::{Value, json};

use super::cells::{IMAGE, LATEST_CREATED, LATEST_READY, TRAFFIC, image, traffic};
use super::{KNATIVE, checked, filled, revision, typed};
use crate::admission::Lookup;
use crate::registry::{Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column, condition};

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
        LATEST_CREATED,
        LATEST_READY,
        column("Ready", "Whether it takes requests."),
        column("Reason", "Why it does not."),
        AGE,
        IMAGE,
        TRAFFIC,
    ],
    cells,
    type_: Type::of::<Service>(),
    default: |object| filled(object, validate::default_service),
    validate: |new, old| checked(new, old, validate::service),
    lookup: Some(Lookup {
        kind: &revision::KIND,
        label: LABEL_CONFIGURATION,
        matters: names_another_revision,
        check: |new, old, revisions| match (typed(new), old.map(typed).transpose()) {
            (Ok(new), Ok(old)) => validate::traffic_revisions(&new, old.as_ref(), revisions),
            (Err(fault), _) | (_, Err(fault)) => vec![fault],
        },
    }),
    ..KNATIVE
};

/// Whether a share goes to a revision that none went to before.
fn names_another_revision(new: &Value, old: Option<&Value>) -> bool {
    let names = |object: &Value| -> BTreeSet<String> {
        let shares = object["spec"]["traffic"].as_array().into_iter().flatten();
        shares.filter_map(|share| share["revisionName"].as_str().map(str::to_owned)).collect()
    };
    let before = old.map(names).unwrap_or_default();
    names(new).iter().any(|name| !before.contains(name))
}

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
