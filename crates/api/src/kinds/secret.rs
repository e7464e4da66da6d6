//! Secret: encrypted at rest.

use ebb_model::k8s::ByteString;
use ebb_model::k8s::api::core::v1::Secret;
use ebb_model::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::{CORE, bytes, checked, filled, subdomain};
use crate::decode::{self, Decoded};
use crate::protobuf;
use crate::registry::{Kind, Type};
use crate::status::Failure;
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
    type_: Type { decode: read, ..Type::of::<Secret>() },
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
    filled::<Secret>(object, |secret| {
        for (key, text) in secret.string_data.take().unwrap_or_default() {
            secret.data.get_or_insert_default().insert(key, ByteString(text.into_bytes()));
        }
        secret.type_.get_or_insert_with(|| "Opaque".to_owned());
    });
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<Fault> {
    let mut faults = subdomain(new);
    faults.extend(checked(new, old, validate::secret));
    faults
}

fn read(mut object: Value) -> Result<Decoded, Failure> {
    bytes::unwrap_lines(&mut object, "data");
    decode::typed_secret::<Secret>(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_may_be_wrapped_and_what_is_wrong_stays_secret() {
        let wrapped = json!({"data": {"a": "aGVs\nbG8=\r\n", "b": null}});
        assert_eq!(read(wrapped).unwrap().object["data"], json!({"a": "aGVsbG8=", "b": ""}));
        for (wrong, why) in [
            (json!({"stringData": {"a": 12345}}), "invalid type: integer, expected a string"),
            (json!({"data": "12345, expected \"12345"}), "invalid type: string, expected a map"),
            (json!({"data": {"a": "12345!"}}), "it is not base64: wrong offset 5"),
        ] {
            let refused = read(wrong).unwrap_err();
            assert_eq!(refused.status, 400);
            assert!(refused.message.ends_with(why), "{}", refused.message);
            assert!(!refused.to_json().to_string().contains("12345"), "{}", refused.message);
        }
    }
}
