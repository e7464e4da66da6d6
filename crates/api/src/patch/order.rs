//! The order of a list after a strategic merge: what the patch names in the patch's order, what
//! only the object has in the object's, the two interleaved as they were.

use std::collections::BTreeMap;

use serde_json::Value;

/// What an element is known by: the value of its key, or itself where there is no key.
fn id(key: &str, value: &Value) -> String {
    if key.is_empty() { value.to_string() } else { value[key].to_string() }
}

fn places(key: &str, list: &[Value]) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for (place, value) in list.iter().enumerate() {
        places.entry(id(key, value)).or_insert(place);
    }
    places
}

/// `merged` in order: `wanted` is the order of the patch, `original` that of the object before.
pub(super) fn enforce(
    key: &str,
    merged: &[Value],
    wanted: &[Value],
    original: &[Value],
) -> Vec<Value> {
    let (wanted, before) = (places(key, wanted), places(key, original));
    let (mut named, mut others): (Vec<&Value>, Vec<&Value>) =
        merged.iter().partition(|value| wanted.contains_key(&id(key, value)));
    named.sort_by_key(|value| wanted.get(&id(key, value)));
    others.sort_by_key(|value| before.get(&id(key, value)));
    let mut ordered = Vec::with_capacity(merged.len());
    let mut others = others.into_iter().peekable();
    for value in named {
        let place = before.get(&id(key, value));
        let earlier = |other: &&Value| match (before.get(&id(key, other)), place) {
            (Some(other), Some(place)) => other < place,
            _ => false,
        };
        while let Some(other) = others.next_if(earlier) {
            ordered.push(other.clone());
        }
        ordered.push(value.clone());
    }
    ordered.extend(others.cloned());
    ordered
}
