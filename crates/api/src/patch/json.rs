//! JSON patch (RFC 6902): a list of operations, all or none.

use ebb_model::{Fault, Kind as FaultKind};
use json_patch::jsonptr::PointerBuf;
use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::Value;

use crate::decode::Tree;
use crate::status::Failure;

/// Operations in one patch. As the Kubernetes API server.
const MAX_OPERATIONS: usize = 10_000;
/// Elements that all operations together may move aside in lists: about a tenth of a second.
const MAX_SHIFTED: usize = 20_000_000;
/// How deep a result may be nested. As bodies.
const MAX_DEPTH: usize = 64;

/// The members that operations have.
const MEMBERS: &[&str] = &["op", "path", "from", "value"];

/// A patch, read.
#[derive(Debug)]
pub(crate) struct Operations {
    operations: Vec<PatchOperation>,
    /// Paths of members that no operation has.
    pub(crate) unknown: Vec<String>,
}

/// Reads a patch.
///
/// # Errors
/// 400 for what is no patch, 413 for one with too many operations.
pub(crate) fn read(tree: &Tree) -> Result<Operations, Failure> {
    let invalid =
        |why: String| Failure::bad_request("INVALID_PATCH", format!("error decoding patch: {why}"));
    let Value::Array(list) = &tree.value else {
        return Err(invalid("a JSON patch is a list of operations".to_owned()));
    };
    if list.len() > MAX_OPERATIONS {
        return Err(Failure::too_large_result(
            "PATCH_TOO_LARGE",
            format!(
                "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                list.len()
            ),
        ));
    }
    let mut operations = Vec::with_capacity(list.len());
    let mut unknown = Vec::new();
    for (index, operation) in list.iter().enumerate() {
        let members = operation.as_object().into_iter().flat_map(|map| map.keys());
        let extra = members.filter(|member| !MEMBERS.contains(&member.as_str()));
        unknown.extend(extra.map(|member| format!("json patch [{index}].{member}")));
        let read = serde_json::from_value(operation.clone());
        operations.push(read.map_err(|error| invalid(format!("operation {index}: {error}")))?);
    }
    Ok(Operations { operations, unknown })
}

/// What `document` becomes. Copying and moving handle `limit` bytes at most, all operations
/// together.
///
/// # Errors
/// 422 naming the operation that is not possible, 413 over a limit, 400 for too deep a result.
pub(crate) fn apply(patch: &Operations, document: &Value, limit: usize) -> Result<Value, Failure> {
    let mut result = document.clone();
    let (mut copied, mut shifted) = (0_usize, 0_usize);
    for (index, operation) in patch.operations.iter().enumerate() {
        shifted = shifted.saturating_add(aside(operation, &result));
        if shifted > MAX_SHIFTED {
            let message = format!("it moves more than {MAX_SHIFTED} elements of lists aside");
            return Err(Failure::too_large_result("PATCH_TOO_LARGE", message));
        }
        if let Some((value, path)) = placed(operation, &result) {
            if matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_)) {
                copied = copied.saturating_add(value.to_string().len());
                if copied > limit {
                    let message = format!("what it copies and moves is larger than {limit} bytes");
                    return Err(Failure::too_large_result("PATCH_TOO_LARGE", message));
                }
            }
            if depth(value) + path.count() > MAX_DEPTH {
                let message = format!("operation {index} nests deeper than {MAX_DEPTH} levels");
                return Err(Failure::bad_request("JSON_TOO_DEEP", message));
            }
        }
        if tests_absence(operation, &result) {
            continue;
        }
        json_patch::patch_unsafe(&mut result, std::slice::from_ref(operation))
            .map_err(|error| refused(index, operation, &error.kind))?;
    }
    Ok(result)
}

/// How many elements an operation moves aside at most: those of the lists that it puts something
/// into or takes something from, but for the end of one.
fn aside(operation: &PatchOperation, document: &Value) -> usize {
    let beside = |path: &PointerBuf| {
        let list = path.parent().filter(|_| !path.as_str().ends_with("/-"));
        let list = list.and_then(|list| list.resolve(document).ok()).and_then(Value::as_array);
        list.map_or(0, Vec::len)
    };
    match operation {
        PatchOperation::Add(add) => beside(&add.path),
        PatchOperation::Remove(remove) => beside(&remove.path),
        PatchOperation::Copy(copy) => beside(&copy.path),
        PatchOperation::Move(mov) => beside(&mov.from).saturating_add(beside(&mov.path)),
        PatchOperation::Replace(_) | PatchOperation::Test(_) => 0,
    }
}

/// Whether an operation asks that a field is null which is not there: in Kubernetes, clients make
/// sure in this way that nobody has set it.
fn tests_absence(operation: &PatchOperation, document: &Value) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    let beside = test.path.parent().and_then(|object| object.resolve(document).ok());
    test.value.is_null()
        && beside.is_some_and(Value::is_object)
        && test.path.resolve(document).is_err()
}

