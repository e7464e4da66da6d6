//! Configurations, Routes and Revisions on their own.

use ebb_model::key;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{SERVICES, World, code, service};

const GROUP: &str = "serving.knative.dev";
const CONFIGURATIONS: &str = "/apis/serving.knative.dev/v1/namespaces/default/configurations";
const ROUTES: &str = "/apis/serving.knative.dev/v1/namespaces/default/routes";
const REVISIONS: &str = "/apis/serving.knative.dev/v1/namespaces/default/revisions";

fn configuration(name: &str) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Configuration",
        "metadata": { "name": name },
        "spec": { "template": { "spec": { "containers": [{ "image": "hello" }] } } },
    })
}

fn route(name: &str, traffic: &Value) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Route",
        "metadata": { "name": name }, "spec": { "traffic": traffic },
    })
}

/// Stores a revision as a controller does.
async fn revision(world: &World, name: &str) {
    let revision = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Revision",
        "metadata": {
            "name": name, "namespace": "default", "generation": 1, "uid": "u",
            "labels": {"serving.knative.dev/configuration": "hello"},
            "ownerReferences": [{"apiVersion": "serving.knative.dev/v1", "kind": "Configuration",
                "name": "hello", "uid": "c", "controller": true}],
        },
        "spec": {"containers": [{"image": "hello", "name": ""}], "timeoutSeconds": 300},
        "status": {"observedGeneration": 1, "conditions": []},
    });
    let key = key::object(GROUP, "revisions", "default", name);
    world.put_stored(&world.store, &key, &revision).await;
}

