//! Deleting a service, and what nothing needs any more.

use ebb_control::Config;
use ebb_images::ImageStore;
use ebb_store::memory::Memory;
use serde_json::json;
use std::sync::Arc;

use crate::world::{World, pass, template, until};

async fn pins(world: &World) -> u32 {
    world.images.list().await.unwrap().iter().map(|image| image.pins).sum()
}

#[tokio::test(start_paused = true)]
async fn deleting_a_service_leaves_nothing() {
    let world = World::new().await;
    world.image("hello:1", &[]);
    world.image("hello:2", &[("A", "b")]);
    world.image("other", &[("B", "c")]);
    world.deploy_ready("hello-other", "other").await;
    world.deploy_ready("hello", "hello:1").await;
    world.deploy_ready("hello", "hello:2").await;
    assert_eq!(pins(&world).await, 3);
    world.delete("services", "hello").await;
    until("revisions gone", || async { world.keys("revisions").await == ["hello-other-00001"] })
        .await;
    until("configuration gone", || async { world.keys("configurations").await == ["hello-other"] })
        .await;
    assert_eq!(world.keys("routes").await, ["hello-other"]);
    assert_eq!(world.plane.targets("hello"), None);
    assert!(world.plane.targets("hello-other").is_some());
    assert_eq!(pins(&world).await, 1);
    assert_eq!(world.plane.endpoints("hello-00002"), 0);
    until("pods gone", || async { world.pods().await.len() == 1 }).await;
    assert!(world.handle.explain("default", "hello").is_none());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_route_goes_first_and_running_requests_finish() {
    let world = World::new().await;
    world.image("hello", &[]);
    let template = json!({"spec": {"containers": [{"image": "hello"}], "timeoutSeconds": 30}});
    world.deploy("hello", template).await;
    world.until_ready("hello", "True").await;
    let id = world.instances(ebb_model::engine::State::Ready).await[0].id.clone();
    world.plane.state().busy.insert(id, 1);
    world.delete("services", "hello").await;
    until("unrouted", || async { world.plane.targets("hello").is_none() }).await;
    pass(20).await;
    assert_eq!(world.running().await, 1, "its request is still running");
    assert_eq!(world.keys("revisions").await, ["hello-00001"]);
    pass(20).await;
    assert_eq!(world.running().await, 0);
    until("gone", || async { world.keys("revisions").await.is_empty() }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_called_off_with_its_service() {
    let world = World::new().await;
    world.image("hello", &[("SIM_READY_MS", "100000")]);
    world.deploy("hello", template("hello")).await;
    until("started", || async { world.running().await == 1 }).await;
    world.delete("services", "hello").await;
    pass(15).await;
    assert_eq!(world.running().await, 0);
    assert!(world.keys("revisions").await.is_empty());
    assert_eq!(pins(&world).await, 0);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_can_be_deleted_and_made_again_under_the_same_name() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    let first = world.revision("hello-00001").await.metadata.uid;
    world.delete("services", "hello").await;
    world.deploy("hello", template("hello")).await;
    world.until_ready("hello", "True").await;
    assert_ne!(world.revision("hello-00001").await.metadata.uid, first);
    pass(1).await;
    assert_eq!(world.plane.endpoints("hello-00001"), 1);
    assert_eq!(pins(&world).await, 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_the_daemon_was_away_is_removed_at_its_start() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    world.stop().await;
    world.delete("services", "hello").await;
    let next = World::on(world.store.clone(), world.images.clone(), Config::default()).await;
    for resource in ["configurations", "routes", "revisions"] {
        assert!(next.keys(resource).await.is_empty(), "{resource}");
    }
    assert_eq!(pins(&next).await, 0);
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn old_revisions_are_kept_up_to_a_number() {
    let config = Config { keep_revisions: 2, ..Config::default() };
    let world = World::with(Arc::new(Memory::new()), config).await;
    for n in 0..5 {
        let image = format!("hello:{n}");
        world.image(&image, &[("N", &n.to_string())]);
        world.deploy_ready("hello", &image).await;
    }
    until("collected", || async {
        world.keys("revisions").await == ["hello-00003", "hello-00004", "hello-00005"]
    })
    .await;
    assert_eq!(pins(&world).await, 3);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_removed_service_are_answered() {
    let world = World::new().await;
    world.image("hello", &[("SIM_READY_MS", "5000")]);
    world.deploy_ready("hello", "hello").await;
    until("zero", || async { world.running().await == 0 }).await;
    world.hold("hello-00001", 3);
    until("starting", || async { world.running().await == 1 }).await;
    world.delete("services", "hello").await;
    until("told", || async { !world.plane.state().failed.is_empty() }).await;
    assert_eq!(world.plane.state().failed[0].1, "REVISION_REMOVED");
    until("gone", || async { world.keys("revisions").await.is_empty() }).await;
    world.stop().await;
}
