//! Secret, ConfigMap and Namespace.

use k8s_pb::api::core::v1 as pb;
use serde_json::Value;

use super::fields::Fields;
use super::message;
use super::meta::object_meta;
use crate::status::Failure;

/// `core/v1` Secret.
pub(crate) fn secret(bytes: &[u8]) -> Result<Value, Failure> {
    let pb::Secret { metadata, immutable, data, string_data, r#type } = message(bytes)?;
    let fields = Fields::default()
        .plain("metadata", Some(object_meta(metadata)?))
        .plain("immutable", immutable)
        .bytes("data", data)
        .texts("stringData", string_data)
        .text("type", r#type);
    Ok(fields.object())
}

/// `core/v1` ConfigMap.
pub(crate) fn config_map(bytes: &[u8]) -> Result<Value, Failure> {
    let pb::ConfigMap { metadata, immutable, data, binary_data } = message(bytes)?;
    let fields = Fields::default()
        .plain("metadata", Some(object_meta(metadata)?))
        .plain("immutable", immutable)
        .texts("data", data)
        .bytes("binaryData", binary_data);
    Ok(fields.object())
}

/// `core/v1` Namespace.
pub(crate) fn namespace(bytes: &[u8]) -> Result<Value, Failure> {
    let pb::Namespace { metadata, spec, status } = message(bytes)?;
    let spec = spec.unwrap_or_default();
    let status = status.unwrap_or_default();
    let conditions = status.conditions.into_iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    let spec = Fields::default().list("finalizers", spec.finalizers).object();
    let status = Fields::default().text("phase", status.phase).list("conditions", conditions);
    let fields = Fields::default()
        .plain("metadata", Some(object_meta(metadata)?))
        .plain("spec", Some(spec))
        .plain("status", Some(status.object()));
    Ok(fields.object())
}

fn condition(given: pb::NamespaceCondition) -> Result<Value, Failure> {
    let pb::NamespaceCondition { r#type, status, last_transition_time, reason, message } = given;
    let fields = Fields::default()
        .plain("type", Some(r#type.unwrap_or_default()))
        .plain("status", Some(status.unwrap_or_default()))
        .time("lastTransitionTime", last_transition_time)?
        .text("reason", reason)
        .text("message", message);
    Ok(fields.object())
}
