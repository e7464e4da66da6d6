//! Server-side apply, and who owns what after any write.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{MAPS, SERVICES, World, code, config_map, service};

const APPLY: &str = "application/apply-patch+yaml";

async fn apply(world: &World, path: &str, query: &str, body: &str) -> (StatusCode, Value) {
    let request = world.request(Method::PATCH, &format!("{path}?{query}"));
    world.ask(request.header("content-type", APPLY).body(body.to_owned())).await
}

fn map(data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
        .to_string()
}

/// The fields of a manager.
fn owned<'a>(object: &'a Value, manager: &str, operation: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array();
    let mut entries = entries.map(Vec::as_slice).unwrap_or_default().iter();
    let found = entries.find(|e| e["manager"] == manager && e["operation"] == operation);
    found.map_or(&Value::Null, |entry| &entry["fieldsV1"])
}

#[tokio::test]
async fn apply_makes_changes_and_removes() {
    let world = World::new();
    let one = format!("{MAPS}/a");
    let yaml =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {x: \"1\", y: \"1\"}\n";
    let (status, made) = apply(&world, &one, "fieldManager=one", yaml).await;
    assert_eq!((status.as_u16(), &made["data"]), (201, &json!({"x": "1", "y": "1"})));
    let entries = made["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["fieldsV1"], json!({"f:data": {"f:x": {}, "f:y": {}}}));
    for (field, want) in [
        ("manager", "one"),
        ("operation", "Apply"),
        ("apiVersion", "v1"),
        ("fieldsType", "FieldsV1"),
        ("time", made["metadata"]["creationTimestamp"].as_str().unwrap()),
    ] {
        assert_eq!(entries[0][field], want);
    }
    let lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l}\n\
        spec: {holderIdentity: me}\n";
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let (_, lease) = apply(&world, path, "fieldManager=one", lease).await;
    let entries = lease["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "nothing was there before: {lease}");
    let (status, same) = apply(&world, &one, "fieldManager=one", yaml).await;
    assert_eq!((status.as_u16(), &same), (200, &made), "applying again writes nothing");

    let config = map(&json!({"x": "1", "z": "2"}));
    let (status, changed) = apply(&world, &one, "fieldManager=one", &config).await;
    assert_eq!((status.as_u16(), &changed["data"]), (200, &json!({"x": "1", "z": "2"})));
    let (_, shared) = apply(&world, &one, "fieldManager=two", &map(&json!({"x": "1"}))).await;
    assert_eq!(owned(&shared, "two", "Apply"), &json!({"f:data": {"f:x": {}}}));
    let (_, left) = apply(&world, &one, "fieldManager=one", &map(&json!({}))).await;
    assert_eq!(left["data"], json!({"x": "1"}), "another one still wants it");
    let bare = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#;
    let (_, bare) = apply(&world, &one, "fieldManager=two", bare).await;
    assert_eq!(owned(&bare, "two", "Apply"), &Value::Null);
    world.end().await;
}

#[tokio::test]
async fn conflicts_are_told_as_kubernetes_tells_them() {
    let world = World::new();
    let one = format!("{SERVICES}/hello");
    let made =
        world.request(Method::POST, &format!("{SERVICES}?fieldManager=kubectl-client-side-apply"));
    let (status, made) = world.ask(made.json(&service("hello"))).await;
    assert_eq!(status, 201, "{made}");
    assert!(owned(&made, "kubectl-client-side-apply", "Update")["f:spec"].is_object(), "{made}");
    let config = |timeout: u32, concurrency: u32| {
        json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "hello"},
            "spec": {"template": {"spec": {
                "timeoutSeconds": timeout, "containerConcurrency": concurrency,
                "containers": [{"image": "hello"}],
            }}},
        })
        .to_string()
    };
    let change = json!({"spec": {"template": {"spec": {"timeoutSeconds": 10}}}});
    let request = world.request(Method::PATCH, &format!("{one}?fieldManager=tuner"));
    let request = request.header("content-type", "application/merge-patch+json");
    assert_eq!(world.ask(request.body(change.to_string())).await.0, 200);

    let (status, conflict) = apply(&world, &one, "fieldManager=ci", &config(20, 80)).await;
    assert_eq!((status.as_u16(), &conflict["reason"]), (409, &json!("Conflict")));
    let message = conflict["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Apply failed with 1 conflict: conflict with \"tuner\" using \
        serving.knative.dev/v1: .spec.template.spec.timeoutSeconds"
        ),
        "{message}"
    );
    let cause = &conflict["details"]["causes"][0];
    assert_eq!(
        cause,
        &json!({
            "reason": "FieldManagerConflict",
            "message": "conflict with \"tuner\" using serving.knative.dev/v1",
            "field": ".spec.template.spec.timeoutSeconds",
        })
    );
    let (status, forced) = apply(&world, &one, "fieldManager=ci&force=true", &config(20, 80)).await;
    assert_eq!(
        (status.as_u16(), &forced["spec"]["template"]["spec"]["timeoutSeconds"]),
        (200, &json!(20))
    );
    assert_eq!(owned(&forced, "tuner", "Update"), &Value::Null);
    assert_eq!(forced["metadata"]["generation"], 3);

    let (_, three) = apply(&world, &one, "fieldManager=other", &config(30, 6)).await;
    let message = three["message"].as_str().unwrap();
    assert_eq!(
        message,
        "Apply failed with 3 conflicts: conflicts with \"ci\":\n\
         - .spec.template.spec.containerConcurrency\n- .spec.template.spec.timeoutSeconds\n\
         conflicts with \"kubectl-client-side-apply\" using serving.knative.dev/v1:\n\
         - .spec.template.spec.containerConcurrency"
    );
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_applied() {
    let world = World::new();
    let one = format!("{MAPS}/a");
    let config = map(&json!({"x": "1"}));
    for query in
        ["", "fieldManager=", "fieldManager=%01", &format!("fieldManager={}", "x".repeat(129))]
    {
        let (status, refused) = apply(&world, &one, query, &config).await;
        assert_eq!((status.as_u16(), &refused["reason"]), (422, &json!("Invalid")), "{query}");
        assert_eq!(refused["details"]["causes"][0]["field"], "fieldManager");
    }
    let (_, refused) = apply(&world, &one, "", &config).await;
    assert_eq!(
        refused["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    let bad = config.replace("\"a\"", "\"Bad_Name\"");
    let (status, refused) =
        apply(&world, &format!("{MAPS}/Bad_Name"), "fieldManager=one", &bad).await;
    assert_eq!((status.as_u16(), code(&refused)), (422, "INVALID_NAME"), "{refused}");
    let list = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a",
        "finalizers": ["x.dev/a", "x.dev/a"]}});
    for (body, status, why) in [
        ("data: {".to_owned(), 400, "INVALID_YAML"),
        ("[]".to_owned(), 400, "INVALID_JSON"),
        (r#"{"metadata":{"name":"a"}}"#.to_owned(), 400, "UNSUPPORTED_VERSION"),
        (
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#.to_owned(),
            400,
            "UNSUPPORTED_VERSION",
        ),
        (config.replace("\"a\"", "\"b\""), 400, "NAME_MISMATCH"),
        (config.replace("\"data\"", "\"dta\""), 400, "UNKNOWN_FIELD"),
        (config.replace("\"1\"", "1"), 400, "INVALID_VALUE"),
        (config.replace("{\"name\"", "{\"managedFields\":[],\"name\""), 400, "INVALID_VALUE"),
        (config.replace("{\"name\"", "{\"resourceVersion\":\"7\",\"name\""), 409, "CONFLICT"),
        (config.replace("{\"name\"", "{\"uid\":\"7\",\"name\""), 409, "CONFLICT"),
        (list.to_string(), 400, "INVALID_LIST"),
    ] {
        let (got, answer) = apply(&world, &one, "fieldManager=one", &body).await;
        assert_eq!((got.as_u16(), code(&answer)), (status, why), "{body}: {answer}");
    }
    let revision = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Revision",
        "metadata": {"name": "r"}, "spec": {"containers": [{"image": "hello"}]}});
    let path = "/apis/serving.knative.dev/v1/namespaces/default/revisions/r";
    let (status, refused) = apply(&world, path, "fieldManager=one", &revision.to_string()).await;
    assert_eq!((status.as_u16(), code(&refused)), (405, "METHOD_NOT_ALLOWED"));
    let missing = format!("{MAPS}/a").replace("default", "none");
    assert_eq!(apply(&world, &missing, "fieldManager=one", &config).await.0, 404);
    assert_eq!(world.get(&one).await.0, 404, "nothing was written");
    let tried = apply(&world, &one, "fieldManager=one&dryRun=All", &config).await;
    assert_eq!((tried.0.as_u16(), world.get(&one).await.0.as_u16()), (201, 404));
    world.end().await;
}

