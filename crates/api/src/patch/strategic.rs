//! Strategic merge patch: as a merge patch, but lists are merged by the keys of their elements,
//! and directives (`$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`)
//! say what a merge cannot.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::order;
use crate::schema::Node;
use crate::status::Failure;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// What a field is that the schema does not know.
static UNKNOWN: Node = Node::Any;

type Fields = Map<String, Value>;

/// What `original` becomes.
///
/// # Errors
/// 400 naming what in the patch cannot be meant.
pub(crate) fn merge(node: &Node, original: &Value, patch: &Value) -> Result<Value, Failure> {
    let Value::Object(patch) = patch else { return Err(invalid("", "it is not an object")) };
    let original = original.as_object().cloned().unwrap_or_default();
    merge_maps(node, original, patch, "").map(Value::Object)
}

fn invalid(at: &str, why: &str) -> Failure {
    let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
    let message = format!("the strategic merge patch cannot be applied{at}: {why}");
    Failure::bad_request("INVALID_PATCH", message)
}

fn field<'n>(node: &'n Node, name: &str) -> &'n Node {
    match node {
        Node::Struct { fields, .. } => fields.get(name).unwrap_or(&UNKNOWN),
        Node::Map { values, .. } => values,
        _ => &UNKNOWN,
    }
}

/// Takes what is merged and gives it back, as one patch may name the same element many times.
fn merge_maps(
    node: &Node,
    mut merged: Fields,
    patch: &Fields,
    at: &str,
) -> Result<Fields, Failure> {
    match patch.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            let rest = patch.iter().filter(|(name, _)| *name != PATCH);
            return Ok(rest.map(|(name, value)| (name.clone(), plain(value))).collect());
        }
        Some("delete") => return Ok(Map::new()),
        Some(_) => return Err(unknown_directive(at)),
    }
    let orders = patch.iter().filter_map(|(n, order)| Some((n.strip_prefix(SET_ORDER)?, order)));
    let orders: Vec<(&str, &Value, Option<Value>)> =
        orders.map(|(name, order)| (name, order, merged.get(name).cloned())).collect();
    retain(&mut merged, patch, at)?;
    for (name, value) in patch {
        let here = format!("{at}.{name}");
        let here = here.trim_start_matches('.');
        if name == PATCH || name == RETAIN_KEYS || name.starts_with(SET_ORDER) {
            continue;
        }
        if let Some(name) = name.strip_prefix(DELETE_FROM) {
            delete_from(&mut merged, name, value, here)?;
            continue;
        }
        match (merged.get_mut(name), value) {
            (_, Value::Null) => drop(merged.remove(name)),
            (Some(Value::Object(there)), Value::Object(change)) => {
                *there = merge_maps(field(node, name), std::mem::take(there), change, here)?;
            }
            (Some(Value::Array(there)), Value::Array(change)) => {
                *there = merge_lists(field(node, name), there, change, here)?;
            }
            _ => drop(merged.insert(name.clone(), plain(value))),
        }
    }
    for (name, order, before) in &orders {
        set_order(node, before.as_ref(), &mut merged, (name, order), at)?;
    }
    Ok(merged)
}

fn unknown_directive(at: &str) -> Failure {
    invalid(at, "$patch is replace, delete or merge")
}

/// Clears what is not in `$retainKeys`.
fn retain(merged: &mut Fields, patch: &Fields, at: &str) -> Result<(), Failure> {
    let Some(list) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let names = list.as_array().map(|list| list.iter().filter_map(Value::as_str).collect());
    let Some(names): Option<BTreeSet<&str>> = names else {
        return Err(invalid(at, "$retainKeys is a list of names"));
    };
    let beside = patch.iter().find(|(name, value)| {
        !name.starts_with('$') && !value.is_null() && !names.contains(name.as_str())
    });
    if let Some((name, _)) = beside {
        return Err(invalid(at, &format!("{name:?} is set and is not in $retainKeys")));
    }
    merged.retain(|name, _| names.contains(name.as_str()));
    Ok(())
}

/// Takes plain values out of a list.
fn delete_from(merged: &mut Fields, name: &str, values: &Value, at: &str) -> Result<(), Failure> {
    let Value::Array(values) = values else {
        return Err(invalid(at, "the values to delete are a list"));
    };
    let gone: BTreeSet<String> = values.iter().map(Value::to_string).collect();
    if let Some(Value::Array(list)) = merged.get_mut(name) {
        list.retain(|value| !gone.contains(&value.to_string()));
    }
    Ok(())
}

