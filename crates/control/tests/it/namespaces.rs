//! Namespaces that somebody deleted are emptied, then removed.

use ebb_control::Config;
use ebb_model::k8s::api::core::v1::Event;
use ebb_model::key;
use ebb_store::{Commit, Write};
use serde_json::{Value, json};

use crate::garbage::{map, owned};
use crate::world::{NS, World, pass, until};

fn namespace_key() -> String {
    key::object("", "namespaces", "", NS)
}

/// Makes the namespace, deleted as the API does it.
async fn delete_namespace(world: &World) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NS, "uid": "ns", "deletionTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}});
    world.put(namespace_key(), &namespace).await;
}

async fn namespace(world: &World) -> Option<Value> {
    let record = world.store.get(&namespace_key()).await.unwrap()?;
    Some(serde_json::from_slice(&record.value.data).unwrap())
}

async fn put_map(world: &World, name: &str, finalizers: &[&str]) {
    let mut object = owned(name, &[]);
    object["metadata"]["finalizers"] = json!(finalizers);
    world.put(key::object("", "configmaps", NS, name), &object).await;
}

fn condition(namespace: &Value, type_: &str) -> (String, String) {
    let all = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|c| c["type"] == type_).unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

#[tokio::test(start_paused = true)]
async fn everything_in_it_goes_and_then_it_goes() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    world.hold("hello-00001", 1);
    until("running", || async { world.running().await == 1 }).await;
    put_map(&world, "a", &[]).await;
    let template = crate::world::template("hello");
    world.declare("configurations", "alone", json!({"template": template})).await;
    world.until_says("configurations", "alone", ("True", "")).await;
    let lease = json!({"metadata": {"name": "l", "namespace": NS}});
    world.put(key::object("coordination.k8s.io", "leases", NS, "l"), &lease).await;
    delete_namespace(&world).await;
    until("gone", || async { namespace(&world).await.is_none() }).await;
    for resource in ["services", "configurations", "routes", "revisions"] {
        assert!(world.keys(resource).await.is_empty(), "{resource}");
    }
    assert!(map(&world, "a").await.is_none());
    assert!(world.pods().await.is_empty());
    assert_eq!(world.running().await, 0);
    until("told of nothing", || async { world.list_live::<Event>("events").await.is_empty() })
        .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_holds_it_is_said_and_a_restart_goes_on() {
    let world = World::new().await;
    put_map(&world, "free", &[]).await;
    put_map(&world, "held", &["example.com/hold"]).await;
    delete_namespace(&world).await;
    until("told", || async {
        let says = namespace(&world).await.unwrap();
        condition(&says, "NamespaceFinalizersRemaining")
            == ("True".to_owned(), "SomeFinalizersRemain".to_owned())
    })
    .await;
    assert!(map(&world, "free").await.is_none());
    assert!(map(&world, "held").await.unwrap()["metadata"]["deletionTimestamp"].is_string());
    let says = namespace(&world).await.unwrap();
    assert_eq!(condition(&says, "NamespaceContentRemaining").1, "SomeResourcesRemain");
    let version = world.store.scan("/", None, None, 1).await.unwrap().version;
    pass(300).await;
    let quiet = world.store.scan("/", None, None, 1).await.unwrap().version;
    assert_eq!(version, quiet, "waiting writes nothing");
    world.stop().await;

    let next = World::on(world.store.clone(), world.images.clone(), Config::default()).await;
    pass(60).await;
    assert!(namespace(&next).await.is_some());
    let writes = vec![Write::Delete { key: key::object("", "configmaps", NS, "held") }];
    next.store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
    until("gone", || async { namespace(&next).await.is_none() }).await;
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_with_finalizers_of_others_only_loses_ours() {
    let world = World::new().await;
    delete_namespace(&world).await;
    let mut held = namespace(&world).await.unwrap();
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world.put(namespace_key(), &held).await;
    until("emptied", || async {
        match namespace(&world).await {
            Some(namespace) => namespace["spec"]["finalizers"] == json!([]),
            None => panic!("it may not go"),
        }
    })
    .await;
    pass(100).await;
    assert!(namespace(&world).await.is_some());
    world.stop().await;
}