#[tokio::test]
async fn other_writes_are_followed_too() {
    let world = World::new();
    let one = format!("{MAPS}/a");
    let request = world.request(Method::POST, MAPS).header("user-agent", "tool/v1 (linux)");
    let (_, made) = world.ask(request.json(&config_map("a", "1"))).await;
    let all = json!({
        "f:data": {".": {}, "f:key": {}}, "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
    });
    assert_eq!(owned(&made, "tool", "Update"), &all);

    let mut changed = made.clone();
    changed["data"]["key"] = json!("2");
    let request = world.request(Method::PUT, &format!("{one}?fieldManager=editor"));
    let (_, changed) = world.ask(request.json(&changed)).await;
    assert_eq!(owned(&changed, "editor", "Update"), &json!({"f:data": {"f:key": {}}}));
    let rest = json!({"f:data": {}, "f:metadata": {"f:labels": {".": {}, "f:app": {}}}});
    assert_eq!(owned(&changed, "tool", "Update"), &rest);
    let (_, removed) = world.merge(&one, &json!({"data": null})).await;
    assert_eq!(owned(&removed, "editor", "Update"), &Value::Null);

    // What no write did, no write owns; and clients may say that nobody owns anything.
    let (_, kept) = world.merge(&one, &json!({"metadata": {"managedFields": []}})).await;
    assert_eq!(kept, removed);
    let unlabel = json!({"metadata": {"labels": {"app": null}}});
    let (_, plain) = world.merge(&one, &unlabel).await;
    assert_eq!(plain["metadata"]["labels"], Value::Null, "an empty map is not there");
    assert_eq!(owned(&plain, "tool", "Update"), &Value::Null);
    let (_, begun) = world.merge(&one, &json!({"metadata": {"managedFields": [{}]}})).await;
    assert_eq!(begun["metadata"]["managedFields"], Value::Null);
    let (_, still) = world.merge(&one, &json!({"data": {"x": "1"}})).await;
    assert_eq!(still["metadata"]["managedFields"], Value::Null);
    let config = map(&json!({"x": "2"}));
    let (status, conflict) = apply(&world, &one, "fieldManager=ci", &config).await;
    assert_eq!(status, 409);
    assert_eq!(
        conflict["message"],
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.x"
    );
    let long = format!("{one}?fieldManager={}", "x".repeat(129));
    assert_eq!(world.merge(&long, &json!({"data": {"x": "3"}})).await.0, 422);
    world.end().await;
}

