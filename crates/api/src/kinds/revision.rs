//! Revision of Knative Serving. Made by its Configuration; only its labels and annotations change.

use ebb_model::knative::{READY, Revision};
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::cells::image;
use super::{KNATIVE, typed};
use crate::auth::Verb;
use crate::registry::{Kind, Subresource, Type};
use crate::table::{AGE, NAME, age, at, column, condition, count, number, wide};

pub(crate) static KIND: Kind = Kind {
    kind: "Revision",
    about: "An immutable snapshot of a template, with the image's digest.",
    plural: "revisions",
    singular: "revision",
    short: &["rev"],
    categories: &["all", "knative", "serving"],
    verbs: &[
        Verb::Delete,
        Verb::DeleteCollection,
        Verb::Get,
        Verb::List,
        Verb::Patch,
        Verb::Update,
        Verb::Watch,
    ],
    refused: "a revision is made by its configuration, from the template; change that, or the \
              template of the service",
    columns: &[
        NAME,
        column("Config Name", "Configuration that it is a snapshot of."),
        column("Generation", "Generation of the Configuration that it is a snapshot of."),
        column("Ready", "Whether an instance of it became ready."),
        column("Reason", "Why none did."),
        number("Actual Replicas", "Instances that are ready or starting."),
        number("Desired Replicas", "Instances that are wanted."),
        AGE,
        wide("Image", "Image of the container that takes requests."),
        wide("Concurrency", "Requests that one instance takes at once; 0 is no limit."),
    ],
    cells,
    subresources: &[Subresource::Status],
    type_: Type::of::<Revision>(),
    validate,
    ..KNATIVE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (ready, reason) = condition(object, READY);
    vec![
        at(object, "/metadata/name"),
        at(object, "/metadata/labels/serving.knative.dev~1configuration"),
        at(object, "/metadata/labels/serving.knative.dev~1configurationGeneration"),
        json!(ready),
        json!(reason),
        count(object, "/status/actualReplicas"),
        count(object, "/status/desiredReplicas"),
        age(object, "/metadata/creationTimestamp", now),
        image(object, "/spec/containers"),
        at(object, "/spec/containerConcurrency"),
    ]
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    let Some(old) = old else { return Vec::new() };
    match (typed::<Revision>(new), typed::<Revision>(old)) {
        (Ok(new), Ok(old)) => validate::revision(&new, &old),
        (Err(fault), _) | (_, Err(fault)) => vec![fault],
    }
}
