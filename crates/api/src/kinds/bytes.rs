//! Bytes in an object, which JSON has as base64.

use serde_json::Value;

/// Takes the line breaks out of the texts in the map `field`. Kubernetes' reader skips them, so
/// what `base64` prints can stand in a manifest as it is.
pub(super) fn unwrap_lines(object: &mut Value, field: &str) {
    let texts = object.get_mut(field).and_then(Value::as_object_mut);
    for text in texts.into_iter().flat_map(serde_json::Map::values_mut) {
        if let Value::String(text) = text {
            text.retain(|letter| !matches!(letter, '\r' | '\n'));
        }
    }
}
