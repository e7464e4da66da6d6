//! How the fields of an object follow from its schema: steps down, and which fields a value has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element::Element;
use super::set::Set;
use crate::schema::{ListMerge, Node};

/// What a field that the schema does not know is.
static UNKNOWN: Node = Node::Any;

/// How a value, or two of them at one place, is looked into.
pub(super) enum Shape<'n> {
    /// As one thing.
    Leaf,
    /// Field by field; the schema is asked for each.
    Fields,
    /// Element by element.
    Elements(&'n Node, ListMerge),
}

/// How values at one place are looked into: one of another form than the schema says is a leaf.
pub(super) fn shape<'n>(node: &'n Node, values: &[Option<&Value>]) -> Shape<'n> {
    let all = |test: fn(&Value) -> bool| {
        values.iter().flatten().all(|value| value.is_null() || test(value))
    };
    match node {
        Node::Struct { atomic: false, .. } | Node::Map { atomic: false, .. }
            if all(Value::is_object) =>
        {
            Shape::Fields
        }
        Node::List { items, merge, .. } if *merge != ListMerge::Atomic && all(Value::is_array) => {
            Shape::Elements(items, *merge)
        }
        _ => Shape::Leaf,
    }
}

/// What a field is, and whether the schema names it.
pub(super) fn field<'n>(node: &'n Node, name: &str) -> (&'n Node, bool) {
    match node {
        Node::Struct { fields, .. } => {
            fields.get(name).map_or((&UNKNOWN, false), |field| (field, true))
        }
        Node::Map { values, .. } => (values, false),
        _ => (&UNKNOWN, false),
    }
}

/// What an element of a list is.
pub(super) fn items(node: &Node) -> &Node {
    match node {
        Node::List { items, .. } => items,
        _ => &UNKNOWN,
    }
}

/// The step to an element of a list, or what of its keys is missing.
pub(super) fn element(merge: ListMerge, item: &Value) -> Result<Element, &'static str> {
    let ListMerge::Map(keys) = merge else { return Ok(Element::value(item)) };
    // The one key with a default in the kinds of Kubernetes.
    let tcp = Value::from("TCP");
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        match item.get(*key).filter(|value| !value.is_null()) {
            Some(value) => values.push((*key, value)),
            None if *key == "protocol" => values.push((*key, &tcp)),
            None => return Err(key),
        }
    }
    Ok(Element::key(values))
}

/// The elements of a list by their steps, in order. What has no step of its own is known by its
/// place.
pub(super) fn elements(merge: ListMerge, list: Option<&Value>) -> Vec<(Element, &Value)> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .enumerate()
        .map(|(index, item)| (element(merge, item).unwrap_or(Element::Index(index)), item))
        .collect()
}

/// The same, with those together that share a step.
pub(super) fn grouped<'v>(elements: &[(Element, &'v Value)]) -> BTreeMap<Element, Vec<&'v Value>> {
    let mut groups: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for (element, item) in elements {
        groups.entry(element.clone()).or_default().push(item);
    }
    groups
}

/// The entries of an object; none of anything else.
pub(super) fn entries(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// Whether an object or list holds nothing, or nothing is there.
pub(super) fn bare(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

/// The fields that a value has: what applying it owns.
pub(crate) fn fields(node: &Node, value: &Value) -> Set {
    let mut set = Set::default();
    match shape(node, &[Some(value)]) {
        Shape::Leaf => {}
        Shape::Fields => {
            for (name, value) in entries(Some(value)).into_iter().flatten() {
                let (node, named) = field(node, name);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                let member = empty || !named || is_leaf(node, value);
                set.graft(Element::field(name.as_str()), member, fields(node, value));
            }
        }
        Shape::Elements(items, merge) => {
            for (element, group) in grouped(&elements(merge, Some(value))) {
                let below = match group.as_slice() {
                    [one] => fields(items, one),
                    _ => Set::default(),
                };
                set.graft(element, true, below);
            }
        }
    }
    set
}

fn is_leaf(node: &Node, value: &Value) -> bool {
    matches!(shape(node, &[Some(value)]), Shape::Leaf)
}

/// What in a configuration cannot be merged: list elements without their keys, and two with the
/// same. Each a path and a sentence.
pub(crate) fn check(node: &Node, value: &Value) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    check_at(node, value, "", &mut wrong);
    wrong
}

fn check_at(node: &Node, value: &Value, path: &str, wrong: &mut Vec<(String, String)>) {
    match shape(node, &[Some(value)]) {
        Shape::Leaf => {}
        Shape::Fields => {
            for (name, value) in entries(Some(value)).into_iter().flatten() {
                check_at(field(node, name).0, value, &format!("{path}.{name}"), wrong);
            }
        }
        Shape::Elements(items, merge) => {
            let mut seen = BTreeSet::new();
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                match element(merge, item) {
                    Ok(element) => {
                        let here = format!("{path}{element}");
                        if !seen.insert(element) {
                            let sentence = "the list has two elements with this key".to_owned();
                            wrong.push((here.clone(), sentence));
                        }
                        check_at(items, item, &here, wrong);
                    }
                    Err(key) => wrong.push((
                        format!("{path}[{index}]"),
                        format!("the element omits the key field {key:?} of the list"),
                    )),
                }
            }
        }
    }
}
