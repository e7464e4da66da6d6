//! JSON merge patch (RFC 7386), and the part of strategic merge patch that means the same.

use serde_json::Value;

use crate::status::Failure;

/// Applies a merge patch: objects are merged, null removes, everything else replaces.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Says what in a strategic merge patch a merge patch would do differently: directives, and lists
/// that would be merged by element. The kinds that take this form here hold maps and plain values
/// only, everywhere else.
///
/// # Errors
/// 400 naming it.
pub(crate) fn check_strategic(patch: &Value) -> Result<(), Failure> {
    if let Some(path) = directive(patch, "") {
        return Err(Failure::bad_request(
            "UNSUPPORTED_FIELD",
            format!(
                "{path} is a directive of strategic merge patches, and those are not taken yet; \
                 send the change as application/merge-patch+json"
            ),
        ));
    }
    for list in ["finalizers", "ownerReferences"] {
        if patch["metadata"][list].is_array() {
            return Err(Failure::bad_request(
                "UNSUPPORTED_FIELD",
                format!(
                    "metadata.{list} in a strategic merge patch is merged by element, and that is \
                     not done yet; send the whole list as application/merge-patch+json"
                ),
            ));
        }
    }
    Ok(())
}

/// Path of the first key that starts with `$`, outside of free text maps.
fn directive(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(map) => map.iter().find_map(|(key, value)| {
            let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if key.starts_with('$') { Some(here) } else { directive(value, &here) }
        }),
        Value::Array(items) => items.iter().find_map(|item| directive(item, path)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_rfc_7386() {
        for (mut target, patch, want) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            merge(&mut target, &patch);
            assert_eq!(target, want, "{patch}");
        }
    }

    #[test]
    fn strategic_features_are_refused_by_name() {
        assert!(check_strategic(&json!({"data": {"a": null}})).is_ok());
        for (patch, name) in [
            (json!({"$patch": "replace"}), "$patch"),
            (json!({"data": {"$retainKeys": ["a"]}}), "data.$retainKeys"),
            (json!({"metadata": {"$deleteFromPrimitiveList/finalizers": []}}), "metadata.$delete"),
            (json!({"metadata": {"finalizers": ["a"]}}), "metadata.finalizers"),
        ] {
            let failure = check_strategic(&patch).unwrap_err();
            assert!(failure.message.contains(name), "{}", failure.message);
        }
    }
}
