//! The subresource `scale` of a Service.

use ebb_model::key;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{World, code, service};

const HELLO: &str = "/apis/serving.knative.dev/v1/namespaces/default/services/hello";
const SCALE: &str = "/apis/serving.knative.dev/v1/namespaces/default/services/hello/scale";
const MODE: &str = "run.googleapis.com/scalingMode";
const COUNT: &str = "run.googleapis.com/manualInstanceCount";

/// A stored service with two instances, one that has ended, and one of another service.
async fn running() -> World {
    let world = World::new();
    let services = HELLO.trim_end_matches("/hello");
    assert_eq!(world.post(services, &service("hello")).await.0, 201);
    let pods = [
        ("a", "hello", "Running"),
        ("b", "hello", "Pending"),
        ("c", "hello", "Failed"),
        ("d", "other", "Running"),
    ];
    for (name, of, phase) in pods {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name,
            "namespace": "default", "labels": {"serving.knative.dev/service": of}},
            "status": {"phase": phase}});
        world.put_stored(&world.live, &key::object("", "pods", "default", name), &pod).await;
    }
    world
}

async fn annotation(world: &World, name: &str) -> Value {
    world.get(HELLO).await.1["metadata"]["annotations"][name].clone()
}

async fn patch(world: &World, form: &str, body: &Value) -> (StatusCode, Value) {
    let request = world.request(Method::PATCH, SCALE);
    let request = request.header("content-type", format!("application/{form}-patch+json"));
    world.ask(request.body(body.to_string())).await
}

#[tokio::test]
async fn a_scale_is_read_and_written_in_every_form() {
    let world = running().await;
    let (status, scale) = world.get(SCALE).await;
    assert_eq!(status, 200, "{scale}");
    assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(2), &json!(2)));
    assert_eq!(scale["status"]["selector"], "serving.knative.dev/service=hello");
    let generation = world.get(HELLO).await.1["metadata"]["generation"].clone();

    for (form, body, want) in [
        ("merge", json!({"spec": {"replicas": 3}}), 3),
        ("strategic-merge", json!({"spec": {"replicas": 4}}), 4),
        ("json", json!([{"op": "replace", "path": "/spec/replicas", "value": 5}]), 5),
    ] {
        let (status, scale) = patch(&world, form, &body).await;
        assert_eq!((status, &scale["spec"]["replicas"]), (StatusCode::OK, &json!(want)), "{form}");
        assert_eq!(scale["kind"], "Scale");
        assert_eq!(annotation(&world, COUNT).await, want.to_string());
        assert_eq!(annotation(&world, MODE).await, "manual");
    }
    let (_, mut scale) = world.get(SCALE).await;
    scale["spec"]["replicas"] = json!(0);
    let (status, after) = world.put(SCALE, &scale).await;
    assert_eq!((status, &after["spec"]["replicas"]), (StatusCode::OK, &json!(0)), "{after}");
    assert_eq!(world.get(HELLO).await.1["metadata"]["generation"], generation, "no new revision");
    // The version that was read is not the newest any more.
    scale["spec"]["replicas"] = json!(9);
    let (status, said) = world.put(SCALE, &scale).await;
    assert_eq!((status, code(&said)), (StatusCode::CONFLICT, "CONFLICT"));
    assert_eq!(annotation(&world, COUNT).await, "0");
    world.end().await;
}

#[tokio::test]
async fn a_dry_run_and_a_bad_scale_change_nothing() {
    let world = running().await;
    let dry = format!("{SCALE}?dryRun=All");
    let (status, scale) = world.merge(&dry, &json!({"spec": {"replicas": 7}})).await;
    assert_eq!((status, &scale["spec"]["replicas"]), (StatusCode::OK, &json!(7)));
    for (body, want) in [
        (json!({"spec": {"replicas": -1}}), (422, "INVALID_VALUE")),
        (json!({"spec": {"replicas": 1001}}), (422, "INVALID_VALUE")),
        (json!({"spec": {"replicas": "3"}}), (400, "INVALID_NUMBER")),
        (json!({"metadata": {"name": "other"}}), (400, "NAME_MISMATCH")),
        (json!({"metadata": {"uid": "other"}}), (409, "CONFLICT")),
        (json!({"kind": "Service"}), (400, "UNSUPPORTED_VERSION")),
        (json!([]), (400, "INVALID_JSON")),
    ] {
        let (status, said) = patch(&world, "merge", &body).await;
        assert_eq!((status.as_u16(), code(&said)), want, "{body}: {said}");
    }
    let strict = format!("{SCALE}?fieldValidation=Strict");
    let (status, said) = world.merge(&strict, &json!({"spec": {"replica": 3}})).await;
    assert_eq!((status.as_u16(), code(&said)), (400, "UNKNOWN_FIELD"));
    let (status, said) = patch(&world, "apply", &json!({})).await;
    assert_eq!((status.as_u16(), code(&said)), (415, "UNSUPPORTED_MEDIA_TYPE"));
    let (status, _) = world.delete(SCALE, &json!({})).await;
    assert_eq!(status, 405);
    assert_eq!(annotation(&world, COUNT).await, Value::Null);
    let (status, _) = world.get(&SCALE.replace("hello", "nobody")).await;
    assert_eq!(status, 404);
    world.end().await;
}
