//! Clients that want to see metadata only: `PartialObjectMetadata`, as metadata clients and
//! controllers that cache nothing else ask for.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{MAPS, World, config_map};

const ONE: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                   application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

fn partial(object: &Value) -> Value {
    let (kind, version) = ("PartialObjectMetadata", "meta.k8s.io/v1");
    json!({ "kind": kind, "apiVersion": version, "metadata": object["metadata"] })
}

#[tokio::test]
async fn one_many_and_their_changes_come_without_their_contents() {
    let world = World::new();
    let (_, a) = world.post(MAPS, &config_map("a", "1")).await;
    let (_, b) = world.post(MAPS, &config_map("b", "1")).await;

    let one = world.request(Method::GET, &format!("{MAPS}/a")).header("accept", ONE);
    assert_eq!(world.ask(one).await.1, partial(&a));

    let list = world.request(Method::GET, MAPS).header("accept", LIST);
    let (_, list) = world.ask(list).await;
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("PartialObjectMetadataList"), &json!("meta.k8s.io/v1"))
    );
    assert_eq!(list["items"], json!([partial(&a), partial(&b)]));

    let body = json!({ "data": { "more": "2" }, "metadata": { "labels": { "x": "y" } } });
    let patch = world
        .request(Method::PATCH, &format!("{MAPS}/a"))
        .header("accept", ONE)
        .header("content-type", "application/merge-patch+json")
        .body(body.to_string());
    let (_, patched) = world.ask(patch).await;
    assert_eq!(patched["kind"], "PartialObjectMetadata");
    assert_eq!(
        (&patched["metadata"]["labels"]["x"], &patched["data"]),
        (&json!("y"), &json!(null))
    );
    assert_eq!(world.delete(&format!("{MAPS}/b"), &json!({})).await.0, 200);

    let since = list["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = "watch=1&timeoutSeconds=1&allowWatchBookmarks=true";
    for (query, want) in [
        (format!("{watch}&resourceVersion={since}"), vec!["MODIFIED", "DELETED", "BOOKMARK"]),
        (watch.to_owned(), vec!["ADDED", "BOOKMARK"]),
    ] {
        let request = world.request(Method::GET, &format!("{MAPS}?{query}")).header("accept", ONE);
        let text = request.send().await.unwrap().text().await.unwrap();
        let events: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(types, want);
        assert!(events.iter().all(|event| event["object"] == partial(&event["object"])), "{text}");
        let newest = events.last().unwrap()["object"]["metadata"]["resourceVersion"].as_str();
        assert!(newest.unwrap().parse::<u64>().unwrap() > since.parse().unwrap());
    }
    world.end().await;
}
