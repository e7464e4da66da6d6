//! Deleting one object and many: preconditions, policies, finalizers, answers.

use ebb_model::{InstanceId, key};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{MAPS, SERVICES, World, code, config_map, service};

async fn made(world: &World, name: &str) -> Value {
    let (status, object) = world.post(MAPS, &config_map(name, "1")).await;
    assert_eq!(status, 201, "{object}");
    object
}

fn policy(policy: &str) -> Value {
    json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy})
}

#[tokio::test]
async fn what_is_removed_is_answered_with_a_status() {
    let world = World::new();
    let object = made(&world, "a").await;
    let (status, gone) = world.delete(&format!("{MAPS}/a"), &policy("Background")).await;
    assert_eq!(status, 200);
    assert_eq!((&gone["kind"], &gone["status"]), (&json!("Status"), &json!("Success")));
    let details = json!({"name": "a", "kind": "configmaps", "uid": object["metadata"]["uid"]});
    assert_eq!(gone["details"], details);
    assert_eq!(world.delete(&format!("{MAPS}/a"), &json!({})).await.0, 404);
    assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
    let (_, gone) = world.delete(&format!("{SERVICES}/hello"), &json!({})).await;
    assert_eq!(gone["details"]["group"], "serving.knative.dev");
    world.end().await;
}

#[tokio::test]
async fn preconditions_hold_or_nothing_happens() {
    let world = World::new();
    let object = made(&world, "a").await;
    let one = format!("{MAPS}/a");
    let uid = &object["metadata"]["uid"];
    let version = &object["metadata"]["resourceVersion"];
    for wrong in [
        json!({"uid": "other"}),
        json!({"resourceVersion": "1"}),
        json!({"uid": uid, "resourceVersion": "1"}),
    ] {
        let (status, refused) = world.delete(&one, &json!({"preconditions": wrong})).await;
        assert_eq!((status.as_u16(), code(&refused)), (409, "CONFLICT"), "{refused}");
    }
    let right = json!({"preconditions": {"uid": uid, "resourceVersion": version}});
    assert_eq!(world.delete(&one, &right).await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn options_that_are_none_are_refused_and_named() {
    let world = World::new();
    made(&world, "a").await;
    let one = format!("{MAPS}/a");
    for (options, status, field) in [
        (policy("Sideways"), 422, "propagationPolicy"),
        (
            json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
            422,
            "propagationPolicy",
        ),
        (json!({"dryRun": ["All", "Half"]}), 422, "dryRun[1]"),
        (
            json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true}),
            422,
            "ignoreStoreReadErrorWithClusterBreakingPotential",
        ),
        (json!({"propagationPolicy": 7}), 400, ""),
        (json!({"kind": "ConfigMap"}), 400, ""),
        (json!([]), 400, ""),
        (json!("x"), 400, ""),
    ] {
        let (got, refused) = world.delete(&one, &options).await;
        assert_eq!(got, status, "{options}: {refused}");
        let named = refused["details"]["causes"][0]["field"].as_str().unwrap_or_default();
        assert_eq!(named, field, "{refused}");
    }
    for query in [
        "propagationPolicy=Sideways",
        "orphanDependents=maybe",
        "dryRun=Half",
        "gracePeriodSeconds=x",
        "propagationPolicy=Orphan&orphanDependents=false",
    ] {
        let request = world.request(Method::DELETE, &format!("{one}?{query}"));
        let (status, refused) = world.ask(request).await;
        assert!(matches!(status.as_u16(), 400 | 422), "{query}: {refused}");
    }
    let request = world.request(Method::DELETE, &one).header("content-type", "text/plain");
    assert_eq!(world.ask(request.body("x")).await.0, 415);
    let request = world.request(Method::DELETE, &one).header("content-type", "application/yaml");
    let (status, _) = world.ask(request.body("propagationPolicy: Background")).await;
    assert_eq!(status, 200, "nothing was deleted before");
    world.end().await;
}

