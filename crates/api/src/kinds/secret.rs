//! Secret: encrypted at rest.

use ebb_model::k8s::ByteString;
use ebb_model::k8s::api::core::v1::Secret;
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::{CORE, replace, subdomain, typed};
use crate::protobuf;
use crate::registry::{Kind, Type};
use crate::table::{AGE, NAME, age, at, column, number};

pub(crate) static KIND: Kind = Kind {
    kind: "Secret",
    plural: "secrets",
    singular: "secret",
    sealed: true,
    fields: &["type"],
    columns: &[
        NAME,
        column("Type", "What the entries are for."),
        number("Data", "Number of entries."),
        AGE,
    ],
    cells,
    type_: Type::of::<Secret>(),
    protobuf: Some(protobuf::secret),
    default,
    validate,
    ..CORE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        at(object, "/metadata/name"),
        at(object, "/type"),
        json!(object["data"].as_object().map_or(0, serde_json::Map::len)),
        age(object, "/metadata/creationTimestamp", now),
    ]
}

/// `stringData` is for writing only: it goes into `data`.
fn default(object: &mut Value) {
    let Ok(mut secret) = typed::<Secret>(object) else { return };
    for (key, text) in secret.string_data.take().unwrap_or_default() {
        secret.data.get_or_insert_default().insert(key, ByteString(text.into_bytes()));
    }
    secret.type_.get_or_insert_with(|| "Opaque".to_owned());
    replace(object, &secret);
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    let mut faults = subdomain(new);
    match (typed::<Secret>(new), old.map(typed::<Secret>).transpose()) {
        (Ok(new), Ok(old)) => faults.extend(validate::secret(&new, old.as_ref())),
        (Err(fault), _) | (_, Err(fault)) => faults.push(fault),
    }
    faults
}
