//! What several tests need.

use anyhow::Result;
use ebb_e2e::{Platform, not_run};
use serde_json::{Value, json};

/// Path of the Services in the namespace `default`.
pub(crate) const SERVICES: &str = "/apis/serving.knative.dev/v1/namespaces/default/services";

/// Whether the machine lets us start a platform; says so when not.
pub(crate) fn can_run(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        not_run(test, "it needs root, for namespaces, mounts and links");
    }
    root
}

/// A Service of the `hello` image.
pub(crate) fn hello(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "template": {
            "metadata": { "annotations": annotations },
            "spec": { "containers": [{ "image": ebb_e2e::image::HELLO }] },
        }},
    })
}

/// Creates a Service and waits until it is ready.
pub(crate) fn create(platform: &Platform, service: &Value) -> Result<()> {
    let api = platform.api()?;
    let response =
        api.send("POST", &format!("{SERVICES}?fieldValidation=Strict"), Some(service))?;
    anyhow::ensure!(response.status() == 201, "{} {}", response.status(), response.text());
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("{SERVICES}?watch=true&fieldSelector=metadata.name%3D{name}");
    api.open()?.watch(&path, |event| {
        let conditions = event["object"]["status"]["conditions"].as_array()?.clone();
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True").then_some(())
    })
}

/// Path of the instances of a service.
pub(crate) fn pods(service: &str) -> String {
    let label = "serving.knative.dev%2Fservice";
    format!("/api/v1/namespaces/default/pods?labelSelector={label}%3D{service}")
}

/// Whether a Pod is of an instance that is there; those that have ended are shown for a while.
pub(crate) fn lives(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Instances of the service that are there.
pub(crate) fn instances(platform: &Platform, service: &str) -> Result<Vec<Value>> {
    let list = platform.api()?.get(&pods(service))?;
    Ok(list["items"].as_array().into_iter().flatten().filter(|pod| lives(pod)).cloned().collect())
}

/// Waits until no instance of the service is there.
pub(crate) fn at_zero(platform: &Platform, service: &str) -> Result<()> {
    let path = pods(service);
    loop {
        let list = platform.api()?.get(&path)?;
        if !list["items"].as_array().is_some_and(|pods| pods.iter().any(lives)) {
            return Ok(());
        }
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let watch = format!("{path}&watch=true&resourceVersion={version}");
        platform.api()?.open()?.watch(&watch, |event| {
            (event["type"] == "DELETED" || !lives(&event["object"])).then_some(())
        })?;
    }
}

/// The `Ready` condition of a Service.
pub(crate) fn ready(platform: &Platform, service: &str) -> Result<Value> {
    let object = platform.api()?.get(&format!("{SERVICES}/{service}"))?;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
    Ok(ready.unwrap_or(Value::Null))
}

/// Reasons of the Events about the Service.
pub(crate) fn event_reasons(platform: &Platform, service: &str) -> Result<Vec<String>> {
    let events = platform.api()?.get("/api/v1/namespaces/default/events")?;
    let events = events["items"].as_array().cloned().unwrap_or_default();
    let ours = events.iter().filter(|event| event["involvedObject"]["name"] == service);
    Ok(ours.filter_map(|event| event["reason"].as_str().map(str::to_owned)).collect())
}
