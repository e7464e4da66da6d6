//! Configurations and Routes that no Service made.

use std::sync::Arc;

use ebb_control::Config;
use ebb_images::ImageStore;
use ebb_model::RevisionKey;
use ebb_model::knative::Configuration;
use ebb_store::memory::Memory;
use ebb_store::{Commit, Write};
use serde_json::{Value, json};

use crate::world::{NS, World, pass, template, until};

const READY: (&str, &str) = ("True", "");

async fn pins(world: &World) -> u32 {
    world.images.list().await.unwrap().iter().map(|image| image.pins).sum()
}

fn configuration(image: &str) -> Value {
    json!({"template": template(image)})
}

fn following(configuration: &str) -> Value {
    json!({"traffic": [{"configurationName": configuration, "percent": 100}]})
}

fn naming(revision: &str) -> Value {
    json!({"traffic": [{"revisionName": revision, "percent": 100}]})
}

async fn is_routed(world: &World, host: &str, to: &str) {
    until("routed", || async { world.plane.targets(host) == Some(vec![(to.to_owned(), 100)]) })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_has_a_life_of_its_own() {
    let world = World::new().await;
    world.image("a:1", &[]);
    world.image("a:2", &[("A", "b")]);
    world.declare("configurations", "alone", configuration("a:1")).await;
    let made = world.until_says("configurations", "alone", READY).await;
    assert_eq!(made["status"]["latestCreatedRevisionName"], "alone-00001");
    assert_eq!(made["status"]["latestReadyRevisionName"], "alone-00001");
    let revision = world.revision("alone-00001").await;
    let labels = revision.metadata.labels.unwrap();
    assert_eq!(labels["serving.knative.dev/configuration"], "alone");
    assert!(!labels.contains_key("serving.knative.dev/service"));
    assert_eq!(world.plane.targets("alone"), None, "nothing routes to it");

    let named = json!({"template": {"metadata": {"name": "alone-blue"},
        "spec": {"containers": [{"image": "a:2"}]}}});
    world.declare("configurations", "alone", named).await;
    let made = world.until_says("configurations", "alone", READY).await;
    assert_eq!(made["status"]["latestReadyRevisionName"], "alone-blue");
    world.declare("configurations", "alone", configuration("missing")).await;
    let made = world.until_says("configurations", "alone", ("False", "IMAGE_NOT_FOUND")).await;
    assert_eq!(made["status"]["latestCreatedRevisionName"], "alone-00003");
    assert_eq!(made["status"]["latestReadyRevisionName"], "alone-blue");
    assert!(world.keys("services").await.is_empty() && world.keys("routes").await.is_empty());
    until("an event", || async {
        world.events().await.iter().any(|event| {
            event.reason.as_deref() == Some("RevisionCreated")
                && event.involved_object.kind.as_deref() == Some("Configuration")
        })
    })
    .await;

    world.delete("configurations", "alone").await;
    until("gone", || async { world.keys("revisions").await.is_empty() }).await;
    assert_eq!((pins(&world).await, world.running().await), (0, 0));
    until("pods gone", || async { world.pods().await.is_empty() }).await;
    assert!(world.handle.explain(NS, "alone").is_none());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_route_follows_a_configuration() {
    let world = World::new().await;
    world.image("a:1", &[]);
    world.image("a:2", &[("SIM_READY_MS", "3000")]);
    world.declare("routes", "front", following("back")).await;
    world.until_says("routes", "front", ("False", "ConfigurationMissing")).await;
    assert_eq!(world.plane.targets("front"), Some(vec![]));
    world.declare("configurations", "back", configuration("a:1")).await;
    let route = world.until_says("routes", "front", READY).await;
    assert_eq!(route["status"]["url"], "http://front.default.localhost");
    assert_eq!(
        route["status"]["traffic"],
        json!([{"revisionName": "back-00001", "latestRevision": true, "percent": 100}])
    );
    is_routed(&world, "front", "back-00001").await;
    assert_eq!(world.plane.targets("back"), None);
    world.declare("configurations", "back", configuration("a:2")).await;
    pass(1).await;
    is_routed(&world, "front", "back-00001").await;
    is_routed(&world, "front", "back-00002").await;

    world.declare("routes", "front", naming("back-00001")).await;
    world.until_says("routes", "front", READY).await;
    is_routed(&world, "front", "back-00001").await;
    world.declare("routes", "front", naming("back-00009")).await;
    let route = world.until_says("routes", "front", ("False", "RevisionMissing")).await;
    assert_eq!(route["status"]["traffic"][0]["revisionName"], "back-00001", "as before");
    is_routed(&world, "front", "back-00001").await;
    until("zero", || async { world.running().await == 0 }).await;
    world.hold("back-00001", 1);
    until("woken", || async { world.plane.endpoints("back-00001") == 1 }).await;
    world.delete("routes", "front").await;
    until("unrouted", || async { world.plane.targets("front").is_none() }).await;
    assert_eq!(world.keys("revisions").await.len(), 2);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_only_waits_for_a_finalizer_is_no_target() {
    let world = World::new().await;
    world.image("a:1", &[]);
    world.declare("configurations", "back", configuration("a:1")).await;
    world.declare("routes", "front", following("back")).await;
    world.until_says("routes", "front", READY).await;
    let mut held: Value = world.get("configurations", "back").await.unwrap();
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    held["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    // Of a Service that is gone, so nobody makes its revisions again.
    held["metadata"]["ownerReferences"] = json!([{"apiVersion": "serving.knative.dev/v1",
        "kind": "Service", "name": "back", "uid": "gone", "controller": true}]);
    world.put(format!("/serving.knative.dev/configurations/{NS}/back"), &held).await;
    world.delete("revisions", "back-00001").await;
    // What it had is gone, and another revision will not come.
    world.until_says("routes", "front", ("False", "ConfigurationMissing")).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_route_keeps_the_minimum_of_what_it_routes_to() {
    let world = World::new().await;
    world.image("a", &[]);
    let mut spec = configuration("a");
    spec["template"]["metadata"] =
        json!({"annotations": {"autoscaling.knative.dev/min-scale": "2"}});
    world.declare("configurations", "back", spec).await;
    world.until_says("configurations", "back", READY).await;
    until("nobody needs it", || async { world.running().await == 0 }).await;
    world.declare("routes", "front", following("back")).await;
    until("the minimum", || async { world.plane.endpoints("back-00001") == 2 }).await;
    world.delete("routes", "front").await;
    until("nobody needs it", || async { world.running().await == 0 }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_route_names_is_not_collected() {
    let config = || Config { keep_revisions: 1, ..Config::default() };
    let world = World::with(Arc::new(Memory::new()), config()).await;
    let deploy = async |world: &World, n: u32| {
        let image = format!("hello:{n}");
        world.image(&image, &[("N", &n.to_string())]);
        world.deploy_ready("hello", &image).await;
    };
    deploy(&world, 1).await;
    world.declare("routes", "old", naming("hello-00001")).await;
    world.until_says("routes", "old", READY).await;
    for n in 2..5 {
        deploy(&world, n).await;
    }
    let kept = ["hello-00001", "hello-00003", "hello-00004"];
    until("collected", || async { world.keys("revisions").await == kept }).await;
    world.stop().await;
    let next = World::on(world.store.clone(), world.images.clone(), config()).await;
    is_routed(&next, "old", "hello-00001").await;
    deploy(&next, 5).await;
    let kept = ["hello-00001", "hello-00004", "hello-00005"];
    until("collected", || async { next.keys("revisions").await == kept }).await;
    next.delete("routes", "old").await;
    deploy(&next, 6).await;
    until("collected", || async { next.keys("revisions").await == ["hello-00005", "hello-00006"] })
        .await;
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_revision_ends_its_instances_and_its_pin() {
    let world = World::new().await;
    world.image("a:1", &[]);
    world.image("a:2", &[("A", "b")]);
    world.declare("configurations", "alone", configuration("a:1")).await;
    world.until_says("configurations", "alone", READY).await;
    world.declare("configurations", "alone", configuration("a:2")).await;
    world.until_says("configurations", "alone", READY).await;
    until("zero", || async { world.running().await == 0 }).await;
    world.hold("alone-00001", 1);
    until("woken", || async { world.plane.endpoints("alone-00001") == 1 }).await;
    assert_eq!(pins(&world).await, 2);
    world.load("alone-00001", 0, 0);
    world.delete("revisions", "alone-00001").await;
    until("stopped", || async { world.running().await == 0 }).await;
    assert_eq!(pins(&world).await, 1);
    assert_eq!(world.keys("revisions").await, ["alone-00002"]);
    world.delete("revisions", "alone-00002").await;
    until("the newest is made again", || async {
        world.keys("revisions").await == ["alone-00002"]
    })
    .await;
    world.until_says("configurations", "alone", READY).await;
    assert_eq!(pins(&world).await, 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_made_again_begins_anew() {
    let world = World::new().await;
    world.image("a:1", &[]);
    world.image("a:2", &[("A", "b")]);
    world.declare("configurations", "alone", configuration("a:1")).await;
    world.until_says("configurations", "alone", READY).await;
    world.delete("configurations", "alone").await;
    world.declare("configurations", "alone", configuration("a:2")).await;
    world.until_says("configurations", "alone", READY).await;
    let made: Configuration = world.get("configurations", "alone").await.unwrap();
    let revision = world.revision("alone-00001").await;
    let owner = revision.metadata.owner_references.unwrap()[0].uid.clone();
    assert_eq!(Some(owner), made.metadata.uid);
    assert_eq!(revision.spec.containers[0].image.as_deref(), Some("a:2"));
    assert_eq!(pins(&world).await, 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_stops_what_runs_in_it() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    world.declare("configurations", "alone", configuration("hello")).await;
    world.declare("routes", "front", following("alone")).await;
    world.until_says("routes", "front", READY).await;
    until("running", || async { world.running().await == 2 }).await;
    // The API removes every object of the namespace, without waiting for anybody.
    let mut writes = Vec::new();
    for resource in ["services", "configurations", "revisions", "routes"] {
        for name in world.keys(resource).await {
            let key = ebb_model::key::object(crate::world::GROUP, resource, NS, &name);
            writes.push(Write::Delete { key });
        }
    }
    world.store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
    until("stopped", || async { world.running().await == 0 }).await;
    until("no pods", || async { world.pods().await.is_empty() }).await;
    assert_eq!(pins(&world).await, 0);
    assert!(world.plane.state().routes.hosts.is_empty());
    for resource in ["services", "configurations", "revisions", "routes"] {
        assert!(world.keys(resource).await.is_empty(), "{resource}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_came_too_late_for_a_removed_revision_is_answered() {
    let world = World::new().await;
    world.hold("gone-00001", 1);
    until("told", || async { !world.plane.state().failed.is_empty() }).await;
    let (revision, code, _) = world.plane.state().failed[0].clone();
    assert_eq!(revision, RevisionKey::new(NS, "gone-00001"));
    assert_eq!(code, "REVISION_REMOVED");
    world.stop().await;
}
