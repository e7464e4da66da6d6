//! Everything is looked at again from time to time, and nothing is written that is so already.

use ebb_model::knative::Configuration;
use ebb_store::Commit;
use serde_json::{Value, json};

use crate::world::{GROUP, NS, World, pass, template, until};

async fn version(world: &World) -> u64 {
    world.store.scan("/", None, None, 1).await.unwrap().version
}

#[tokio::test(start_paused = true)]
async fn looking_at_a_hundred_services_again_writes_nothing() {
    let world = World::new().await;
    world.image("hello", &[]);
    for n in 0..100 {
        world.deploy(&format!("s-{n}"), template("hello")).await;
    }
    for n in 0..100 {
        world.until_ready(&format!("s-{n}"), "True").await;
    }
    until("asleep", || async { world.running().await == 0 }).await;
    pass(120).await;
    let before = version(&world).await;
    pass(1_500).await;
    assert_eq!(version(&world).await, before);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_of_clients_go_after_an_hour() {
    let world = World::new().await;
    let event = json!({"metadata": {"name": "e", "namespace": NS}, "message": "x",
        "lastTimestamp": "2999-01-01T00:00:00Z"});
    let key = ebb_model::key::object("", "events", NS, "e");
    let put = async || {
        let write = ebb_store::json::put(&key, &event).unwrap();
        let commit = Commit { writes: vec![write], ..Commit::default() };
        world.live.commit(commit).await.unwrap();
    };
    put().await;
    pass(3_000).await;
    put().await;
    pass(3_500).await;
    assert_eq!(world.events().await.len(), 1, "an hour after it was written last");
    pass(300).await;
    assert!(world.events().await.is_empty());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_is_found_within_ten_minutes() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    until("asleep", || async { world.running().await == 0 }).await;
    pass(60).await;
    // As if nobody had told: the status is wrong, and the name is not in the queue.
    let mut service: Value = world.get("services", "hello").await.unwrap();
    service["status"]["url"] = json!("http://wrong");
    world.put(ebb_model::key::object(GROUP, "services", NS, "hello"), &service).await;
    pass(601).await;
    let service: Value = world.get("services", "hello").await.unwrap();
    assert_eq!(service["status"]["url"], "http://hello.default.localhost");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_what_a_service_owns_makes_no_revision() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.image("other", &[("A", "b")]);
    world.deploy_ready("hello", "hello").await;
    for _ in 0..3 {
        world.declare("configurations", "hello", json!({"template": template("other")})).await;
        until("put back", || async {
            let now: Configuration = world.get("configurations", "hello").await.unwrap();
            now.spec.template.spec.containers[0].image.as_deref() == Some("hello")
        })
        .await;
        pass(5).await;
        assert_eq!(world.keys("revisions").await, ["hello-00001"]);
    }
    world.until_ready("hello", "True").await;
    // Going back to a template of before is a new revision all the same.
    for (image, newest) in [("other", 2), ("hello", 3)] {
        world.deploy("hello", template(image)).await;
        until("made", || async { world.keys("revisions").await.len() == newest }).await;
        world.until_ready("hello", "True").await;
    }
    pass(60).await;
    assert_eq!(world.keys("revisions").await.len(), 3);
    world.stop().await;
}
