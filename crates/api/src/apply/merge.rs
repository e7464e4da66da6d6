//! Laying a configuration over an object, and taking fields out of one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::element::Element;
use super::set::Set;
use super::walk::{Shape, bare, elements, entries, field, grouped, items, shape};
use crate::schema::{ListMerge, Node};

/// The object with everything that the configuration says.
pub(crate) fn merge(node: &Node, live: &Value, config: &Value) -> Value {
    match shape(node, &[Some(live), Some(config)]) {
        Shape::Fields | Shape::Elements(..) if bare(Some(live)) && bare(Some(config)) => {
            config.clone()
        }
        Shape::Leaf => config.clone(),
        Shape::Fields => {
            let mut merged = entries(Some(live)).cloned().unwrap_or_default();
            for (name, said) in entries(Some(config)).into_iter().flatten() {
                let value = match merged.get(name) {
                    Some(there) => merge(field(node, name).0, there, said),
                    None => said.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        Shape::Elements(items, how) => Value::Array(merge_lists(items, how, live, config)),
    }
}

/// The elements of both: those of the configuration in its order, those of the object alone in
/// front of the shared element that follows them in the object.
fn merge_lists(node: &Node, how: ListMerge, live: &Value, config: &Value) -> Vec<Value> {
    let (there, said) = (elements(how, Some(live)), elements(how, Some(config)));
    let (of_live, of_config) = (grouped(&there), grouped(&said));
    let shared: Vec<usize> =
        (0..said.len()).filter(|index| of_live.contains_key(&said[*index].0)).collect();
    let mut shared = shared.into_iter().peekable();
    let mut merged = Vec::with_capacity(there.len().max(said.len()));
    let mut taken = BTreeSet::new();
    let (mut l, mut c) = (0, 0);
    while l < there.len() || c < said.len() {
        while shared.next_if(|index| *index < c).is_some() {}
        let mut same = false;
        if let (Some((step, _)), Some((own, _))) = (there.get(l), said.get(c)) {
            let due = shared.peek().map(|index| &said[*index].0);
            same = step == own;
            if !same && of_config.contains_key(step) && due.is_some_and(|due| due != step) {
                l += 1;
                continue;
            }
        }
        if let Some((step, item)) = there.get(l).filter(|_| !same) {
            if !of_config.contains_key(step) {
                merged.push((*item).clone());
                l += 1;
                continue;
            }
            l += usize::from(taken.contains(step));
        }
        if let Some((step, item)) = said.get(c) {
            merged.push(match of_live.get(step).map(Vec::as_slice) {
                Some([there]) => merge(node, there, item),
                _ => (*item).clone(),
            });
            taken.insert(step.clone());
            c += 1;
            l += usize::from(same);
        }
    }
    merged
}

/// The object without some fields. What was emptied by that goes too; None when that is all of it.
pub(crate) fn remove(node: &Node, value: &Value, set: &Set) -> Option<Value> {
    if set.is_empty() {
        return Some(value.clone());
    }
    match (shape(node, &[Some(value)]), value) {
        (Shape::Fields, Value::Object(map)) if !map.is_empty() => {
            let mut kept = Map::new();
            for (name, value) in map {
                let step = Element::field(name.as_str());
                if !set.has(&step) {
                    let left = match set.below(&step) {
                        Some(below) => remove(field(node, name).0, value, below),
                        None => Some(value.clone()),
                    };
                    kept.extend(left.map(|left| (name.clone(), left)));
                }
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Shape::Elements(_, how), Value::Array(list)) if !list.is_empty() => {
            let mut kept = Vec::new();
            for (step, item) in elements(how, Some(value)) {
                if !set.has(&step) {
                    kept.extend(match set.below(&step) {
                        Some(below) => remove(items(node), item, below),
                        None => Some(item.clone()),
                    });
                }
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => Some(value.clone()),
    }
}

/// The set with every named field that it reaches through as a member too. What a schema names is
/// there for what it holds; keys of maps and elements of lists are there for themselves.
pub(crate) fn with_parents(node: &Node, set: &Set) -> Set {
    let mut all = Set::default();
    for step in set.first_steps() {
        let (below, named) = match step {
            Element::Field(name) => field(node, name),
            _ => (items(node), false),
        };
        let rest = set.below(step).map(|rest| with_parents(below, rest)).unwrap_or_default();
        let member = set.has(step) || (named && !rest.is_empty());
        all.graft(step.clone(), member, rest);
    }
    all
}
