//! Scaling by hand: the annotations of the Service outweigh requests.

use std::collections::BTreeMap;

use ebb_model::key;
use ebb_model::knative::Service;
use ebb_model::scaling::{MANUAL_COUNT, SCALING_MODE};
use serde_json::json;

use crate::world::{NS, World, pass, until};

/// Sets or removes the annotations, as the API does for `kubectl scale` and `kubectl annotate`.
async fn scale(world: &World, count: Option<u32>) {
    let mut service: Service = world.service("hello").await;
    let annotations: &mut BTreeMap<String, String> =
        service.metadata.annotations.get_or_insert_default();
    match count {
        Some(count) => {
            annotations.insert(SCALING_MODE.to_owned(), "manual".to_owned());
            annotations.insert(MANUAL_COUNT.to_owned(), count.to_string());
        }
        None => annotations.retain(|key, _| key != SCALING_MODE && key != MANUAL_COUNT),
    }
    world.put(key::object("serving.knative.dev", "services", NS, "hello"), &service).await;
}

async fn has(world: &World, count: usize) {
    until(&format!("{count} instances"), || async { world.running().await == count }).await;
}

fn last_why(world: &World) -> (String, String) {
    let explanation = world.handle.explain(NS, "hello").unwrap();
    let last = explanation.decisions.last().unwrap();
    (last.rule.clone(), last.why.clone())
}

fn stopped(world: &World) -> bool {
    let state = world.plane.state();
    state.routes.hosts[&format!("hello.{NS}.localhost")].stopped
}

#[tokio::test(start_paused = true)]
async fn a_number_set_by_hand_stays_until_it_is_taken_back() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    scale(&world, Some(3)).await;
    has(&world, 3).await;
    assert_eq!(last_why(&world), ("manual".to_owned(), "scaling is manual, to 3".to_owned()));
    pass(300).await;
    assert_eq!(world.running().await, 3, "no idle window takes one away");
    world.load("hello-00001", 500, 500);
    pass(30).await;
    assert_eq!(world.running().await, 3, "no request adds one");
    world.load("hello-00001", 0, 0);
    scale(&world, Some(1)).await;
    has(&world, 1).await;
    assert_eq!(world.keys("revisions").await.len(), 1, "no revision was made for it");
    scale(&world, None).await;
    pass(120).await;
    has(&world, 0).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_scaled_to_nothing_is_stopped_and_says_so() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    assert!(!stopped(&world));
    scale(&world, Some(0)).await;
    until("stopped", || async { stopped(&world) }).await;
    has(&world, 0).await;
    let starts = world.engine.starts();
    // A request that came before the route said so.
    world.hold("hello-00001", 1);
    until("answered", || async { !world.plane.state().failed.is_empty() }).await;
    let (_, code, message) = world.plane.state().failed[0].clone();
    assert_eq!(code, "SERVICE_STOPPED");
    assert!(message.contains("scaled to 0"), "{message}");
    assert_eq!(world.engine.starts(), starts);
    world.load("hello-00001", 0, 0);
    scale(&world, Some(2)).await;
    has(&world, 2).await;
    until("started", || async { !stopped(&world) }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn revisions_share_the_number_by_their_traffic() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.image("other", &[]);
    world.deploy_ready("hello", "hello").await;
    world.deploy("hello", json!({"spec": {"containers": [{"image": "other"}]}})).await;
    world.until_ready("hello", "True").await;
    until("two", || async { world.keys("revisions").await.len() == 2 }).await;
    let mut service = world.service("hello").await;
    service.spec.traffic = serde_json::from_value(json!([
        {"revisionName": "hello-00001", "percent": 75},
        {"revisionName": "hello-00002", "percent": 25},
    ]))
    .unwrap();
    service.metadata.generation = service.metadata.generation.map(|g| g + 1);
    world.put(key::object("serving.knative.dev", "services", NS, "hello"), &service).await;
    until("split", || async { world.plane.targets("hello").is_some_and(|t| t.len() == 2) }).await;
    scale(&world, Some(4)).await;
    until("shares", || async {
        (world.plane.endpoints("hello-00001"), world.plane.endpoints("hello-00002")) == (3, 1)
    })
    .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_service_leaves_behind_keeps_the_number_that_it_was_given() {
    for (count, running) in [(0, 0), (2, 2)] {
        let world = World::new().await;
        world.image("hello", &[]);
        world.deploy_ready("hello", "hello").await;
        scale(&world, Some(count)).await;
        has(&world, running).await;
        let key = key::object("serving.knative.dev", "services", NS, "hello");
        let mut service = serde_json::to_value(world.service("hello").await).unwrap();
        service["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
        service["metadata"]["finalizers"] = json!(["orphan"]);
        world.put(key, &service).await;
        until("orphaned", || async { world.keys("services").await.is_empty() }).await;
        pass(300).await;
        assert_eq!((stopped(&world), world.running().await), (count == 0, running));
        world.stop().await;
        // The same after a restart.
        let config = ebb_control::Config::default;
        let next = World::on(world.store.clone(), world.images.clone(), config()).await;
        until("routed", || async { next.plane.targets("hello").is_some() }).await;
        has(&next, running).await;
        assert_eq!(stopped(&next), count == 0);
        // Until somebody takes it back, there and there.
        for kind in ["configurations", "routes"] {
            let key = key::object("serving.knative.dev", kind, NS, "hello");
            let record = next.store.get(&key).await.unwrap().unwrap();
            let mut object: serde_json::Value = serde_json::from_slice(&record.value.data).unwrap();
            object["metadata"].as_object_mut().unwrap().remove("annotations");
            next.put(key, &object).await;
        }
        until("serving", || async { !stopped(&next) }).await;
        pass(300).await;
        has(&next, 0).await;
        next.hold("hello-00001", 1);
        until("woken", || async { next.plane.endpoints("hello-00001") == 1 }).await;
        next.stop().await;
    }
}