#[tokio::test]
async fn many_updaters_become_few() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    for n in 0..15 {
        let path = format!("{MAPS}/a?fieldManager=m{n}");
        assert_eq!(world.merge(&path, &json!({"data": {format!("k{n}"): "v"}})).await.0, 200);
    }
    let (_, object) = world.get(&format!("{MAPS}/a")).await;
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    assert!(owned(&object, "ancient-changes", "Update")["f:data"].is_object(), "{object}");
    world.end().await;
}

/// What `kubectl apply`, then `kubectl apply --server-side` send.
#[tokio::test]
async fn kubectl_moves_to_server_side_apply() {
    let world = World::new();
    let one = format!("{MAPS}/a");
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "default"}, "data": {"x": "1"}});
    let mut first = config.clone();
    first["metadata"]["annotations"] = json!({annotation: format!("{config}\n")});
    let path = format!("{MAPS}?fieldManager=kubectl-client-side-apply");
    assert_eq!(world.post(&path, &first).await.0, 201);

    let mut second = config.clone();
    second["data"]["x"] = json!("2");
    let other = apply(&world, &one, "fieldManager=ci", &second.to_string()).await;
    assert_eq!(other.0, 409, "only kubectl itself is vouched for");
    let (status, applied) = apply(&world, &one, "fieldManager=kubectl", &second.to_string()).await;
    assert_eq!((status.as_u16(), &applied["data"]["x"]), (200, &json!("2")), "{applied}");
    let kept = applied["metadata"]["annotations"][annotation].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(kept).unwrap(), second);

    // It gives the fields of its client-side manager to the new one, by a JSON patch.
    let entries = applied["metadata"]["managedFields"].as_array().unwrap();
    let entries: Vec<&Value> = entries.iter().filter(|e| e["operation"] == "Apply").collect();
    let change = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion",
            "value": applied["metadata"]["resourceVersion"]},
    ]);
    let request = world.request(Method::PATCH, &format!("{one}?fieldManager=kubectl"));
    let request = request.header("content-type", "application/json-patch+json");
    let (status, moved) = world.ask(request.body(change.to_string())).await;
    assert_eq!(status, 200, "{moved}");
    assert_eq!(moved["metadata"]["managedFields"], json!(entries));
    second["data"] = json!({"y": "3"});
    let (status, last) = apply(&world, &one, "fieldManager=kubectl", &second.to_string()).await;
    assert_eq!((status.as_u16(), &last["data"]), (200, &json!({"y": "3"})));
    world.end().await;
}

#[tokio::test]
async fn parallel_applies_all_count() {
    let world = World::new();
    let one = format!("{MAPS}/a");
    let applies = (0..8).map(|n| {
        let (world, one) = (&world, &one);
        async move {
            let config = map(&json!({format!("k{n}"): "v"}));
            apply(world, one, &format!("fieldManager=m{n}"), &config).await.0.as_u16()
        }
    });
    let mut answers = futures_util::future::join_all(applies).await;
    answers.sort_unstable();
    assert_eq!(answers, [200, 200, 200, 200, 200, 200, 200, 201]);
    let (_, object) = world.get(&one).await;
    assert_eq!(object["data"].as_object().unwrap().len(), 8, "{object}");
    assert_eq!(object["metadata"]["managedFields"].as_array().unwrap().len(), 8);
    world.end().await;
}
