//! Columns and cells that several kinds of Knative Serving have in their tables.

use serde_json::{Value, json};

use crate::table::{Column, column, wide};

pub(super) const IMAGE: Column = wide("Image", "Image of the container that takes requests.");
pub(super) const TRAFFIC: Column = wide("Traffic", "Shares of requests, by revision.");
pub(super) const LATEST_CREATED: Column = column("LatestCreated", "Newest revision.");
pub(super) const LATEST_READY: Column = column("LatestReady", "Newest revision that was ready.");

/// Image of the container that takes requests: the one with a port, else the first. `pointer`
/// leads to the containers. Empty when there is none.
pub(super) fn image(object: &Value, pointer: &str) -> Value {
    let containers = object.pointer(pointer).and_then(Value::as_array);
    let containers = containers.map(Vec::as_slice).unwrap_or_default();
    let ports = |container: &&Value| container["ports"].as_array().is_some_and(|p| !p.is_empty());
    let found = containers.iter().find(ports).or_else(|| containers.first());
    found.map_or_else(|| json!(""), |container| json!(container["image"].as_str().unwrap_or("")))
}

/// Who gets which share of the requests, such as `a-00001=90%,a-00002=10%`: as it is, and as it is
/// asked for while nothing is known yet. Targets without a share are left out.
pub(super) fn traffic(object: &Value) -> Value {
    let list = |pointer: &str| object.pointer(pointer).and_then(Value::as_array);
    let targets = list("/status/traffic").or_else(|| list("/spec/traffic"));
    let share = |target: &Value| {
        let percent = target["percent"].as_i64().filter(|percent| *percent > 0)?;
        let name = target["revisionName"].as_str().or_else(|| target["configurationName"].as_str());
        Some(format!("{}={percent}%", name.unwrap_or("latest")))
    };
    let shares: Vec<String> = targets.into_iter().flatten().filter_map(share).collect();
    json!(shares.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_requests_and_how_many() {
        let container = |image: &str| json!({"image": image});
        let mut object = json!({"spec": {"containers": [container("a"), container("b")]}});
        assert_eq!(image(&object, "/spec/containers"), "a");
        object["spec"]["containers"][1]["ports"] = json!([{"containerPort": 80}]);
        assert_eq!(image(&object, "/spec/containers"), "b");
        assert_eq!(
            (image(&json!({}), "/spec/containers"), traffic(&json!({}))),
            (json!(""), json!(""))
        );
        object["spec"]["traffic"] = json!([{"latestRevision": true, "percent": 100}]);
        assert_eq!(traffic(&object), "latest=100%");
        object["status"]["traffic"] = json!([{"revisionName": "a-1", "percent": 90},
            {"revisionName": "a-2", "percent": 10}, {"revisionName": "a-3", "tag": "old"}]);
        assert_eq!(traffic(&object), "a-1=90%,a-2=10%");
    }
}