#[tokio::test]
async fn a_configuration_is_written_like_a_service() {
    let world = World::new();
    let (status, made) = world.post(CONFIGURATIONS, &configuration("hello")).await;
    assert_eq!(status, 201, "{made}");
    let spec = &made["spec"]["template"]["spec"];
    assert_eq!((&spec["timeoutSeconds"], &spec["containerConcurrency"]), (&json!(300), &json!(80)));
    let containers = &configuration("hello")["spec"]["template"]["spec"]["containers"];
    assert_eq!(&spec["containers"], containers, "nothing is added to a list");
    assert_eq!(made["metadata"]["generation"], 1);

    let one = format!("{CONFIGURATIONS}/hello");
    let patch = json!({"spec": {"template": {"spec": {"timeoutSeconds": 10}}}});
    let (status, after) = world.merge(&one, &patch).await;
    assert_eq!((status.as_u16(), &after["metadata"]["generation"]), (200, &json!(2)));
    let mut again = after.clone();
    again["metadata"]["labels"] = json!({"team": "a"});
    let (status, after) = world.put(&one, &again).await;
    assert_eq!((status.as_u16(), &after["metadata"]["generation"]), (200, &json!(2)));

    let mut wrong = configuration("wrong");
    wrong["spec"]["template"]["metadata"] = json!({"name": "other-1"});
    wrong["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    let (status, refused) = world.post(CONFIGURATIONS, &wrong).await;
    assert_eq!(status, 422, "{refused}");
    let causes = refused["details"]["causes"].as_array().unwrap();
    let fields: Vec<_> = causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["spec.template.metadata.name", "spec.template.spec.hostNetwork"]);
    assert_eq!(world.delete(&one, &json!({})).await.0, 200);
    assert_eq!(world.get(&one).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn a_route_is_written_with_its_own_rules_of_traffic() {
    let world = World::new();
    let half = |more: Value| {
        let mut target = json!({"percent": 50});
        target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        target
    };
    let good = json!([
        half(json!({"configurationName": "a", "latestRevision": true})),
        half(json!({"revisionName": "b-00001", "latestRevision": false}))
    ]);
    let (status, made) = world.post(ROUTES, &route("front", &good)).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["spec"]["traffic"], good);
    let (status, taken) = world.post(ROUTES, &route("front", &good)).await;
    assert_eq!((status.as_u16(), &taken["reason"]), (409, &json!("AlreadyExists")));

    let one = format!("{ROUTES}/front");
    let to = |target: Value| json!({"spec": {"traffic": target}});
    let patch = to(json!([{"configurationName": "a", "percent": 100}]));
    let (status, after) = world.merge(&one, &patch).await;
    assert_eq!((status.as_u16(), &after["metadata"]["generation"]), (200, &json!(2)));
    for (traffic, code_, field) in [
        (json!([]), "REQUIRED_FIELD", "spec.traffic"),
        (json!([{"configurationName": "a", "percent": 99}]), "INVALID_TRAFFIC", "spec.traffic"),
        (json!([{"latestRevision": true, "percent": 100}]), "INVALID_TRAFFIC", "spec.traffic[0]"),
        (
            json!([{"configurationName": "a", "revisionName": "a-1", "percent": 100}]),
            "INVALID_TRAFFIC",
            "spec.traffic[0]",
        ),
        (
            json!([{"configurationName": "a", "latestRevision": false, "percent": 100}]),
            "INVALID_TRAFFIC",
            "spec.traffic[0].latestRevision",
        ),
        (
            json!([{"configurationName": "A", "percent": 100}]),
            "INVALID_NAME",
            "spec.traffic[0].configurationName",
        ),
    ] {
        let (status, refused) = world.merge(&one, &to(traffic.clone())).await;
        let cause = &refused["details"]["causes"][0];
        assert_eq!(status, 422, "{traffic}");
        assert_eq!((code(&refused), &cause["field"]), (code_, &json!(field)), "{traffic}");
    }
    let mut refused = service("hello");
    refused["spec"]["traffic"] = json!([{"configurationName": "hello", "percent": 100}]);
    let (status, refused) = world.post(SERVICES, &refused).await;
    assert_eq!((status.as_u16(), code(&refused)), (422, "FORBIDDEN_FIELD"));
    assert_eq!(world.delete(&one, &json!({})).await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn of_a_revision_only_labels_and_annotations_change() {
    let world = World::new();
    revision(&world, "hello-00001").await;
    let one = format!("{REVISIONS}/hello-00001");
    let patch = json!({"metadata": {"labels": {"team": "a"}, "annotations": {"why": "b"}}});
    let (status, after) = world.merge(&one, &patch).await;
    assert_eq!(status, 200, "{after}");
    assert_eq!(after["metadata"]["labels"]["team"], "a");
    assert_eq!(after["metadata"]["generation"], 1);
    assert_eq!(after["status"]["observedGeneration"], 1);
    let mut changed = after.clone();
    changed["metadata"]["annotations"] = json!({"why": "c"});
    assert_eq!(world.put(&one, &changed).await.0, 200);
    for (patch, field) in [
        (json!({"spec": {"timeoutSeconds": 10}}), "spec"),
        (
            json!({"metadata": {"labels": {"serving.knative.dev/configuration": "x"}}}),
            "metadata.labels",
        ),
        (json!({"metadata": {"ownerReferences": null}}), "metadata.ownerReferences"),
    ] {
        let (status, refused) = world.merge(&one, &patch).await;
        assert_eq!((status.as_u16(), code(&refused)), (422, "REVISION_IMMUTABLE"), "{patch}");
        assert_eq!(refused["details"]["causes"][0]["field"], field);
    }
    let response = world.request(Method::POST, REVISIONS).body("{}").send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "DELETE, GET");
    let refused: Value = response.json().await.unwrap();
    assert_eq!(code(&refused), "METHOD_NOT_ALLOWED");
    assert!(refused["message"].as_str().unwrap().contains("made by its configuration"));
    world.end().await;
}

#[tokio::test]
async fn a_route_holds_no_revision_when_its_service_is_gone() {
    let world = World::new();
    let services = "/apis/serving.knative.dev/v1/namespaces/default/services";
    let (_, owner) = world.post(services, &crate::world::service("hello")).await;
    for n in 1..=2 {
        revision(&world, &format!("hello-0000{n}")).await;
    }
    let mut held = route(
        "hello",
        &json!([{"revisionName": "hello-00001", "percent": 50},
        {"revisionName": "hello-00002", "percent": 50}]),
    );
    held["metadata"]["ownerReferences"] = json!([{"apiVersion": "serving.knative.dev/v1",
        "kind": "Service", "name": "hello", "uid": owner["metadata"]["uid"], "controller": true}]);
    assert_eq!(world.post(ROUTES, &held).await.0, 201);
    let one = format!("{REVISIONS}/hello-00001");
    assert_eq!(world.delete(&one, &json!({})).await.0, 409);
    // Marked and waiting, then gone.
    let waiting = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    let service = format!("{services}/hello");
    assert_eq!(world.merge(&service, &waiting).await.0, 200);
    assert_eq!(world.delete(&service, &json!({})).await.0, 200);
    assert_eq!(world.delete(&one, &json!({})).await.0, 200);
    let free = json!({"metadata": {"finalizers": null}});
    assert_eq!(world.merge(&service, &free).await.0, 200);
    assert_eq!(world.get(&service).await.0, 404);
    // Another one of that name owns nothing of the first.
    assert_eq!(world.post(services, &crate::world::service("hello")).await.0, 201);
    assert_eq!(world.delete(&format!("{REVISIONS}/hello-00002"), &json!({})).await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn a_replacement_names_the_version_it_replaces() {
    let world = World::new();
    let (_, mut object) = world.post(CONFIGURATIONS, &configuration("hello")).await;
    let one = format!("{CONFIGURATIONS}/hello");
    let version = object["metadata"]["resourceVersion"].take();
    for path in [one.clone(), format!("{one}/status"), format!("{one}?dryRun=All")] {
        let (status, refused) = world.put(&path, &object).await;
        assert_eq!((status.as_u16(), &refused["reason"]), (422, &json!("Invalid")), "{refused}");
        assert_eq!(code(&refused), "INVALID_RESOURCE_VERSION");
        let message =
            "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update";
        assert!(refused["message"].as_str().unwrap().ends_with(message), "{refused}");
    }
    assert_eq!(world.put(&format!("{CONFIGURATIONS}/other"), &configuration("other")).await.0, 404);
    object["metadata"]["resourceVersion"] = version;
    assert_eq!(world.put(&one, &object).await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn a_revision_is_deleted_unless_a_route_names_it() {
    let world = World::new();
    for n in 1..=3 {
        revision(&world, &format!("hello-0000{n}")).await;
    }
    let named = route("front", &json!([{"revisionName": "hello-00001", "percent": 100}]));
    assert_eq!(world.post(ROUTES, &named).await.0, 201);
    let mut following = route("hello", &json!([{"configurationName": "hello", "percent": 100}]));
    following["metadata"]["namespace"] = json!("default");
    following["status"] = json!({"observedGeneration": 1, "conditions": [],
        "traffic": [{"revisionName": "hello-00003", "percent": 100}]});
    let key = key::object(GROUP, "routes", "default", "hello");
    world.put_stored(&world.store, &key, &following).await;
    for (name, by) in [("hello-00001", "\"front\""), ("hello-00003", "\"hello\"")] {
        let (status, refused) = world.delete(&format!("{REVISIONS}/{name}"), &json!({})).await;
        assert_eq!((status.as_u16(), code(&refused)), (409, "CONFLICT"), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(by), "{refused}");
    }
    assert_eq!(world.delete(&format!("{REVISIONS}/hello-00002"), &json!({})).await.0, 200);
    assert_eq!(world.delete(&format!("{ROUTES}/front"), &json!({})).await.0, 200);
    assert_eq!(world.delete(&format!("{REVISIONS}/hello-00001"), &json!({})).await.0, 200);
    world.end().await;
}
