//! Between stored records and objects. An object is stored whole, as JSON, without
//! `metadata.resourceVersion`: that is the record's version.

use bytes::Bytes;
use ebb_store::{Record, Value as Stored};
use serde_json::{Value, json};

use crate::registry::Kind;
use crate::status::Failure;

/// Version of the stored form.
const STORAGE_VERSION: u32 = 1;

/// The object in a record.
///
/// # Errors
/// 500 when it is not the JSON object that was once written.
pub(crate) fn read(kind: &Kind, record: &Record) -> Result<Value, Failure> {
    let mut object: Value = serde_json::from_slice(&record.value.data)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Failure::internal(format!("{} is not stored as an object", record.key)))?;
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    set_version(&mut object, record.version);
    Ok(object)
}

/// Sets `metadata.resourceVersion`.
pub(crate) fn set_version(object: &mut Value, version: u64) {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"]["resourceVersion"] = json!(version.to_string());
}

/// The stored form of an object.
pub(crate) fn value(kind: &Kind, object: &Value) -> Stored {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    Stored {
        storage_version: STORAGE_VERSION,
        sealed: kind.sealed,
        data: Bytes::from(object.to_string()),
    }
}

/// A resource version that a client sent.
///
/// # Errors
/// 400: versions are numbers that this server gave out.
pub(crate) fn version(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| {
        Failure::bad_request(
            "INVALID_RESOURCE_VERSION",
            format!("resourceVersion {text:?} is not one that this server gave out"),
        )
    })
}
