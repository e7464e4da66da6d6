//! Revision of Knative Serving. Made by its Configuration; only its labels and annotations change.

use ebb_model::knative::{READY, Revision};
use ebb_model::{Timestamp, validate};
use serde_json::{Value, json};

use super::cells::{IMAGE, image};
use super::{KNATIVE, checked};
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
        IMAGE,
        wide("Concurrency", "Requests that one instance takes at once; 0 is no limit."),
    ],
    cells,
    subresources: &[Subresource::Status],
    type_: Type::of::<Revision>(),
    validate: |new, old| {
        checked(new, old, |new, old| old.map_or_else(Vec::new, |old| validate::revision(new, old)))
    },
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