#[tokio::test]
async fn a_policy_becomes_a_finalizer_and_another_one_replaces_it() {
    let world = World::new();
    made(&world, "a").await;
    let one = format!("{MAPS}/a");
    let (status, marked) = world.delete(&one, &policy("Orphan")).await;
    assert_eq!((status.as_u16(), &marked["kind"]), (200, &json!("ConfigMap")), "{marked}");
    assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
    let since = marked["metadata"]["deletionTimestamp"].clone();
    assert!(since.is_string());
    let (_, marked) = world.delete(&one, &policy("Foreground")).await;
    assert_eq!(marked["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert_eq!(marked["metadata"]["deletionTimestamp"], since, "it is as old as it is");
    let (_, same) = world.delete(&one, &json!({})).await;
    assert_eq!(same, marked, "nothing changed");
    let (status, gone) = world.delete(&one, &policy("Background")).await;
    assert_eq!((status.as_u16(), &gone["status"]), (200, &json!("Success")));

    made(&world, "b").await;
    let request = world.request(Method::DELETE, &format!("{MAPS}/b?orphanDependents=true"));
    assert_eq!(world.ask(request).await.1["metadata"]["finalizers"], json!(["orphan"]));
    made(&world, "c").await;
    let request = world.request(Method::DELETE, &format!("{MAPS}/c?propagationPolicy=Foreground"));
    let (_, marked) = world.ask(request).await;
    assert_eq!(marked["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    world.end().await;
}

#[tokio::test]
async fn the_last_finalizer_that_goes_takes_the_object_with_it() {
    let world = World::new();
    let mut held = config_map("a", "1");
    held["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
    assert_eq!(world.post(MAPS, &held).await.0, 201);
    let one = format!("{MAPS}/a");
    let (status, marked) = world.delete(&one, &policy("Background")).await;
    assert_eq!((status.as_u16(), &marked["kind"]), (200, &json!("ConfigMap")));
    assert_eq!(marked["metadata"]["finalizers"].as_array().unwrap().len(), 2);
    let more = json!({"metadata": {"finalizers": ["example.com/one", "example.com/three"]}});
    let (status, refused) = world.merge(&one, &more).await;
    assert_eq!((status.as_u16(), code(&refused)), (422, "FORBIDDEN_FIELD"));
    let fewer = json!({"metadata": {"finalizers": ["example.com/two"]}});
    assert_eq!(world.merge(&one, &fewer).await.0, 200);
    assert_eq!(world.get(&one).await.0, 200);
    let mut last = world.get(&one).await.1;
    last["metadata"]["finalizers"] = json!([]);
    let (status, gone) = world.put(&one, &last).await;
    assert_eq!((status.as_u16(), &gone["kind"]), (200, &json!("ConfigMap")));
    assert_eq!(world.get(&one).await.0, 404);
    // The old flag is answered as asynchronous where it is.
    assert_eq!(world.post(MAPS, &held).await.0, 201);
    assert_eq!(world.delete(&one, &json!({"orphanDependents": false})).await.0, 202);
    world.end().await;
}

#[tokio::test]
async fn a_dry_run_deletes_nothing() {
    let world = World::new();
    made(&world, "a").await;
    let one = format!("{MAPS}/a");
    let before = world.get(&one).await.1;
    for options in
        [json!({"dryRun": ["All"]}), json!({"dryRun": ["All"], "propagationPolicy": "Orphan"})]
    {
        assert_eq!(world.delete(&one, &options).await.0, 200);
        assert_eq!(world.get(&one).await.1, before);
    }
    let request = world.request(Method::DELETE, &format!("{MAPS}?dryRun=All"));
    let (_, list) = world.ask(request).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&one).await.1, before);
    world.end().await;
}

#[tokio::test]
async fn a_collection_is_deleted_as_selected_and_listed() {
    let world = World::new();
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        assert_eq!(world.post(MAPS, &config_map(name, app)).await.0, 201);
    }
    let mut held = config_map("d", "x");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(world.post(MAPS, &held).await.0, 201);
    let request = world.request(Method::DELETE, &format!("{MAPS}?labelSelector=app%3Dx"));
    let (status, list) = world.ask(request).await;
    assert_eq!((status.as_u16(), &list["kind"]), (200, &json!("ConfigMapList")), "{list}");
    let names: Vec<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "c", "d"]);
    assert!(list["items"][2]["metadata"]["deletionTimestamp"].is_null(), "as it was before");
    let held = world.get(&format!("{MAPS}/d")).await.1;
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    let left = world.get(MAPS).await.1;
    assert_eq!(left["items"].as_array().unwrap().len(), 2, "{left}");
    let (status, refused) = world.delete(MAPS, &json!({"preconditions": {"uid": "x"}})).await;
    assert_eq!((status.as_u16(), code(&refused)), (422, "FORBIDDEN_FIELD"));
    let request = world.request(Method::DELETE, &format!("{MAPS}?fieldSelector=metadata.name%3Db"));
    assert_eq!(world.ask(request).await.1["items"].as_array().unwrap().len(), 1);
    world.delete(MAPS, &policy("Orphan")).await;
    let finalizers = &world.get(&format!("{MAPS}/d")).await.1["metadata"]["finalizers"];
    assert_eq!(*finalizers, json!(["example.com/hold", "orphan"]));
    world.end().await;
}

