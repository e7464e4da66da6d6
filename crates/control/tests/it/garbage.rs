//! What is left without owners goes; owners that wait go when what they own is gone or let go.

use std::sync::Arc;

use ebb_control::Config;
use ebb_model::key;
use ebb_store::fault::{Call, Faulty};
use ebb_store::memory::Memory;
use ebb_store::{Commit, Error, Store, Write};
use serde_json::{Value, json};

use crate::world::{GROUP, NS, World, pass, template, until};

/// A ConfigMap that these own.
pub(crate) fn owned(name: &str, owners: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
           "metadata": {"name": name, "namespace": NS, "uid": format!("uid-{name}"),
                        "ownerReferences": owners}})
}

fn owner(name: &str, blocks: bool) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": format!("uid-{name}"),
           "blockOwnerDeletion": blocks})
}

fn map_key(name: &str) -> String {
    key::object("", "configmaps", NS, name)
}

pub(crate) async fn map(world: &World, name: &str) -> Option<Value> {
    let record = world.store.get(&map_key(name)).await.unwrap()?;
    Some(serde_json::from_slice(&record.value.data).unwrap())
}

async fn make(world: &World, name: &str, owners: &[Value]) {
    world.put(map_key(name), &owned(name, owners)).await;
}

async fn remove(world: &World, name: &str) {
    let writes = vec![Write::Delete { key: map_key(name) }];
    world.store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
}

