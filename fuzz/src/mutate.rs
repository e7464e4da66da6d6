//! Spoiling: values, trees and bytes.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

/// Texts that mean something to somebody.
const TEXTS: &[&str] = &[
    "",
    " ",
    ".",
    "..",
    "/",
    "../../etc/passwd",
    "%00",
    "a\0b",
    "A",
    "a",
    "hello",
    "default",
    "-",
    "_",
    "*",
    "🦀",
    "e\u{301}",
    "\u{202e}",
    "\u{feff}",
    "null",
    "true",
    "0",
    "-1",
    "1",
    "1e400",
    "NaN",
    "9007199254740993",
    "99999999999999999999",
    "1Ki",
    "500m",
    "16Ei",
    "1m30s",
    "2024-01-01T00:00:00Z",
    "0000-00-00T99:99:99Z",
    "2024-01-01T00:00:00.000000Z",
    "v1",
    "serving.knative.dev/v1",
    "ConfigMap",
    "Service",
    "latest",
    "kubernetes.io/dockerconfigjson",
    "kubernetes",
    "orphan",
    "foregroundDeletion",
    "dg==",
    "~~~~",
    "hello-00001",
    "localhost/a@sha256:0",
    "$patch",
    "a=b",
    "a in (b)",
    "{}",
    "[]",
    "\r\nX: y",
    "<script>",
];

/// Names of fields that exist somewhere.
const FIELDS: &[&str] = &[
    "metadata",
    "name",
    "namespace",
    "generateName",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "uid",
    "resourceVersion",
    "deletionTimestamp",
    "creationTimestamp",
    "managedFields",
    "generation",
    "spec",
    "status",
    "template",
    "containers",
    "traffic",
    "data",
    "stringData",
    "binaryData",
    "type",
    "immutable",
    "kind",
    "apiVersion",
    "$patch",
    "$retainKeys",
    "$deleteFromPrimitiveList/finalizers",
    "conditions",
    "volumes",
    "securityContext",
    "percent",
    "latestRevision",
    "revisionName",
    "tag",
    "env",
    "ports",
    "image",
    "resources",
    "limits",
    "cpu",
    "memory",
    "timeoutSeconds",
    "containerConcurrency",
    "involvedObject",
    "series",
    "<<",
    "",
];

/// Bytes that mean something to a reader of JSON, YAML or protobuf.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"{",
    b"[",
    b"\"",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"1e999",
    b",",
    b"k8s\0",
    b"\r\n---\r\n",
    b"&a *a",
    b"!!x ",
    b"*a",
    b"? ",
    b"<<: ",
    b"\t",
];

/// A text from the list, or random characters.
pub fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        0 => (0..rng.random_range(0..40)).map(|_| rng.random::<char>()).collect(),
        1 => "a".repeat(rng.random_range(1..400)),
        2 => (0..rng.random_range(1..70)).map(|_| *pick(rng, b"abz019-._/") as char).collect(),
        _ => (*pick(rng, TEXTS)).to_owned(),
    }
}

/// The name of a field.
pub fn field(rng: &mut StdRng) -> String {
    if rng.random_bool(0.8) { (*pick(rng, FIELDS)).to_owned() } else { text(rng) }
}

/// One of `all`, which is not empty.
pub fn pick<'a, T>(rng: &mut StdRng, all: &'a [T]) -> &'a T {
    all.choose(rng).unwrap_or(&all[0])
}

/// Any value, not too deep.
pub fn value(rng: &mut StdRng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 9 } else { 12 }) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(*pick(
            rng,
            &[0_i64, 1, -1, 80, 100, 65_536, i64::MAX, i64::MIN, 9_007_199_254_740_993]
        )),
        3 => json!(rng.random::<i64>()),
        4 => json!(*pick(rng, &[0.5, -0.0, 1e308, 1e-308, 1.0])),
        5 => json!(u64::MAX),
        6..=8 => json!(text(rng)),
        9 => (0..rng.random_range(0..4)).map(|_| value(rng, depth - 1)).collect(),
        _ => {
            let entries = (0..rng.random_range(0..4)).map(|_| (field(rng), value(rng, depth - 1)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// JSON pointers of everything in `tree`, the tree itself first.
pub fn pointers(tree: &Value) -> Vec<String> {
    fn walk(tree: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match tree {
            Value::Object(map) => {
                for (key, value) in map {
                    walk(
                        value,
                        &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                        found,
                    );
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    walk(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(tree, "", &mut found);
    found
}

/// Changes one place of `tree`.
pub fn tree(rng: &mut StdRng, tree: &mut Value) {
    let all = pointers(tree);
    let (at, other) = (pick(rng, &all).clone(), pick(rng, &all).clone());
    let copied = tree.pointer(&other).cloned().unwrap_or_default();
    let Some(place) = tree.pointer_mut(&at) else { return };
    match rng.random_range(0..10) {
        0..=2 => *place = value(rng, 3),
        3 => *place = copied,
        4 => *place = Value::Null,
        5 => match place {
            Value::Object(map) => {
                let keys: Vec<String> = map.keys().cloned().collect();
                if let Some(key) = keys.choose(rng) {
                    map.remove(key);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                drop(items.remove(rng.random_range(0..items.len())));
            }
            other => *other = value(rng, 1),
        },
        6 | 7 => match place {
            Value::Object(map) => drop(map.insert(field(rng), value(rng, 2))),
            Value::Array(items) => items.push(copied),
            other => *other = json!(text(rng)),
        },
        8 => {
            let deep = rng.random_range(2..90);
            let inner = place.take();
            *place = (0..deep).fold(inner, |inner, _| json!([inner]));
        }
        _ => {
            if let Value::Object(map) = place {
                let keys: Vec<String> = map.keys().cloned().collect();
                if let Some(value) = keys.choose(rng).and_then(|key| map.remove(key)) {
                    map.insert(field(rng), value);
                }
            } else {
                *place = json!(text(rng));
            }
        }
    }
}

/// Changes a few bytes.
pub fn bytes(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..6) {
            0 => bytes.insert(at, rng.random()),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            4 => {
                let word = *pick(rng, WORDS);
                bytes.splice(at..at, word.iter().copied());
            }
            _ => {
                let part = bytes[at..].to_vec();
                let end = part.len().min(50);
                bytes.splice(at..at, part[..end].iter().copied());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_same_seed_spoils_in_the_same_way() {
        let spoil = |seed: u64| {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut object = json!({"metadata": {"name": "a", "labels": {"a/b": "c"}}, "list": [1, {"x": null}]});
            for _ in 0..20 {
                tree(&mut rng, &mut object);
            }
            let mut text = object.to_string().into_bytes();
            bytes(&mut rng, &mut text);
            text
        };
        for seed in 0..200 {
            assert_eq!(spoil(seed), spoil(seed));
        }
        assert_ne!(spoil(1), spoil(2));
    }

    #[test]
    fn every_place_has_a_pointer() {
        let object = json!({"a": [{"b/c": 1}], "~": 2});
        let all = pointers(&object);
        assert_eq!(all, ["", "/a", "/a/0", "/a/0/b~1c", "/~0"]);
        assert!(all.iter().all(|at| object.pointer(at).is_some()));
    }
}
