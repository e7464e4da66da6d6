//! Bodies in every form that the door takes, and in some that it does not.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::mutate::{self, pick};

/// Forms of a whole object.
const WHOLE: &[&str] = &[
    "application/json",
    "application/json",
    "application/json; charset=utf-8",
    "application/yaml",
    "text/yaml",
    "application/vnd.kubernetes.protobuf",
    "",
];
/// Forms of a change.
pub const PATCHES: &[&str] = &[
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
];

/// A body and its content type; an empty one for none.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Content type.
    pub type_: String,
    /// Bytes.
    pub bytes: Vec<u8>,
}

/// `object` as a whole, in some form.
pub fn whole(rng: &mut StdRng, object: &Value) -> Sent {
    let type_ = *pick(rng, WHOLE);
    let bytes = match type_ {
        "application/vnd.kubernetes.protobuf" => protobuf(rng, object),
        "application/yaml" | "text/yaml" => yaml(rng, object).into_bytes(),
        _ => object.to_string().into_bytes(),
    };
    finish(rng, type_, bytes)
}

/// A change of `object`, in the form `type_`.
pub fn patch(rng: &mut StdRng, type_: &str, object: &Value) -> Sent {
    let patch = match type_ {
        "application/json-patch+json" => json_patch(rng, object),
        "application/apply-patch+yaml" => object.clone(),
        _ => part(rng, object, type_.contains("strategic")),
    };
    let bytes = if type_.ends_with("yaml") && rng.random_bool(0.5) {
        yaml(rng, &patch).into_bytes()
    } else {
        patch.to_string().into_bytes()
    };
    finish(rng, type_, bytes)
}

/// Options of a deletion.
pub fn delete_options(rng: &mut StdRng) -> Sent {
    let options = match rng.random_range(0..6) {
        0 => json!({"propagationPolicy": pick(rng, &["Orphan", "Background", "Foreground", "x"])}),
        1 => json!({"preconditions": {"uid": "x", "resourceVersion": "1"}}),
        2 => json!({"gracePeriodSeconds": rng.random_range(-5..60), "orphanDependents": true}),
        3 => json!({"dryRun": ["All"], "kind": "DeleteOptions", "apiVersion": "v1"}),
        4 => mutate::value(rng, 2),
        _ => return Sent { type_: String::new(), bytes: Vec::new() },
    };
    finish(rng, "application/json", options.to_string().into_bytes())
}

/// Sometimes the bytes are spoiled, sometimes the type is another one.
fn finish(rng: &mut StdRng, type_: &str, mut bytes: Vec<u8>) -> Sent {
    if rng.random_bool(0.08) {
        mutate::bytes(rng, &mut bytes);
    }
    if rng.random_bool(0.02) {
        bytes = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
    }
    let type_ = match rng.random_range(0..40) {
        0 => pick(rng, PATCHES),
        1 => pick(rng, WHOLE),
        2 => pick(
            rng,
            &[
                "text/plain",
                "application/xml",
                "a/b",
                "*/*",
                "APPLICATION/JSON",
                ";",
                "application/cbor",
            ],
        ),
        _ => type_,
    };
    Sent { type_: type_.to_owned(), bytes }
}

/// Some fields of the object, changed; with directives of strategic merge patches among them.
fn part(rng: &mut StdRng, object: &Value, strategic: bool) -> Value {
    let mut patch = json!({});
    for (key, value) in object.as_object().into_iter().flatten() {
        if rng.random_bool(0.5) {
            patch[key] = value.clone();
        }
    }
    mutate::tree(rng, &mut patch);
    if strategic && rng.random_bool(0.5) {
        let directive = match rng.random_range(0..6) {
            0 => ("$patch", json!("replace")),
            1 => ("$patch", json!("delete")),
            2 => ("$retainKeys", json!(["metadata", "kind"])),
            3 => ("$deleteFromPrimitiveList/finalizers", json!(["a/b"])),
            4 => ("$setElementOrder/ownerReferences", json!([{"uid": "x"}])),
            _ => ("$patch", mutate::value(rng, 1)),
        };
        let places = mutate::pointers(&patch);
        let at = pick(rng, &places).clone();
        if let Some(Value::Object(map)) = patch.pointer_mut(&at) {
            map.insert(directive.0.to_owned(), directive.1);
        }
    }
    patch
}

fn json_patch(rng: &mut StdRng, object: &Value) -> Value {
    let places = mutate::pointers(object);
    let place = |rng: &mut StdRng| match rng.random_range(0..5) {
        0 => format!("{}/{}", pick(rng, &places), mutate::field(rng)),
        1 => format!("{}/-", pick(rng, &places)),
        2 => mutate::text(rng),
        _ => pick(rng, &places).clone(),
    };
    let operation = |rng: &mut StdRng| {
        let name = *pick(rng, &["add", "add", "remove", "replace", "move", "copy", "test", "jump"]);
        let mut operation = json!({"op": name, "path": place(rng)});
        if rng.random_bool(0.8) {
            operation["value"] = mutate::value(rng, 2);
        }
        if matches!(name, "move" | "copy") {
            operation["from"] = json!(place(rng));
        }
        operation
    };
    (0..rng.random_range(0..5)).map(|_| operation(rng)).collect()
}

/// YAML: JSON is YAML too; sometimes with what only YAML has.
fn yaml(rng: &mut StdRng, object: &Value) -> String {
    let text = object.to_string();
    match rng.random_range(0..8) {
        0 => format!("--- {text}\n...\n"),
        1 => format!("# x\n{text}\n---\n{text}\n"),
        2 => format!("!!map {text}"),
        3 => format!("&a {text}"),
        4 => text.replace("\"1\"", "no").replace("\"hello\"", "hello"),
        5 => block(object, 0),
        _ => text,
    }
}

/// Block style.
fn block(value: &Value, indent: usize) -> String {
    let space = "  ".repeat(indent);
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let (key, value) = (Value::from(key.as_str()), block(value, indent + 1));
                text = format!("{text}\n{space}{key}: {value}");
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text = format!("{text}\n{space}- {}", block(item, indent + 1));
            }
        }
        other => text = other.to_string(),
    }
    text
}

/// The envelope of Kubernetes around an object in protobuf: metadata and data as far as that is the
/// same for every kind, the rest spoiled.
fn protobuf(rng: &mut StdRng, object: &Value) -> Vec<u8> {
    let text = |value: &Value| value.as_str().unwrap_or_default().as_bytes().to_vec();
    let meta = [
        field(1, &text(&object["metadata"]["name"])),
        field(3, &text(&object["metadata"]["namespace"])),
    ]
    .concat();
    let mut raw = field(1, &meta);
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        raw.extend(field(2, &[field(1, key.as_bytes()), field(2, &text(value))].concat()));
    }
    for _ in 0..rng.random_range(0..3) {
        let noise: Vec<u8> = (0..rng.random_range(0..20)).map(|_| rng.random()).collect();
        raw.extend(field(rng.random_range(1..9), &noise));
    }
    let types = [field(1, &text(&object["apiVersion"])), field(2, &text(&object["kind"]))].concat();
    [b"k8s\0".to_vec(), field(1, &types), field(2, &raw)].concat()
}

/// A field of bytes: its tag, its length, the bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![(number << 3) | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        encoded.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    encoded.push(u8::try_from(length).unwrap_or(0));
    encoded.extend_from_slice(bytes);
    encoded
}
