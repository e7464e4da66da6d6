//! Names of other objects that are not there.

use reqwest::Method;
use serde_json::{Value, json};

use super::Refusal;
use crate::world::{MAPS, SERVICES, World, service};

const SERVING: &str = "/apis/serving.knative.dev/v1/namespaces/default";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn to(revision: &str, percent: i64) -> Value {
    json!({"revisionName": revision, "percent": percent})
}

fn latest(percent: i64) -> Value {
    json!({"latestRevision": true, "percent": percent})
}

/// Stores a revision as the controllers do.
async fn revision(world: &World, name: &str, of: &str) {
    let key = format!("/serving.knative.dev/revisions/default/{name}");
    let labels = json!({"serving.knative.dev/configuration": of});
    let object = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels},
        "spec": {"containers": [{"image": "hello"}]},
    });
    world.put_stored(&world.store, &key, &object).await;
    let (status, found) = world.get(&format!("{SERVING}/revisions/{name}")).await;
    assert_eq!(status, 200, "{found}");
}

fn absent(says: &'static [&'static str]) -> Refusal<'static> {
    Refusal { status: 422, code: "REVISION_NOT_FOUND", says }
}

/// A share of a Service goes to a revision that it has, however the share is written.
#[tokio::test]
async fn a_revision_that_a_service_does_not_have() {
    let world = World::new();
    let field = &["spec.traffic[1].revisionName", "hello-00007"];
    let mut new = service("hello");
    new["spec"]["traffic"] = json!([latest(50), to("hello-00007", 50)]);
    let text = new.to_string();
    for query in ["", "?dryRun=All"] {
        let path = format!("{SERVICES}{query}");
        world.refused("POST", world.raw(&path, "application/json", &*text), absent(field)).await;
        let yaml = serde_yaml_ng::to_string(&new).unwrap();
        world.refused("YAML", world.raw(&path, "application/yaml", yaml), absent(field)).await;
    }
    let one = format!("{SERVICES}/hello");
    let patch = |query: &str, type_: &str, body: String| {
        let request = world.request(Method::PATCH, &format!("{one}?{query}"));
        request.header("content-type", type_).body(body)
    };
    let apply = || patch("fieldManager=me", APPLY, text.clone());
    world.refused("an apply that makes it", apply(), absent(field)).await;

    let (status, made) = world.post(SERVICES, &service("hello")).await;
    assert_eq!(status, 201);
    revision(&world, "hello-00001", "hello").await;
    // Begins with the same name, and is that of another service.
    revision(&world, "hello-you-00001", "hello-you").await;
    let traffic = new["spec"]["traffic"].clone();
    let merge = json!({"spec": {"traffic": traffic}}).to_string();
    let operation = json!([{"op": "replace", "path": "/spec/traffic", "value": traffic}]);
    let mut put = made.clone();
    put["spec"]["traffic"] = traffic.clone();
    for query in ["fieldManager=me&force=true", "fieldManager=me&force=true&dryRun=All"] {
        let plain = query.replace("&force=true", "");
        world.refused(query, patch(query, APPLY, text.clone()), absent(field)).await;
        world.refused(&plain, patch(&plain, MERGE, merge.clone()), absent(field)).await;
        let json = patch(&plain, "application/json-patch+json", operation.to_string());
        world.refused("a JSON patch", json, absent(field)).await;
        let replace = world.request(Method::PUT, &format!("{one}?{plain}")).json(&put);
        world.refused("PUT", replace, absent(field)).await;
    }
    for (name, hint) in [
        ("hello-0001", "did you mean hello-00001?"),
        ("hello-you-00001", "`kubectl get revisions` lists them"),
    ] {
        let body = json!({"spec": {"traffic": [to(name, 100)]}}).to_string();
        let refused = world.refused(name, patch("", MERGE, body), absent(&[])).await;
        assert_eq!(refused["details"]["causes"][0]["hint"], hint, "{refused}");
    }
    world.end().await;
}

