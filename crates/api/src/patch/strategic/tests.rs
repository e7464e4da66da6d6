use serde_json::json;

use super::*;
use crate::schema::ListMerge;

fn list(items: Node, patch_key: Option<&'static str>) -> Node {
    Node::List { items: Box::new(items), merge: ListMerge::Atomic, patch_key }
}

fn object(fields: Vec<(&str, Node)>) -> Node {
    let fields = fields.into_iter().map(|(name, node)| (name.to_owned(), node)).collect();
    Node::Struct { fields, atomic: false }
}

/// Lists of each sort, and a map.
fn node() -> Node {
    let element = object(vec![
        ("name", Node::Scalar),
        ("value", Node::Scalar),
        ("tags", list(Node::Scalar, Some(""))),
    ]);
    object(vec![
        ("keyed", list(element.clone(), Some("name"))),
        ("whole", list(element, None)),
        ("set", list(Node::Scalar, Some(""))),
        ("map", Node::Map { values: Box::new(Node::Scalar), atomic: false }),
    ])
}

#[allow(clippy::needless_pass_by_value)] // literals
fn run(original: Value, patch: Value) -> Value {
    merge(&node(), &original, &patch).unwrap_or_else(|failure| panic!("{}", failure.message))
}

#[test]
fn maps_merge_and_null_removes() {
    let original = json!({"map": {"a": "1", "b": "2"}, "x": 1});
    assert_eq!(
        run(original, json!({"map": {"a": null, "c": "3", "d": null}, "y": {"z": null}})),
        json!({"map": {"b": "2", "c": "3"}, "x": 1, "y": {}})
    );
}

/// What only the patch has comes before what only the object has, as in Kubernetes.
#[test]
fn lists_merge_by_key_by_value_or_not_at_all() {
    let original = json!({
        "keyed": [{"name": "a", "value": 1, "tags": ["x"]}, {"name": "b", "value": 2}],
        "whole": [{"name": "a"}], "set": ["p", "q"],
    });
    let patch = json!({
        "keyed": [{"name": "c", "value": 3}, {"name": "a", "value": 9, "tags": ["y"]}],
        "whole": [{"name": "z"}], "set": ["r", "q"],
    });
    assert_eq!(
        run(original, patch),
        json!({
            "keyed": [
                {"name": "c", "value": 3},
                {"name": "a", "value": 9, "tags": ["y", "x"]},
                {"name": "b", "value": 2},
            ],
            "whole": [{"name": "z"}], "set": ["r", "p", "q"],
        })
    );
}

#[test]
fn directives() {
    let original = || {
        json!({
            "keyed": [{"name": "a", "value": 1}, {"name": "b", "value": 2}],
            "set": ["p", "q", "r"], "map": {"a": "1", "b": "2"},
        })
    };
    for (patch, at, want) in [
        (json!({"map": {"$patch": "replace", "c": "3"}}), "map", json!({"c": "3"})),
        (json!({"map": {"$patch": "delete"}}), "map", json!({})),
        (
            json!({"map": {"$patch": "merge", "c": "3"}}),
            "map",
            json!({"a": "1", "b": "2", "c": "3"}),
        ),
        (json!({"map": {"$retainKeys": ["b", "c"], "c": "3"}}), "map", json!({"b": "2", "c": "3"})),
        (
            json!({"keyed": [{"$patch": "delete", "name": "a"}]}),
            "keyed",
            json!([{"name": "b", "value": 2}]),
        ),
        (json!({"keyed": [{"$patch": "replace"}, {"name": "c"}]}), "keyed", json!([{"name": "c"}])),
        (json!({"$deleteFromPrimitiveList/set": ["q", "z"]}), "set", json!(["p", "r"])),
        (json!({"$setElementOrder/set": ["r", "p"]}), "set", json!(["q", "r", "p"])),
        (
            json!({"$setElementOrder/keyed": [{"name": "c"}, {"name": "b"}], "keyed": [{"name": "c", "value": 3}]}),
            "keyed",
            json!([{"name": "c", "value": 3}, {"name": "a", "value": 1}, {"name": "b", "value": 2}]),
        ),
    ] {
        assert_eq!(run(original(), patch.clone())[at], want, "{patch}");
    }
    let replaced = run(original(), json!({"$patch": "replace", "x": {"$patch": "merge", "y": 1}}));
    assert_eq!(replaced, json!({"x": {"y": 1}}));
    assert_eq!(run(json!({}), json!({"$setElementOrder/keyed": [{"name": "a"}]})), json!({}));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let original = json!({"keyed": [{"name": "a"}], "map": {"a": "1"}});
    for patch in [
        json!([]),
        json!({"$patch": "turn"}),
        json!({"$patch": 1}),
        json!({"map": {"$retainKeys": ["b"], "a": "2"}}),
        json!({"map": {"$retainKeys": "b"}}),
        json!({"keyed": [{"value": 1}]}),
        json!({"keyed": [{"$patch": "delete"}]}),
        json!({"keyed": ["a"]}),
        json!({"$deleteFromPrimitiveList/set": "a"}),
        json!({"$setElementOrder/set": "a"}),
        json!({"$setElementOrder/whole": []}),
    ] {
        let failure = merge(&node(), &original, &patch).unwrap_err();
        assert_eq!(failure.status.as_u16(), 400, "{patch}");
    }
}
