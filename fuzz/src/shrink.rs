//! Making a failing case small.

use anyhow::Result;
use serde_json::Value;

use crate::case::Case;
use crate::check::{self, Broken};
use crate::door::Door;
use crate::mutate;

/// Most cases that are tried for one.
const TRIES_MAX: usize = 400;

/// The smallest case that was found to break the same promise in a fresh door, and how; none when
/// `case` breaks it only after what was sent before it.
///
/// # Errors
/// When the harness itself fails.
pub async fn smallest(case: &Case, promise: &str) -> Result<Option<(Case, Broken)>> {
    let Some(how) = fails(case, promise).await? else { return Ok(None) };
    let (mut best, mut tries) = ((case.clone(), how), 0);
    loop {
        let mut smaller = None;
        for candidate in candidates(&best.0) {
            tries += 1;
            if tries > TRIES_MAX {
                return Ok(Some(best));
            }
            if let Some(how) = fails(&candidate, promise).await? {
                smaller = Some((candidate, how));
                break;
            }
        }
        match smaller {
            Some(found) => best = found,
            None => return Ok(Some(best)),
        }
    }
}

async fn fails(case: &Case, promise: &str) -> Result<Option<Broken>> {
    let door = Door::open().await?;
    let judged = check::run(&door, case).await?;
    Ok(judged.err().filter(|broken| broken.promise == promise))
}

/// Cases with a little less in them, those with much less first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    for at in 0..case.headers.len() {
        let mut less = case.clone();
        less.headers.remove(at);
        all.push(less);
    }
    for at in 0..case.query.len() {
        let mut less = case.clone();
        less.query.remove(at);
        all.push(less);
    }
    if !case.body.is_empty() {
        all.push(Case { body: Vec::new(), ..case.clone() });
    }
    match serde_json::from_slice::<Value>(&case.body) {
        Ok(body) => {
            let mut places = mutate::pointers(&body);
            places.sort_by_key(|place| place.matches('/').count());
            let less = places.iter().filter_map(|place| without(&body, place));
            all.extend(
                less.map(|body| Case { body: body.to_string().into_bytes(), ..case.clone() }),
            );
        }
        Err(_) => {
            for part in [2, 4, 16] {
                let size = case.body.len() / part;
                for start in
                    (0..case.body.len()).step_by(size.max(1)).take(part + 1).filter(|_| size > 0)
                {
                    let mut body = case.body.clone();
                    drop(body.drain(start..(start + size).min(case.body.len())));
                    all.push(Case { body, ..case.clone() });
                }
            }
        }
    }
    all
}

/// `body` without what is at `place`.
fn without(body: &Value, place: &str) -> Option<Value> {
    let (parent, last) = place.rsplit_once('/')?;
    let mut less = body.clone();
    match less.pointer_mut(parent)? {
        Value::Object(map) => drop(map.remove(&last.replace("~1", "/").replace("~0", "~"))?),
        Value::Array(items) => drop(items.remove(last.parse().ok()?)),
        _ => return None,
    }
    Some(less)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_can_go() {
        let body = json!({"a": [1, {"b/c": 2}]});
        assert_eq!(without(&body, "/a/0"), Some(json!({"a": [{"b/c": 2}]})));
        assert_eq!(without(&body, "/a/1/b~1c"), Some(json!({"a": [1, {}]})));
        assert_eq!(without(&body, ""), None);
        let case =
            Case { query: vec!["x".into()], body: body.to_string().into(), ..Case::default() };
        let all = candidates(&case);
        assert!(all.iter().all(|less| less.query.len() + less.body.len() < 1 + case.body.len()));
        assert!(all.len() >= 5, "{all:?}");
    }
}
