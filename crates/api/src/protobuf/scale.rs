//! Scale.

use k8s_pb::api::autoscaling::v1 as pb;
use serde_json::Value;

use super::fields::Fields;
use super::message;
use super::meta::object_meta;
use crate::status::Failure;

/// `autoscaling/v1` Scale.
pub(crate) fn scale(bytes: &[u8]) -> Result<Value, Failure> {
    let pb::Scale { metadata, spec, status } = message(bytes)?;
    let spec = Fields::default().plain("replicas", spec.unwrap_or_default().replicas).object();
    let status = status.map(|given| {
        let given = Fields::default()
            .plain("replicas", Some(given.replicas.unwrap_or(0)))
            .text("selector", given.selector);
        given.object()
    });
    let fields = Fields::default()
        .plain("metadata", Some(object_meta(metadata)?))
        .plain("spec", Some(spec))
        .plain("status", status);
    Ok(fields.object())
}
