//! From kubectl's client-side apply to its server-side apply: the annotation with the last
//! configuration says which fields kubectl itself wrote, so that it has no conflict with itself.

use serde_json::{Map, Value};

use super::compare::compare;
use super::managers::{Manager, Operation};
use super::walk::fields;
use super::write::Conflict;
use crate::schema::Node;

/// Where kubectl keeps the configuration that it applied last.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The field manager of `kubectl apply --server-side`.
const KUBECTL: &str = "kubectl";
/// Bytes of all annotations of an object together, as in Kubernetes.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Whether it is kubectl's own server-side apply.
pub(crate) fn is_kubectl(manager: &Manager) -> bool {
    manager.operation == Operation::Apply && manager.name == KUBECTL
}

/// The conflicts about fields that the annotation does not vouch for: those that it does not name,
/// or that have changed since.
pub(crate) fn not_vouched(node: &Node, live: &Value, conflicts: &[Conflict]) -> Vec<Conflict> {
    let text = live["metadata"]["annotations"][ANNOTATION].as_str();
    let last: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
    let Some(last) = last else { return conflicts.to_vec() };
    let found = compare(node, &last, live);
    let changed = found.said().union(&found.removed);
    let vouched = fields(node, &last).difference(&changed);
    let rest = conflicts.iter().map(|conflict| Conflict {
        fields: conflict.fields.difference(&vouched),
        ..conflict.clone()
    });
    rest.filter(|conflict| !conflict.fields.is_empty()).collect()
}

/// Keeps the annotation true: it becomes the configuration that was just applied. An object
/// without it stays so.
pub(crate) fn refresh(object: &mut Value, config: &Value) {
    let Some(annotations) = object["metadata"]["annotations"].as_object_mut() else { return };
    if !annotations.contains_key(ANNOTATION) {
        return;
    }
    let mut config = config.clone();
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(own) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            own.remove(ANNOTATION);
        }
    }
    annotations.insert(ANNOTATION.to_owned(), Value::String(format!("{config}\n")));
    if size(annotations) > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
}

fn size(annotations: &Map<String, Value>) -> usize {
    annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum()
}