fn merge_lists(
    node: &Node,
    original: &[Value],
    patch: &[Value],
    at: &str,
) -> Result<Vec<Value>, Failure> {
    match node {
        Node::List { patch_key: Some(""), .. } => {
            let mut seen = BTreeSet::new();
            let both = original.iter().chain(patch);
            let both: Vec<Value> =
                both.filter(|value| seen.insert(value.to_string())).cloned().collect();
            Ok(order::enforce("", &both, patch, original))
        }
        Node::List { patch_key: Some(key), items, .. } => {
            merge_keyed(items, key, original, patch, at)
        }
        _ => Ok(patch.iter().map(plain).collect()),
    }
}

fn merge_keyed(
    node: &Node,
    key: &str,
    original: &[Value],
    patch: &[Value],
    at: &str,
) -> Result<Vec<Value>, Failure> {
    let mut changes: Vec<(String, &Fields)> = Vec::new();
    let mut gone = BTreeSet::new();
    let mut replace = false;
    for (index, element) in patch.iter().enumerate() {
        let here = format!("{at}[{index}]");
        let Value::Object(element) = element else {
            return Err(invalid(&here, "the elements of this list are objects"));
        };
        let id = element.get(key).filter(|id| !id.is_null()).map(Value::to_string);
        let named = || invalid(&here, &format!("the element has no {key:?}, which it is known by"));
        match element.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()) {
            Some("replace") if id.is_none() => replace = true,
            Some("replace") => {
                replace = true;
                changes.push((id.clone().ok_or_else(named)?, element));
            }
            Some("delete") => drop(gone.insert(id.ok_or_else(named)?)),
            None | Some("merge") => changes.push((id.ok_or_else(named)?, element)),
            Some(_) => return Err(unknown_directive(&here)),
        }
    }
    if replace {
        return Ok(changes.into_iter().map(|(_, element)| plain_map(element)).collect());
    }
    let id = |value: &Value| value.get(key).map(Value::to_string);
    let mut merged: Vec<Value> =
        original.iter().filter(|v| id(v).is_none_or(|id| !gone.contains(&id))).cloned().collect();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (place, value) in merged.iter().enumerate() {
        places.extend(id(value).map(|id| (id, place)));
    }
    for (id, element) in &changes {
        let there = places.get(id).and_then(|place| merged.get_mut(*place));
        if let Some(Value::Object(there)) = there {
            *there = merge_maps(node, std::mem::take(there), element, at)?;
        } else {
            places.insert(id.clone(), merged.len());
            merged.push(plain_map(element));
        }
    }
    let said: Vec<Value> = changes.iter().map(|(_, e)| Value::Object((*e).clone())).collect();
    Ok(order::enforce(key, &merged, &said, original))
}

/// Puts the elements of a list into the order that the patch wants.
fn set_order(
    node: &Node,
    before: Option<&Value>,
    merged: &mut Fields,
    (name, wanted): (&str, &Value),
    at: &str,
) -> Result<(), Failure> {
    let Value::Array(wanted) = wanted else {
        return Err(invalid(at, &format!("{SET_ORDER}{name} is a list")));
    };
    let Node::List { patch_key: Some(key), .. } = field(node, name) else {
        let why = format!("the order of {name:?} cannot be set: it is replaced as a whole");
        return Err(invalid(at, &why));
    };
    if let Some(Value::Array(list)) = merged.get(name) {
        let before = before.and_then(Value::as_array);
        let ordered = order::enforce(key, list, wanted, before.map_or(&[], Vec::as_slice));
        merged.insert(name.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

/// A value that is taken as it is: without directives, and without what it only says to remove.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => plain_map(map),
        Value::Array(list) => {
            let deleted = |value: &&Value| value.get(PATCH).is_some_and(|word| word == "delete");
            list.iter().filter(|value| !deleted(value)).map(plain).collect()
        }
        _ => value.clone(),
    }
}

fn plain_map(map: &Fields) -> Value {
    if map.get(PATCH).is_some_and(|word| word == "delete") {
        return Value::Object(Map::new());
    }
    let kept = map.iter().filter(|(name, value)| !directive(name) && !value.is_null());
    Value::Object(kept.map(|(name, value)| (name.clone(), plain(value))).collect())
}

fn directive(name: &str) -> bool {
    name == PATCH
        || name == RETAIN_KEYS
        || name.starts_with(SET_ORDER)
        || name.starts_with(DELETE_FROM)
}

#[cfg(test)]
mod tests;