/// What an operation puts where.
fn placed<'a>(
    operation: &'a PatchOperation,
    document: &'a Value,
) -> Option<(&'a Value, &'a PointerBuf)> {
    match operation {
        PatchOperation::Add(add) => Some((&add.value, &add.path)),
        PatchOperation::Replace(replace) => Some((&replace.value, &replace.path)),
        PatchOperation::Copy(copy) => Some((copy.from.resolve(document).ok()?, &copy.path)),
        PatchOperation::Move(mov) => Some((mov.from.resolve(document).ok()?, &mov.path)),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn refused(index: usize, operation: &PatchOperation, kind: &PatchErrorKind) -> Failure {
    let word = match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    };
    let why = match kind {
        PatchErrorKind::TestFailed => "testing value failed: the value is another one",
        PatchErrorKind::InvalidFromPointer => "there is nothing at its \"from\"",
        PatchErrorKind::InvalidPointer => "doc is missing path: there is nothing at its path",
        PatchErrorKind::CannotMoveInsideItself => "a value cannot be moved into itself",
        // The crate may come to know more.
        _ => "it is not possible",
    };
    let path = operation.path().as_str();
    let why = format!("operation {index} ({word} {path:?}): {why}");
    let message = format!("the server rejected our request due to an error in our request: {why}");
    let fault = Fault::new("PATCH_FAILED", FaultKind::Invalid, why).at(path);
    Failure::unprocessable(message, fault)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(value: Value) -> Tree {
        Tree { value, duplicates: Vec::new() }
    }

    fn run(patch: Value, document: &Value) -> Result<Value, u16> {
        read(&tree(patch))
            .and_then(|patch| apply(&patch, document, 1_000))
            .map_err(|failure| failure.status.as_u16())
    }

    #[test]
    fn operations() {
        let document = json!({"a": {"b": [1, 2]}, "c": "x"});
        for (patch, want) in [
            (json!([{"op": "add", "path": "/a/b/-", "value": 3}]), json!([1, 2, 3])),
            (json!([{"op": "add", "path": "/a/b/0", "value": 3}]), json!([3, 1, 2])),
            (json!([{"op": "replace", "path": "/a/b/0", "value": 3}]), json!([3, 2])),
            (json!([{"op": "remove", "path": "/a/b/0"}]), json!([2])),
            (json!([{"op": "move", "from": "/c", "path": "/a/b/0"}]), json!(["x", 1, 2])),
            (json!([{"op": "copy", "from": "/c", "path": "/a/b/0"}]), json!(["x", 1, 2])),
            (json!([{"op": "test", "path": "/c", "value": "x"}]), json!([1, 2])),
            (json!([{"op": "test", "path": "/a/none", "value": null}]), json!([1, 2])),
        ] {
            assert_eq!(run(patch.clone(), &document).unwrap()["a"]["b"], want, "{patch}");
        }
    }

    #[test]
    fn what_is_refused_and_how() {
        let document = json!({"a": {"b": [1]}, "c": "x"});
        for (patch, want) in [
            (json!({}), 400),
            (json!([1]), 400),
            (json!([{"op": "turn", "path": "/a"}]), 400),
            (json!([{"op": "add", "path": "/a"}]), 400),
            (json!([{"op": "add", "path": "a", "value": 1}]), 400),
            (json!([{"op": "test", "path": "/c", "value": "y"}]), 422),
            (json!([{"op": "test", "path": "/d", "value": "y"}]), 422),
            (json!([{"op": "test", "path": "/c", "value": null}]), 422),
            (json!([{"op": "test", "path": "/d/e", "value": null}]), 422),
            (json!([{"op": "test", "path": "/a/b/7", "value": null}]), 422),
            (json!([{"op": "remove", "path": "/d"}]), 422),
            (json!([{"op": "replace", "path": "/d", "value": 1}]), 422),
            (json!([{"op": "add", "path": "/d/e", "value": 1}]), 422),
            (json!([{"op": "add", "path": "/a/b/7", "value": 1}]), 422),
            (json!([{"op": "copy", "from": "/d", "path": "/e"}]), 422),
            (json!([{"op": "move", "from": "/a", "path": "/a/b/0"}]), 422),
        ] {
            assert_eq!(run(patch.clone(), &document).unwrap_err(), want, "{patch}");
        }
        let many = vec![json!({"op": "test", "path": "/c", "value": "x"}); MAX_OPERATIONS + 1];
        assert_eq!(run(Value::Array(many), &document).unwrap_err(), 413);
    }

    #[test]
    fn copies_neither_fill_the_memory_nor_the_stack() {
        let wide = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 1_000];
        assert_eq!(run(Value::Array(wide), &json!({"a": ["x"]})).unwrap_err(), 413);
        let moved = vec![json!({"op": "move", "from": "/a", "path": "/a"}); 1_000];
        assert_eq!(run(Value::Array(moved), &json!({"a": "x".repeat(50)})).unwrap_err(), 413);
        let long: Vec<Value> = (0..100)
            .map(|n| json!({"op": "copy", "from": "/a", "path": format!("/b{n}")}))
            .collect();
        assert_eq!(run(Value::Array(long), &json!({"a": "x".repeat(50)})).unwrap_err(), 413);
        let mut path = String::new();
        let deep: Vec<Value> = (0..100)
            .map(|_| {
                path.push_str("/a");
                json!({"op": "add", "path": path, "value": {}})
            })
            .collect();
        assert_eq!(run(Value::Array(deep), &json!({})).unwrap_err(), 400);
    }

    #[test]
    fn a_long_list_is_not_moved_aside_for_ever() {
        let document = json!({"a": vec![0; 5_000]});
        let insert = |path: &str| {
            let one = json!({"op": "add", "path": path, "value": 0});
            run(Value::Array(vec![one; 5_000]), &document).map(|_| ())
        };
        assert_eq!((insert("/a/0"), insert("/a/-")), (Err(413), Ok(())));
    }

    #[test]
    fn members_that_no_operation_has_are_named() {
        let patch = read(&tree(json!([{"op": "remove", "path": "/a", "paht": 1}]))).unwrap();
        assert_eq!(patch.unknown, ["json patch [0].paht"]);
    }
}
