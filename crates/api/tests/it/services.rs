//! Knative Services: defaults, status, generation, refusals.

use ebb_model::key;
use expect_test::expect_file;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{SERVICES, World, code, service};

const GROUP: &str = "serving.knative.dev";

#[tokio::test]
async fn defaults_are_written_and_status_is_the_controllers() {
    let world = World::new();
    let mut wanted = service("hello");
    wanted["status"] = json!({"url": "http://mine"});
    let (status, made) = world.post(SERVICES, &wanted).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["status"], Value::Null);
    assert_eq!(made["metadata"]["generation"], 1);
    let spec = &made["spec"]["template"]["spec"];
    assert_eq!((&spec["timeoutSeconds"], &spec["containerConcurrency"]), (&json!(300), &json!(80)));
    assert_eq!(spec["containers"], wanted["spec"]["template"]["spec"]["containers"]);
    assert_eq!(made["spec"]["traffic"], json!([{"latestRevision": true, "percent": 100}]));

    let mut stored = made.clone();
    stored["status"] = json!({"observedGeneration": 1, "conditions": [], "url": "http://ours"});
    let key = key::object(GROUP, "services", "default", "hello");
    world.put_stored(&world.store, &key, &stored).await;

    let one = format!("{SERVICES}/hello");
    let (_, read) = world.get(&one).await;
    let mut changed = read.clone();
    changed["status"] = json!({"url": "http://mine"});
    changed["metadata"]["labels"] = json!({"a": "b"});
    let (status, after) = world.put(&one, &changed).await;
    assert_eq!(status, 200, "{after}");
    assert_eq!(after["status"]["url"], "http://ours");
    assert_eq!(after["metadata"]["generation"], 1, "the spec did not change");
    let patch = json!({"spec": {"template": {"spec": {"timeoutSeconds": 10}}}, "status": null});
    let (_, after) = world.merge(&one, &patch).await;
    assert_eq!(after["metadata"]["generation"], 2);
    assert_eq!(after["status"]["url"], "http://ours");
    let request = world.request(Method::PATCH, &one).body("{}");
    let request = request.header("content-type", "application/strategic-merge-patch+json");
    assert_eq!(world.ask(request).await.0, 415);
    world.end().await;
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let world = World::new();
    let mut wrong = service("hello");
    wrong["spec"]["template"]["spec"] = json!({
        "hostNetwork": true, "timeoutSeconds": 0,
        "containers": [{
            "image": "UPPER", "ports": [{"containerPort": 70_000}],
            "env": [{"name": "PORT", "value": "1"}],
        }],
    });
    let (status, refused) = world.post(SERVICES, &wrong).await;
    assert_eq!((status.as_u16(), &refused["reason"]), (422, &json!("Invalid")));
    let causes = refused["details"]["causes"].as_array().unwrap();
    let codes: Vec<_> = causes.iter().map(|cause| cause["reason"].as_str().unwrap()).collect();
    for code in [
        "FORBIDDEN_FIELD",
        "INVALID_VALUE",
        "IMAGE_REFERENCE_INVALID",
        "INVALID_PORT",
        "RESERVED_ENV",
    ] {
        assert!(codes.contains(&code), "{code} in {codes:?}");
    }
    let fields: Vec<_> = causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    assert!(fields.contains(&"spec.template.spec.containers[0].ports[0].containerPort"));
    assert_eq!(refused["details"]["kind"], "Service");
    world.end().await;
}

#[tokio::test]
async fn the_table_of_a_service() {
    let world = World::new();
    let object = json!({
        "metadata": {"name": "hello", "namespace": "default", "uid": "u",
            "creationTimestamp": "2023-11-14T22:13:20Z"},
        "status": {
            "url": "http://hello.default.localhost",
            "latestCreatedRevisionName": "hello-00002", "latestReadyRevisionName": "hello-00001",
            "conditions": [{"type": "Ready", "status": "False", "reason": "IMAGE_NOT_FOUND"}],
        },
    });
    let key = key::object(GROUP, "services", "default", "hello");
    world.put_stored(&world.store, &key, &object).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let request = world.request(Method::GET, SERVICES).header("accept", accept);
    let (_, mut table) = world.ask(request).await;
    table["metadata"]["resourceVersion"] = json!("N");
    table["rows"][0]["object"]["metadata"]["resourceVersion"] = json!("N");
    table["rows"][0]["cells"][6] = json!("AGE");
    let text = serde_json::to_string_pretty(&table).unwrap() + "\n";
    expect_file!["golden/service-table.json"].assert_eq(&text);
    world.end().await;
}

#[tokio::test]
async fn an_explanation_is_answered() {
    let world = World::new();
    let path = "/apis/ebb.dev/v1/namespaces/default/services/hello/explain";
    assert_eq!(world.get(path).await.0, 404);
    assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
    let (status, explanation) = world.get(path).await;
    assert_eq!((status.as_u16(), &explanation["decisions"]), (200, &json!([])));
    assert_eq!(explanation["coldStarts"], json!([]));
    world.end().await;
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_lives() {
    let world = World::new();
    assert_eq!(world.post(SERVICES, &service("panics")).await.0, 201);
    let path = "/apis/ebb.dev/v1/namespaces/default/services/panics/explain";
    for _ in 0..2 {
        let (status, failed) = world.get(path).await;
        assert_eq!((status.as_u16(), code(&failed)), (500, "INTERNAL"));
        assert!(!failed.to_string().contains("on purpose"), "{failed}");
    }
    assert_eq!(world.get(SERVICES).await.0, 200);
    world.end().await;
}