/// Marks an object as the API does for this policy.
async fn mark(world: &World, key: String, finalizer: &str) {
    let record = world.store.get(&key).await.unwrap().unwrap();
    let mut object: Value = serde_json::from_slice(&record.value.data).unwrap();
    object["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
    object["metadata"]["finalizers"] = json!([finalizer]);
    world.put(key, &object).await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_owns_any_more_goes_and_what_somebody_owns_stays() {
    let world = World::new().await;
    for name in ["a", "b"] {
        make(&world, name, &[]).await;
    }
    make(&world, "of-a", &[owner("a", false)]).await;
    make(&world, "of-both", &[owner("a", false), owner("b", false)]).await;
    make(&world, "of-of-a", &[owner("of-a", false)]).await;
    pass(60).await;
    assert!(map(&world, "of-of-a").await.is_some());
    remove(&world, "a").await;
    until("gone", || async {
        map(&world, "of-a").await.is_none() && map(&world, "of-of-a").await.is_none()
    })
    .await;
    until("let go of the one that is gone", || async {
        map(&world, "of-both").await.unwrap()["metadata"]["ownerReferences"]
            == json!([owner("b", false)])
    })
    .await;
    // One that is made for an owner that never was, or of a kind that nobody here knows.
    make(&world, "late", &[owner("a", false)]).await;
    let foreign = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "x"});
    make(&world, "foreign", &[foreign]).await;
    until("gone", || async { map(&world, "late").await.is_none() }).await;
    pass(1_000).await;
    assert!(map(&world, "foreign").await.is_some());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_what_blocks_goes_first() {
    let world = World::new().await;
    make(&world, "a", &[]).await;
    make(&world, "b", &[owner("a", true)]).await;
    make(&world, "c", &[owner("b", true)]).await;
    let mut held = owned("held", &[owner("a", true)]);
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world.put(map_key("held"), &held).await;
    pass(1).await;
    mark(&world, map_key("a"), "foregroundDeletion").await;
    until("gone", || async {
        map(&world, "b").await.is_none() && map(&world, "c").await.is_none()
    })
    .await;
    until("marked", || async {
        map(&world, "held").await.unwrap()["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    pass(100).await;
    assert!(map(&world, "a").await.is_some(), "it waits for the one that is held");
    remove(&world, "held").await;
    until("gone", || async { map(&world, "a").await.is_none() }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn circles_end() {
    let world = World::new().await;
    make(&world, "a", &[owner("b", true)]).await;
    make(&world, "b", &[owner("a", true)]).await;
    make(&world, "self", &[owner("self", true)]).await;
    pass(1).await;
    for name in ["a", "self"] {
        mark(&world, map_key(name), "foregroundDeletion").await;
        until("gone", || async { map(&world, name).await.is_none() }).await;
    }
    until("gone", || async { map(&world, "b").await.is_none() }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_orphan_maker_lets_go_of_what_it_owns() {
    let world = World::new().await;
    make(&world, "a", &[]).await;
    make(&world, "b", &[owner("a", true)]).await;
    pass(1).await;
    mark(&world, map_key("a"), "orphan").await;
    until("gone", || async { map(&world, "a").await.is_none() }).await;
    pass(1_000).await;
    assert_eq!(map(&world, "b").await.unwrap()["metadata"]["ownerReferences"], Value::Null);
    world.stop().await;
}

/// Whether somebody was told that the owner of the object is somewhere else.
async fn told(world: &World, name: &str) -> bool {
    world.events().await.iter().any(|event| {
        event.reason.as_deref() == Some("OwnerRefInvalidNamespace")
            && event.involved_object.name.as_deref() == Some(name)
    })
}

#[tokio::test(start_paused = true)]
async fn an_owner_in_another_namespace_is_absent_and_that_is_told() {
    let world = World::new().await;
    let mut elsewhere = owned("a", &[]);
    elsewhere["metadata"]["namespace"] = json!("other");
    let elsewhere_key = key::object("", "configmaps", "other", "a");
    world.put(elsewhere_key.clone(), &elsewhere).await;
    make(&world, "live", &[]).await;
    make(&world, "kept", &[owner("live", false), owner("a", false)]).await;
    make(&world, "b", &[owner("a", false)]).await;
    until("collected", || async { map(&world, "b").await.is_none() }).await;
    until("let go of", || async {
        map(&world, "kept").await.unwrap()["metadata"]["ownerReferences"]
            == json!([owner("live", false)])
    })
    .await;
    until("told", || async { told(&world, "b").await && told(&world, "kept").await }).await;
    // It is no owner for being known: the next one goes as well.
    make(&world, "c", &[owner("a", false)]).await;
    until("collected", || async { map(&world, "c").await.is_none() }).await;
    assert!(world.store.get(&elsewhere_key).await.unwrap().is_some(), "it had no part in this");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_what_its_reference_says_in_full() {
    let world = World::new().await;
    make(&world, "a", &[]).await;
    let with = |field: &str, value: &str| {
        let mut reference = owner("a", false);
        reference[field] = json!(value);
        reference
    };
    make(&world, "right", &[owner("a", false)]).await;
    make(&world, "other-uid", &[with("uid", "uid-of-one-before")]).await;
    make(&world, "other-name", &[with("name", "z")]).await;
    make(&world, "other-kind", &[with("kind", "Secret")]).await;
    for name in ["other-uid", "other-name", "other-kind"] {
        until(name, || async { map(&world, name).await.is_none() }).await;
        assert!(!told(&world, name).await, "{name} is about no namespace");
    }
    // What nobody can look for keeps the object, and what else it names.
    make(&world, "no-kind", &[with("kind", "Widget"), with("uid", "gone")]).await;
    make(&world, "no-version", &[with("apiVersion", "v7")]).await;
    pass(1_000).await;
    assert_eq!(
        map(&world, "no-kind").await.unwrap()["metadata"]["ownerReferences"],
        json!([with("kind", "Widget"), with("uid", "gone")])
    );
    assert!(map(&world, "no-version").await.is_some() && map(&world, "right").await.is_some());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_no_namespace_has_no_owner_in_one() {
    let world = World::new().await;
    make(&world, "a", &[]).await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "wide", "uid": "uid-wide",
                     "ownerReferences": [owner("a", false), owner("gone", false)]}});
    let at = key::object("", "namespaces", "", "wide");
    world.put(at.clone(), &namespace).await;
    until("told", || async { told(&world, "wide").await }).await;
    remove(&world, "a").await;
    pass(1_000).await;
    let record = world.store.get(&at).await.unwrap().unwrap();
    let kept: Value = serde_json::from_slice(&record.value.data).unwrap();
    assert_eq!(kept["metadata"]["ownerReferences"], namespace["metadata"]["ownerReferences"]);
    // The other way round it can be owned.
    let owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": "wide", "uid": "uid-wide"});
    make(&world, "of-wide", &[owner]).await;
    pass(1_000).await;
    assert!(map(&world, "of-wide").await.is_some());
    let writes = vec![Write::Delete { key: at }];
    world.store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
    until("collected", || async { map(&world, "of-wide").await.is_none() }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_left_while_the_daemon_was_away_goes() {
    let world = World::new().await;
    make(&world, "a", &[]).await;
    make(&world, "b", &[owner("a", false)]).await;
    pass(1).await;
    world.stop().await;
    remove(&world, "a").await;
    make(&world, "c", &[]).await;
    mark(&world, map_key("c"), "orphan").await;
    let next = World::on(world.store.clone(), world.images.clone(), Config::default()).await;
    until("gone", || async { map(&next, "b").await.is_none() && map(&next, "c").await.is_none() })
        .await;
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_deleted_as_an_orphan_maker_leaves_everything_serving() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    let published = world.plane.state().published;
    mark(&world, key::object(GROUP, "services", NS, "hello"), "orphan").await;
    until("gone", || async { world.keys("services").await.is_empty() }).await;
    pass(2_000).await;
    for resource in ["configurations", "routes", "revisions"] {
        assert_eq!(world.keys(resource).await.len(), 1, "{resource}");
    }
    assert_eq!(world.plane.targets("hello"), Some(vec![("hello-00001".to_owned(), 100)]));
    assert_eq!(world.plane.state().published, published, "requests noticed nothing");
    world.hold("hello-00001", 1);
    until("started", || async { world.running().await == 1 }).await;
    world.stop().await;
    // They are as ever after a restart, and can be changed by themselves.
    let next = World::on(world.store.clone(), world.images.clone(), Config::default()).await;
    assert_eq!(next.plane.targets("hello"), Some(vec![("hello-00001".to_owned(), 100)]));
    next.image("other", &[("A", "b")]);
    next.declare("configurations", "hello", json!({"template": template("other")})).await;
    until("moved", || async {
        next.plane.targets("hello") == Some(vec![("hello-00002".to_owned(), 100)])
    })
    .await;
    // And the same once more, below: the revision stays when its configuration lets go of it.
    mark(&next, key::object(GROUP, "configurations", NS, "hello"), "orphan").await;
    until("gone", || async { next.keys("configurations").await.is_empty() }).await;
    pass(2_000).await;
    assert_eq!(next.keys("revisions").await, ["hello-00001", "hello-00002"]);
    next.hold("hello-00002", 1);
    until("started", || async { next.running().await == 1 }).await;
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_deleted_in_the_foreground_goes_last() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    world.hold("hello-00001", 1);
    until("running", || async { world.running().await == 1 }).await;
    mark(&world, key::object(GROUP, "services", NS, "hello"), "foregroundDeletion").await;
    until("gone", || async { world.keys("services").await.is_empty() }).await;
    for resource in ["configurations", "routes", "revisions"] {
        assert!(world.keys(resource).await.is_empty(), "{resource}");
    }
    assert_eq!(world.plane.targets("hello"), None);
    assert_eq!(world.running().await, 0);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_of_a_service_deleted_in_the_foreground_comes_again() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    let key = key::object(GROUP, "configurations", NS, "hello");
    mark(&world, key, "foregroundDeletion").await;
    until("made again", || async {
        let made: Option<Value> = world.get("configurations", "hello").await;
        made.is_some_and(|made| made["metadata"]["deletionTimestamp"].is_null())
    })
    .await;
    world.until_ready("hello", "True").await;
    assert_eq!(world.keys("revisions").await, ["hello-00001"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_held_keeps_its_service_waiting() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    let key = key::object(GROUP, "revisions", NS, "hello-00001");
    let mut revision: Value = world.get("revisions", "hello-00001").await.unwrap();
    revision["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world.put(key.clone(), &revision).await;
    world.delete("services", "hello").await;
    until("marked", || async {
        let held: Value = world.get("revisions", "hello-00001").await.unwrap();
        held["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    assert_eq!(world.keys("configurations").await, ["hello"], "it goes after its revisions");
    world.delete("revisions", "hello-00001").await;
    until("gone", || async { world.keys("configurations").await.is_empty() }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_only_delays_collection() {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let world = World::with(faulty.clone() as Arc<dyn Store>, Config::default()).await;
    for nth in 1..6 {
        for call in [Call::Get, Call::Scan, Call::Commit, Call::Watch] {
            make(&world, "a", &[]).await;
            make(&world, "b", &[owner("a", true)]).await;
            pass(1).await;
            mark(&world, map_key("a"), "foregroundDeletion").await;
            faulty.fail(call, nth, Error::Unavailable("away".to_owned()));
            let gone = async |name: &str| {
                let left = world.store.get(&map_key(name)).await;
                left.is_ok_and(|record| record.is_none())
            };
            until("gone", || async { gone("a").await && gone("b").await }).await;
            faulty.heal();
        }
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_loses_nothing() {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new())));
    // The watches of everything, as they begin.
    for nth in 1..8 {
        faulty.fail(Call::Watch, nth, Error::Lagged);
    }
    let world = World::with(faulty.clone() as Arc<dyn Store>, Config::default()).await;
    make(&world, "a", &[]).await;
    make(&world, "b", &[owner("a", false)]).await;
    pass(1).await;
    remove(&world, "a").await;
    until("gone", || async { map(&world, "b").await.is_none() }).await;
    world.stop().await;
}

/// Who waits is told of its dependents by a watch, which may be behind the store that says that it
/// waits: what was made just before must be let go, too, and not be taken for left behind.
#[tokio::test(start_paused = true)]
async fn what_was_made_just_before_its_owner_was_orphaned_stays() {
    let world = World::new().await;
    make(&world, "root", &[]).await;
    pass(60).await;
    // All of this in one go, before control can run.
    make(&world, "owner", &[owner("root", false)]).await;
    for n in 0..300 {
        make(&world, &format!("other-{n}"), &[owner("root", false)]).await;
    }
    make(&world, "kept", &[owner("owner", true)]).await;
    mark(&world, map_key("owner"), "orphan").await;
    until("gone", || async { map(&world, "owner").await.is_none() }).await;
    pass(1_000).await;
    let kept = map(&world, "kept").await.unwrap();
    assert_eq!(kept["metadata"]["ownerReferences"], Value::Null);
    world.stop().await;
}
