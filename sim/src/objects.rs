//! Reading stored objects.

use serde_json::Value as Json;

/// Group of the Knative kinds.
pub(crate) const SERVING: &str = "serving.knative.dev";

/// A text at this path of an object; empty when it is not there.
pub(crate) fn text<'a>(object: &'a Json, path: &str) -> &'a str {
    object.pointer(path).and_then(Json::as_str).unwrap_or_default()
}

/// Status and reason of `Ready`; both empty when it says nothing.
pub(crate) fn ready(object: &Json) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let Some(ready) = ready else { return (String::new(), String::new()) };
    (text(ready, "/status").to_owned(), text(ready, "/reason").to_owned())
}

/// Whether the status is about the newest generation.
pub(crate) fn observed(object: &Json) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// `namespace/name`.
pub(crate) fn full_name(object: &Json) -> String {
    format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// Shares by revision, as the status says.
pub(crate) fn traffic(object: &Json) -> Vec<(String, u64)> {
    let traffic = object["status"]["traffic"].as_array().into_iter().flatten();
    let share = |target: &Json| {
        let name = text(target, "/revisionName").to_owned();
        (name, target["percent"].as_u64().unwrap_or_default())
    };
    traffic.map(share).collect()
}

/// The image of the template.
pub(crate) fn image(template: &Json) -> &str {
    text(template, "/spec/containers/0/image")
}

/// A number among the annotations for scaling.
pub(crate) fn scale(object: &Json, name: &str) -> Option<u32> {
    let annotations = object["metadata"]["annotations"].as_object()?;
    annotations.get(&format!("autoscaling.knative.dev/{name}"))?.as_str()?.parse().ok()
}

/// The number of instances that was set by hand.
pub(crate) fn manual(service: &Json) -> Option<u64> {
    let annotation = |name| {
        text(service, &format!("/metadata/annotations/run.googleapis.com~1{name}")).to_owned()
    };
    if annotation("scalingMode") != "manual" {
        return None;
    }
    annotation("manualInstanceCount").parse().ok()
}