#[tokio::test]
async fn a_collection_is_deleted_page_by_page() {
    let world = World::new();
    for n in 0..5 {
        made(&world, &format!("m-{n}")).await;
    }
    let remove = async |query: &str| {
        let (status, list) =
            world.ask(world.request(Method::DELETE, &format!("{MAPS}?{query}"))).await;
        assert_eq!(status, 200, "{list}");
        let names = list["items"].as_array().unwrap().iter();
        let names: Vec<String> =
            names.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        (names, list["metadata"].clone())
    };
    let left = async || world.get(MAPS).await.1["items"].as_array().unwrap().len();
    let (names, metadata) = remove("limit=2&dryRun=All").await;
    assert_eq!((names.len(), left().await), (2, 5), "{metadata}");
    let (names, metadata) = remove("limit=2").await;
    assert_eq!((names, left().await), (vec!["m-0".to_owned(), "m-1".to_owned()], 3));
    assert_eq!(metadata["remainingItemCount"], 3);
    made(&world, "m-2a").await;
    let token = metadata["continue"].as_str().unwrap();
    let (names, metadata) = remove(&format!("limit=2&continue={token}")).await;
    assert_eq!(names, ["m-2", "m-3"], "{metadata}");
    assert_eq!(metadata["remainingItemCount"], 1);
    let token = metadata["continue"].as_str().unwrap();
    let (names, metadata) = remove(&format!("continue={token}")).await;
    assert_eq!(names, ["m-4"]);
    assert_eq!(
        (&metadata["continue"], &metadata["remainingItemCount"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(left().await, 1, "what came later is of no page");
    let request = world.request(Method::DELETE, &format!("{MAPS}?continue=x"));
    assert_eq!(code(&world.ask(request).await.1), "INVALID_CONTINUE");
    assert_eq!(left().await, 1);
    world.end().await;
}

/// A Pod that a test stores.
async fn pod(world: &World, name: &str) -> Value {
    let pod = json!({"metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
        "spec": {"terminationGracePeriodSeconds": 10, "containers": []},
        "status": {"phase": "Running"}});
    world.put_stored(&world.live, &key::object("", "pods", "default", name), &pod).await;
    world.get(&format!("{PODS}/{name}")).await.1
}

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_pod_gets_the_time_that_is_asked_for() {
    let world = World::new();
    // These controllers take their time.
    *world.platform.live.lock().unwrap() = None;
    let seconds = std::time::Duration::from_secs;
    for (name, body, query, shown, told) in [
        ("a", json!({}), "", json!(10), None),
        ("b", json!({"gracePeriodSeconds": 60}), "", json!(60), Some(seconds(60))),
        ("c", json!({"gracePeriodSeconds": -5}), "", json!(1), Some(seconds(1))),
        ("d", Value::Null, "?gracePeriodSeconds=3", json!(3), Some(seconds(3))),
        ("e", Value::Null, "?gracePeriodSeconds=-1", json!(1), Some(seconds(1))),
        ("f", json!({"gracePeriodSeconds": 0}), "", Value::Null, Some(seconds(0))),
    ] {
        pod(&world, name).await;
        let one = format!("{PODS}/{name}");
        let request = world.request(Method::DELETE, &format!("{one}{query}"));
        let request = if body.is_null() { request } else { request.json(&body) };
        let (status, answer) = world.ask(request).await;
        assert_eq!((status.as_u16(), &answer["kind"]), (200, &json!("Pod")), "{answer}");
        assert_eq!(answer["metadata"]["deletionGracePeriodSeconds"], shown, "{name}");
        let last = world.platform.periods.lock().unwrap().last().cloned().unwrap();
        assert_eq!(last, (Some(format!("uid-{name}")), told), "{name}");
        let (status, stored) = world.get(&one).await;
        if name == "f" {
            assert_eq!(status, 404, "it is gone at once");
        } else {
            assert_eq!(stored, answer, "it is marked in one commit");
        }
    }
    let huge = json!({"gracePeriodSeconds": i64::MAX});
    pod(&world, "g").await;
    let (status, marked) = world.delete(&format!("{PODS}/g"), &huge).await;
    assert_eq!(status, 200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], i32::MAX);
    // A second deletion makes it sooner, never later.
    for (period, shown) in [(json!(60), 60), (json!(90), 60), (Value::Null, 60), (json!(5), 5)] {
        let options = json!({"gracePeriodSeconds": period});
        let (_, marked) = world.delete(&format!("{PODS}/g"), &options).await;
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], shown, "{period}");
    }
    world.delete(&format!("{PODS}/g"), &json!({"gracePeriodSeconds": 0})).await;
    assert_eq!(world.get(&format!("{PODS}/g")).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn a_pod_that_is_not_the_one_meant_is_not_stopped() {
    let world = World::new();
    let object = pod(&world, "a").await;
    let version = object["metadata"]["resourceVersion"].clone();
    for wrong in [json!({"uid": "other"}), json!({"resourceVersion": "1"})] {
        let options = json!({"preconditions": wrong, "gracePeriodSeconds": 0});
        let (status, refused) = world.delete(&format!("{PODS}/a"), &options).await;
        assert_eq!((status.as_u16(), code(&refused)), (409, "CONFLICT"), "{refused}");
    }
    let request = world.request(Method::DELETE, &format!("{PODS}/a?gracePeriodSeconds=x"));
    assert_eq!(world.ask(request).await.0, 400);
    let request =
        world.request(Method::DELETE, &format!("{PODS}/a?dryRun=All&gracePeriodSeconds=0"));
    assert_eq!(world.ask(request).await.0, 200);
    assert!(world.platform.stopped.lock().unwrap().is_empty());
    assert_eq!(world.get(&format!("{PODS}/a")).await.1, object, "nothing happened");
    let options = json!({"preconditions": {"uid": "uid-a", "resourceVersion": version}});
    assert_eq!(world.delete(&format!("{PODS}/a"), &options).await.0, 200);
    assert_eq!(*world.platform.stopped.lock().unwrap(), ["default/a"]);
    world.end().await;
}

#[tokio::test]
async fn pods_of_a_collection_are_stopped() {
    let world = World::new();
    for name in ["p", "q"] {
        let pod = json!({"metadata": {"name": name, "namespace": "default"}});
        let stored = key::object("", "pods", "default", name);
        world.put_stored(&world.live, &stored, &pod).await;
        let id = InstanceId::parse("01j0000000000000000abcdefg").unwrap();
        let known = ("default".to_owned(), name.to_owned());
        world.platform.instances.lock().unwrap().insert(known, (id, "c".to_owned()));
    }
    let pods = "/api/v1/namespaces/default/pods";
    let (status, list) = world.delete(pods, &json!({})).await;
    assert_eq!((status.as_u16(), &list["kind"]), (200, &json!("PodList")));
    assert_eq!(*world.platform.stopped.lock().unwrap(), ["default/p", "default/q"]);
    world.end().await;
}

#[tokio::test]
async fn owners_have_names_and_leases_come_with_a_put() {
    let world = World::new();
    let mut owned = config_map("a", "1");
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": ""}]);
    let (status, refused) = world.post(MAPS, &owned).await;
    assert_eq!((status.as_u16(), code(&refused)), (422, "REQUIRED_FIELD"), "{refused}");

    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "leader"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}});
    let one = format!("{leases}/leader");
    let (status, made) = world.put(&one, &lease).await;
    assert_eq!(status, 201, "{made}");
    let mut renewed = made.clone();
    renewed["spec"]["renewTime"] = json!("2024-01-01T00:00:00.000000Z");
    assert_eq!(world.put(&one, &renewed).await.0, 200);
    let (status, stale) = world.put(&one, &renewed).await;
    assert_eq!((status.as_u16(), code(&stale)), (409, "CONFLICT"), "two leaders are none");
    assert_eq!(world.put(&one, &lease).await.0, 422, "which one is meant must be said");
    assert_eq!(world.put(&format!("{leases}/other"), &lease).await.0, 400);
    let mut wrong = lease.clone();
    wrong["spec"]["leaseDurationSeconds"] = json!(0);
    assert_eq!(world.put(&one, &wrong).await.0, 422);
    let map = config_map("b", "1");
    assert_eq!(world.put(&format!("{MAPS}/b"), &map).await.0, 404, "only Leases do");
    world.end().await;
}