/// One that it has, that its template names, or that was named before.
#[tokio::test]
async fn a_revision_that_a_service_has() {
    let world = World::new();
    let one = format!("{SERVICES}/hello");
    let mut new = service("hello");
    new["spec"]["template"]["metadata"] = json!({"name": "hello-blue"});
    new["spec"]["traffic"] = json!([to("hello-blue", 100)]);
    let (status, made) = world.post(SERVICES, &new).await;
    assert_eq!(status, 201, "{made}");
    revision(&world, "hello-00001", "hello").await;
    let shares = json!({"spec": {"traffic": [to("hello-00001", 90), latest(10)]}});
    assert_eq!(world.merge(&one, &shares).await.0, 200);
    // It goes; what the service said before may stay, and everything else may change.
    let key = "/serving.knative.dev/revisions/default/hello-00001";
    let delete = vec![ebb_store::Write::Delete { key: key.to_owned() }];
    let commit = ebb_store::Commit { writes: delete, ..ebb_store::Commit::default() };
    world.store.commit(commit).await.unwrap();
    let others = json!({"metadata": {"labels": {"a": "b"}},
        "spec": {"traffic": [to("hello-00001", 80), latest(20)]}});
    let (status, changed) = world.merge(&one, &others).await;
    assert_eq!(status, 200, "{changed}");
    let scaled = json!({"spec": {"replicas": 2}});
    let (status, answer) = world.merge(&format!("{one}/scale"), &scaled).await;
    assert_eq!(status, 200, "{answer}");
    let gone = json!({"spec": {"traffic": [latest(100)]}});
    assert_eq!(world.merge(&one, &gone).await.0, 200);
    let back = world.request(Method::PATCH, &one).body(shares.to_string());
    let back = back.header("content-type", MERGE);
    world.refused("given up and gone", back, absent(&["spec.traffic[0].revisionName"])).await;
    world.end().await;
}

/// A Route that stands alone may be there before what it goes to: its condition tells.
#[tokio::test]
async fn a_route_before_its_revision() {
    let world = World::new();
    let route = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Route",
        "metadata": {"name": "front"}, "spec": {"traffic": [to("back-00001", 100)]}});
    assert_eq!(world.post(&format!("{SERVING}/routes"), &route).await.0, 201);
    world.end().await;
}

/// A Secret may come after the Service that names it; until then the new revision's condition says
/// `SECRET_NOT_FOUND`, and nothing is started. A reference that cannot be right is refused at once.
#[tokio::test]
async fn a_secret_that_comes_later() {
    let world = World::new();
    let mut object = service("hello");
    let from = json!({"secretKeyRef": {"name": "not-there-yet", "key": "k"}});
    let spec = &mut object["spec"]["template"]["spec"];
    spec["containers"][0]["env"] = json!([{"name": "KEY", "valueFrom": from}]);
    spec["imagePullSecrets"] = json!([{"name": "nor-is-this"}]);
    assert_eq!(world.post(SERVICES, &object).await.0, 201);
    object["metadata"]["name"] = json!("other");
    object["spec"]["template"]["spec"]["imagePullSecrets"] = json!([{"name": "../x"}]);
    let want = Refusal { status: 422, code: "INVALID_NAME", says: &["imagePullSecrets[0].name"] };
    let request = world.request(Method::POST, SERVICES).json(&object);
    world.refused("no name of a secret", request, want).await;
    world.end().await;
}

/// Names of the platform are no tenant's; other kinds are free, as in Kubernetes.
#[tokio::test]
async fn namespaces_of_the_platform() {
    let world = World::new();
    let spaces = "/api/v1/namespaces";
    for name in ["system", "admin", "ebb", "ebb-system", "kube-system", "kube-public", "kube-x"] {
        let space = |query: &str| {
            let object = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name}});
            world.request(Method::POST, &format!("{spaces}{query}")).json(&object)
        };
        let want = Refusal { status: 422, code: "INVALID_NAME", says: &["metadata.name", name] };
        world.refused(name, space(""), want).await;
        world.refused(name, space("?dryRun=All"), want).await;
        let applied = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let path = format!("{spaces}/{name}?fieldManager=me");
        let apply = world.request(Method::PATCH, &path).header("content-type", APPLY);
        world.refused(name, apply.body(applied.to_string()), want).await;
        let map = crate::world::config_map(name, "1");
        assert_eq!(world.post(MAPS, &map).await.0, 201, "another kind: {name}");
        if !name.contains('x') {
            assert_eq!(world.post(SERVICES, &service(name)).await.0, 201, "a service: {name}");
        }
    }
    for name in ["kube", "kubernetes", "administration", "systems", "my-system", "ebbing"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        assert_eq!(world.post(spaces, &object).await.0, 201, "{name}");
    }
    // One that was there before its name was reserved stays usable.
    let object = json!({"metadata": {"name": "kube-old", "uid": "u"}});
    world.put_stored(&world.store, "/core/namespaces//kube-old", &object).await;
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let (status, changed) = world.merge(&format!("{spaces}/kube-old"), &labels).await;
    assert_eq!(status, 200, "{changed}");
    world.end().await;
}
