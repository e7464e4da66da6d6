//! From zero, to many, and back.

use std::time::Duration;

use ebb_engine::sim::{Behaviour, Call, Ending};
use ebb_model::RevisionKey;
use ebb_model::engine::State;
use serde_json::{Value, json};

use crate::world::{NS, World, pass, until};

fn scaled(image: &str, annotations: &[(&str, &str)], concurrency: i64) -> Value {
    let annotations: Value = annotations
        .iter()
        .map(|(k, v)| (format!("autoscaling.knative.dev/{k}"), json!(v)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({"metadata": {"annotations": annotations},
           "spec": {"containers": [{"image": image}], "containerConcurrency": concurrency}})
}

/// A ready service without a running instance.
async fn at_zero(env: &[(&str, &str)], annotations: &[(&str, &str)], concurrency: i64) -> World {
    let world = World::new().await;
    world.image("hello", env);
    world.deploy("hello", scaled("hello", annotations, concurrency)).await;
    world.until_ready("hello", "True").await;
    until("zero", || async { world.running().await == 0 }).await;
    world
}

#[tokio::test(start_paused = true)]
async fn the_first_instance_goes_after_the_idle_window() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    pass(55).await;
    assert_eq!(world.running().await, 1);
    pass(15).await;
    assert_eq!(world.running().await, 0);
    let drained = world.plane.state().drained.len();
    assert_eq!(drained, 1, "it is unrouted before it is stopped");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_held_request_starts_exactly_one() {
    let world = at_zero(&[("SIM_READY_MS", "500")], &[], 80).await;
    let commits = world.store.scan("/", None, None, 1).await.unwrap().version;
    let before = world.engine.starts();
    for _ in 0..50 {
        world.hold("hello-00001", 1);
    }
    until("ready", || async { world.plane.endpoints("hello-00001") == 1 }).await;
    let after = world.store.scan("/", None, None, 1).await.unwrap().version;
    assert_eq!(commits, after, "nothing is stored on the way of a cold request");
    world.load("hello-00001", 0, 1);
    pass(30).await;
    assert_eq!(world.engine.starts() - before, 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_starts_what_it_needs_and_no_more() {
    let world = at_zero(&[("SIM_READY_MS", "300")], &[], 10).await;
    let before = world.engine.starts();
    for held in 1..=500 {
        world.hold("hello-00001", held);
    }
    until("fifty", || async { world.plane.endpoints("hello-00001") == 50 }).await;
    world.load("hello-00001", 0, 500);
    pass(20).await;
    assert_eq!(world.engine.starts() - before, 50);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_maximum_holds() {
    let world = at_zero(&[], &[("max-scale", "3")], 1).await;
    world.hold("hello-00001", 100);
    until("three", || async { world.plane.endpoints("hello-00001") == 3 }).await;
    world.hold("hello-00001", 100);
    pass(10).await;
    assert_eq!(world.running().await, 3);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_minimum_stays_and_moves_to_the_new_revision() {
    let world = World::new().await;
    world.image("hello:1", &[]);
    world.image("hello:2", &[("A", "b")]);
    world.deploy("hello", scaled("hello:1", &[("min-scale", "2")], 80)).await;
    world.until_ready("hello", "True").await;
    pass(600).await;
    assert_eq!(world.plane.endpoints("hello-00001"), 2);
    world.deploy("hello", scaled("hello:2", &[("minScale", "2")], 80)).await;
    world.until_ready("hello", "True").await;
    pass(120).await;
    assert_eq!(world.plane.endpoints("hello-00002"), 2);
    assert_eq!(world.plane.endpoints("hello-00001"), 0, "nothing routes to it");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_instance_is_not_the_one_that_goes() {
    let world = at_zero(&[], &[("window", "10s")], 1).await;
    world.hold("hello-00001", 2);
    until("two", || async { world.plane.endpoints("hello-00001") == 2 }).await;
    let busy = world.instances(State::Ready).await[0].id.clone();
    world.plane.state().busy.insert(busy.clone(), 1);
    world.load("hello-00001", 0, 1);
    pass(30).await;
    let left = world.instances(State::Ready).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, busy);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_crashes_is_unrouted_and_replaced() {
    let world = World::new().await;
    world.image("hello", &[("SIM_EXIT_CODE", "1"), ("SIM_EXIT_AFTER_MS", "30000")]);
    world.deploy("hello", scaled("hello", &[("min-scale", "1")], 80)).await;
    world.until_ready("hello", "True").await;
    let first = world.instances(State::Ready).await[0].id.clone();
    until("unrouted", || async { world.plane.state().removed.contains(&first) }).await;
    until("replaced", || async { world.plane.endpoints("hello-00001") == 1 }).await;
    assert_ne!(world.instances(State::Ready).await[0].id, first);
    until("told", || async {
        world.events().await.iter().any(|event| {
            event.reason.as_deref() == Some("INSTANCE_EXITED")
                && event.involved_object.kind.as_deref() == Some("Pod")
        })
    })
    .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn crash_loops_back_off_and_held_requests_are_told_why() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    until("zero", || async { world.running().await == 0 }).await;
    *world.behaviour.lock().unwrap() = Some(Behaviour {
        ends: Some((Duration::from_millis(10), Ending::Code(7))),
        never_ready: true,
        ..Behaviour::default()
    });
    let before = world.engine.starts();
    world.hold("hello-00001", 1);
    until("told", || async { !world.plane.state().failed.is_empty() }).await;
    let (revision, code, message) = world.plane.state().failed[0].clone();
    assert_eq!(revision, RevisionKey::new(NS, "hello-00001"));
    assert_eq!(code, "EXITED_EARLY");
    assert!(!message.contains("code 7"), "clients are not told about the inside: {message}");
    assert_eq!(world.engine.starts() - before, 3, "one failure alone is tried again, and two");
    pass(300).await;
    let starts = world.engine.starts() - before;
    assert!((5..15).contains(&starts), "{starts} starts in five minutes");
    let explained = world.handle.explain(NS, "hello").unwrap();
    assert!(explained.decisions.iter().any(|d| d.rule == "start-backoff"), "{explained:?}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_short_fault_fails_no_request() {
    let world = at_zero(&[], &[], 1).await;
    let begin = tokio::time::Instant::now();
    world.engine.fail_next(Call::Start, 12);
    world.hold("hello-00001", 12);
    until("twelve", || async { world.plane.endpoints("hello-00001") == 12 }).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    for instance in world.instances(State::Ready).await {
        world.engine.end(&instance.id, Ending::Signal(9)).await;
    }
    let begin = tokio::time::Instant::now();
    until("twelve others", || async { world.plane.endpoints("hello-00001") == 12 }).await;
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(world.plane.state().failed.is_empty());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn instances_that_die_as_soon_as_they_are_ready_back_off_too() {
    let world = World::new().await;
    world.image("hello", &[("SIM_EXIT_CODE", "1"), ("SIM_EXIT_AFTER_MS", "500")]);
    world.deploy("hello", scaled("hello", &[("min-scale", "1")], 80)).await;
    world.until_ready("hello", "True").await;
    pass(300).await;
    let starts = world.engine.starts();
    assert!((5..15).contains(&starts), "{starts} starts in five minutes");
    world.stop().await;
}
