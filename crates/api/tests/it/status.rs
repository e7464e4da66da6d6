//! The `status` subresource.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{SERVICES, World, code, service};

fn entry<'a>(object: &'a Value, subresource: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let found =
        entries.iter().find(|entry| entry["subresource"].as_str().unwrap_or("") == subresource);
    found.unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_write_of_the_status_changes_the_status_only() {
    let world = World::new();
    let (_, made) = world.post(SERVICES, &service("hello")).await;
    let (main, part) = (format!("{SERVICES}/hello"), format!("{SERVICES}/hello/status"));
    assert_eq!(world.get(&part).await.1, made);
    let mut changed = made.clone();
    changed["status"] = json!({"url": "http://a", "observedGeneration": 1, "conditions": []});
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
    changed["metadata"]["labels"] = json!({"a": "b"});
    let (status, written) = world.put(&part, &changed).await;
    assert_eq!(status, 200, "{written}");
    assert_eq!(written["status"]["url"], "http://a");
    assert_eq!(written["spec"], made["spec"]);
    assert_eq!(written["metadata"]["labels"], Value::Null);
    assert_eq!(written["metadata"]["generation"], 1);
    let fields = &entry(&written, "status")["fieldsV1"]["f:status"];
    assert!(fields["f:url"].is_object(), "{written}");
    assert_eq!(entry(&written, "")["fieldsV1"], entry(&made, "")["fieldsV1"]);
    assert_eq!(world.put(&part, &changed).await.0, 409, "it names a version that is old now");

    let (_, kept) = world.merge(&main, &json!({"status": {"url": "http://b"}})).await;
    assert_eq!(kept, written, "the object itself does not take a status");
    let (_, patched) =
        world.merge(&part, &json!({"status": {"url": "http://b"}, "spec": null})).await;
    assert_eq!((&patched["status"]["url"], &patched["spec"]), (&json!("http://b"), &made["spec"]));
    let (_, again) = world.merge(&part, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(again, patched, "nothing of the status changed");

    let request =
        world.request(Method::PATCH, &part).header("content-type", "application/json-patch+json");
    let change = json!([{"op": "remove", "path": "/status/url"}]);
    let (status, removed) = world.ask(request.body(change.to_string())).await;
    assert_eq!((status.as_u16(), &removed["status"]["url"]), (200, &Value::Null));
    let bad = world.merge(&part, &json!({"status": {"conditions": 1}})).await;
    assert_eq!((bad.0.as_u16(), code(&bad.1)), (400, "INVALID_VALUE"));
    assert_eq!(world.merge(&format!("{SERVICES}/none/status"), &json!({})).await.0, 404);
    assert_eq!(world.delete(&part, &json!({})).await.0, 405);
    world.end().await;
}

#[tokio::test]
async fn a_status_is_applied() {
    let world = World::new();
    let (_, made) = world.post(SERVICES, &service("hello")).await;
    let apply = |name: &'static str, manager: &'static str, url: &'static str| {
        let config = json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"template": {"spec": {"timeoutSeconds": 5}}}, "status": {"url": url},
        });
        let path = format!("{SERVICES}/{name}/status?fieldManager={manager}");
        let request = world.request(Method::PATCH, &path).body(config.to_string());
        world.ask(request.header("content-type", "application/apply-patch+yaml"))
    };
    let (status, applied) = apply("hello", "one", "http://a").await;
    assert_eq!((status.as_u16(), &applied["status"]["url"]), (200, &json!("http://a")));
    assert_eq!(applied["spec"], made["spec"]);
    let one = entry(&applied, "status");
    assert_eq!(one["fieldsV1"], json!({"f:status": {"f:url": {}}}));
    assert_eq!((&one["operation"], &one["manager"]), (&json!("Apply"), &json!("one")));
    let (status, conflict) = apply("hello", "two", "http://b").await;
    assert_eq!(status, 409);
    assert_eq!(
        conflict["message"],
        "Apply failed with 1 conflict: conflict with \"one\" with subresource \"status\": .status.url"
    );
    assert_eq!(apply("none", "one", "http://a").await.0, 404, "a status makes no object");
    world.end().await;
}

#[tokio::test]
async fn a_namespace_is_active_until_it_is_deleted() {
    let world = World::new();
    let part = "/api/v1/namespaces/default/status";
    let (status, refused) = world.merge(part, &json!({"status": {"phase": "Terminating"}})).await;
    assert_eq!((status.as_u16(), code(&refused)), (422, "INVALID_VALUE"));
    let condition = json!({"type": "Fine", "status": "True"});
    let change = json!({"status": {"conditions": [condition]}});
    let (status, changed) = world.merge(part, &change).await;
    assert_eq!(
        (status.as_u16(), &changed["status"]["phase"]),
        (200, &json!("Active")),
        "{changed}"
    );
    assert_eq!(changed["status"]["conditions"][0]["type"], "Fine");
    world.end().await;
}
