//! Answers without what differs between two runs.

use serde_json::{Map, Value, json};

/// A document, masked, as the answer to a request for `path`.
pub(crate) fn document(path: &str, document: &Value) -> Value {
    let route = path.split('?').next().unwrap_or_default();
    let describes = ["/api", "/apis", "/openapi", "/version"];
    let describes = describes.iter().any(|start| route == *start || route.starts_with("/openapi"));
    if describes || is_group_version(route) {
        return outline(document);
    }
    let of_machine = ["/nodes", "/namespaces/kube-node-lease"];
    let mirrors = ["/pods", "/events"].iter().any(|part| route.contains(part));
    let of_machine = of_machine.iter().any(|part| route.contains(part));
    if of_machine || mirrors && document["kind"] != "Status" {
        return outline(document);
    }
    masked(route, document)
}

/// `/api/v1` or `/apis/group/version`.
fn is_group_version(route: &str) -> bool {
    let parts: Vec<&str> = route.trim_matches('/').split('/').collect();
    matches!(parts.as_slice(), ["api" | "apis", _] | ["apis", _, _])
}

/// What kind of document it is, and which fields it has: the rest is judged elsewhere, or belongs
/// to the machine.
fn outline(document: &Value) -> Value {
    let Value::Object(fields) = document else { return json!("(document)") };
    let kept = ["kind", "apiVersion", "columnDefinitions"];
    let show = |(name, value): (&String, &Value)| {
        let value = if kept.contains(&name.as_str()) { value.clone() } else { json!("(any)") };
        (name.clone(), value)
    };
    Value::Object(fields.iter().map(show).collect())
}

fn masked(route: &str, value: &Value) -> Value {
    match value {
        Value::String(text) => json!(self::text(text)),
        Value::Array(items) => items.iter().map(|item| masked(route, item)).collect(),
        Value::Object(fields) => object(route, fields),
        other => other.clone(),
    }
}

fn object(route: &str, fields: &Map<String, Value>) -> Value {
    let version = fields.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let knative = version.starts_with("serving.knative.dev");
    let show = |(name, value): (&String, &Value)| {
        let shown = match (name.as_str(), value) {
            ("uid", Value::String(_)) => json!("(uid)"),
            ("resourceVersion", Value::String(text)) if text != "0" => json!("(version)"),
            ("fieldsV1", _) => json!("(fields)"),
            ("metadata", Value::Object(fields)) if knative => {
                let mut metadata = fields.clone();
                if metadata.contains_key("managedFields") {
                    metadata.insert("managedFields".to_owned(), json!("(managed)"));
                }
                masked(route, &Value::Object(metadata))
            }
            ("managedFields", Value::Array(managers)) => managed(route, managers),
            ("rows", Value::Array(rows)) => rows.iter().map(|it| row(route, it)).collect(),
            _ => masked(route, value),
        };
        (name.clone(), shown)
    };
    // Controllers write it when they get to it.
    let settled = fields.iter().filter(|(name, _)| !(knative && *name == "status"));
    Value::Object(settled.map(show).collect())
}

/// Field managers by name. As they come, those of one second are sorted in another way than those
/// of two.
fn managed(route: &str, managers: &[Value]) -> Value {
    let mut managers: Vec<Value> = managers.iter().map(|each| masked(route, each)).collect();
    managers.sort_by_key(|each| format!("{} {}", each["manager"], each["operation"]));
    Value::Array(managers)
}

/// A row of a table. What it says of an object that a controller works on is a matter of time.
fn row(route: &str, row: &Value) -> Value {
    let mut row = row.clone();
    let version = row["object"]["apiVersion"].as_str().unwrap_or_default();
    let reconciled = version.starts_with("serving") || route.contains("/serving.knative.dev/");
    for cell in row["cells"].as_array_mut().into_iter().flatten() {
        let text = cell.as_str().unwrap_or_default();
        let is_age = text.ends_with(['s', 'm', 'h', 'd', 'y'])
            && text.bytes().all(|b| b.is_ascii_digit() || b"smhdy".contains(&b));
        if reconciled {
            *cell = json!("(cell)");
        } else if is_age {
            *cell = json!("(age)");
        }
    }
    masked(route, &row)
}

/// A text with its times, digests and names of instances masked.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(length) = time(rest) {
            shown.push_str("(time)");
            rest = &rest[length..];
        } else if let Some(length) = instance(rest) {
            shown.push_str("-(instance)");
            rest = &rest[length..];
        } else if let Some(after) = rest.strip_prefix("sha256:")
            && after.len() >= 64
        {
            shown.push_str("(digest)");
            rest = &after[64..];
        } else {
            shown.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    shown
}

/// Whether the text begins as the pattern says, in which `0` is any digit, `x` any digit or letter
/// in lower case, and everything else itself.
fn begins(text: &str, pattern: &str) -> bool {
    let text = text.as_bytes();
    text.len() >= pattern.len()
        && pattern.bytes().zip(text).all(|(pattern, byte)| match pattern {
            b'0' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_digit() || byte.is_ascii_lowercase(),
            other => other == *byte,
        })
}

fn time(text: &str) -> Option<usize> {
    begins(text, "0000-00-00T00:00:00").then(|| text.find('Z').map(|end| end + 1)).flatten()
}

fn instance(text: &str) -> Option<usize> {
    let pattern = "-00000-xxxxxxxx";
    begins(text, pattern).then_some(pattern.len())
}

#[test]
fn texts_are_masked() {
    assert_eq!(text("at 2026-01-02T03:04:05.123456Z: hello"), "at (time): hello");
    assert_eq!(text("pods/hello-00001-0a1b2c3d gone"), "pods/hello-(instance) gone");
    assert_eq!(text("hello-00001 é"), "hello-00001 é");
    let table = json!({"rows": [{"cells": ["a", "12s"], "object": {"apiVersion": "v1"}}]});
    assert_eq!(document("/api/v1/configmaps", &table)["rows"][0]["cells"], json!(["a", "(age)"]));
}
