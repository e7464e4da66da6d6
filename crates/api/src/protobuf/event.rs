//! Event.

use k8s_pb::api::core::v1 as pb;
use serde_json::Value;

use super::fields::Fields;
use super::message;
use super::meta::object_meta;
use crate::status::Failure;

/// `core/v1` Event.
pub(crate) fn event(bytes: &[u8]) -> Result<Value, Failure> {
    let given: pb::Event = message(bytes)?;
    let source = given.source.unwrap_or_default();
    let source = Fields::default().text("component", source.component).text("host", source.host);
    let fields = Fields::default()
        .plain("metadata", Some(object_meta(given.metadata)?))
        .plain("involvedObject", Some(reference(given.involved_object.unwrap_or_default())))
        .text("reason", given.reason)
        .text("message", given.message)
        .plain("source", Some(source.object()))
        .time("firstTimestamp", given.first_timestamp)?
        .time("lastTimestamp", given.last_timestamp)?
        .plain("count", given.count.filter(|count| *count != 0))
        .text("type", given.r#type)
        .micro_time("eventTime", given.event_time)?
        .plain("series", given.series.map(series).transpose()?)
        .text("action", given.action)
        .plain("related", given.related.map(reference))
        .text("reportingComponent", given.reporting_component)
        .text("reportingInstance", given.reporting_instance);
    Ok(fields.object())
}

fn reference(given: pb::ObjectReference) -> Value {
    let pb::ObjectReference {
        kind,
        namespace,
        name,
        uid,
        api_version,
        resource_version,
        field_path,
    } = given;
    Fields::default()
        .text("kind", kind)
        .text("namespace", namespace)
        .text("name", name)
        .text("uid", uid)
        .text("apiVersion", api_version)
        .text("resourceVersion", resource_version)
        .text("fieldPath", field_path)
        .object()
}

fn series(given: pb::EventSeries) -> Result<Value, Failure> {
    let pb::EventSeries { count, last_observed_time } = given;
    let fields = Fields::default().plain("count", count);
    Ok(fields.micro_time("lastObservedTime", last_observed_time)?.object())
}
