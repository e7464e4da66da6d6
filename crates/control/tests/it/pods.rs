//! What Kubernetes clients see of instances.

use std::time::Duration;

use ebb_engine::Engine;
use ebb_model::engine::State;
use ebb_model::k8s::api::core::v1::{Node, Pod};

use crate::world::{NS, World, pass, template, until};

fn status(pod: &Pod) -> &ebb_model::k8s::api::core::v1::PodStatus {
    pod.status.as_ref().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_pod_shows_its_instance() {
    let world = World::new().await;
    world.image("hello", &[("SIM_READY_MS", "5000")]);
    world.deploy("hello", template("hello")).await;
    pass(2).await;
    let pods = world.pods().await;
    assert_eq!(pods.len(), 1);
    let ready = |pod: &Pod| {
        let conditions = status(pod).conditions.clone().unwrap();
        conditions.into_iter().find(|c| c.type_ == "Ready").unwrap().status
    };
    assert_eq!(ready(&pods[0]), "False");
    world.until_ready("hello", "True").await;
    pass(1).await;
    let pod = world.pods().await.remove(0);
    assert_eq!(status(&pod).phase.as_deref(), Some("Running"));
    assert_eq!(ready(&pod), "True");
    assert!(status(&pod).pod_ip.is_some());
    let container = &status(&pod).container_statuses.as_ref().unwrap()[0];
    assert!(container.ready && container.state.as_ref().unwrap().running.is_some());
    assert!(container.image_id.contains("@sha256:"), "{}", container.image_id);
    let labels = pod.metadata.labels.clone().unwrap();
    assert_eq!(labels["serving.knative.dev/revision"], "hello-00001");
    assert_eq!(labels["serving.knative.dev/service"], "hello");
    assert_eq!(pod.metadata.owner_references.unwrap()[0].kind, "Revision");
    let name = pod.metadata.name.unwrap();
    let (id, container) = world.handle.instance_of_pod(NS, &name).unwrap();
    assert_eq!(id.pod_name("hello-00001"), name);
    assert_eq!(container, "user-container");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_ended_pod_is_kept_for_an_hour() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    until("ended", || async {
        let pods = world.pods().await;
        pods.iter().any(|p| matches!(status(p).phase.as_deref(), Some("Succeeded" | "Failed")))
    })
    .await;
    let name = world.pods().await[0].metadata.name.clone().unwrap();
    assert!(world.handle.instance_of_pod(NS, &name).is_some(), "its logs can be read");
    pass(3590).await;
    assert_eq!(world.pods().await.len(), 1);
    pass(60).await;
    assert_eq!(world.pods().await.len(), 0);
    assert_eq!(world.handle.instance_of_pod(NS, &name), None);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_most_ten_ended_pods_are_kept() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    for _ in 0..15 {
        until("zero", || async { world.running().await == 0 }).await;
        world.hold("hello-00001", 1);
        until("one", || async { world.plane.endpoints("hello-00001") == 1 }).await;
        world.load("hello-00001", 0, 0);
    }
    until("zero", || async { world.running().await == 0 }).await;
    pass(2).await;
    assert_eq!(world.pods().await.len(), 10);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_drained_stopped_and_gone() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    pass(1).await;
    let name = world.pods().await[0].metadata.name.clone().unwrap();
    let (id, _) = world.handle.instance_of_pod(NS, &name).unwrap();
    world.load("hello-00001", 0, 1);
    world.handle.stop_pod(NS, &name, None, None).await.unwrap();
    until("gone", || async {
        world.pods().await.iter().all(|p| p.metadata.name.as_ref() != Some(&name))
    })
    .await;
    assert!(world.plane.state().drained.contains(&id));
    until("replaced, as there is demand", || async { world.plane.endpoints("hello-00001") == 1 })
        .await;
    let fault = world.handle.stop_pod(NS, &name, None, None).await.unwrap_err();
    assert_eq!(fault.code, "POD_NOT_FOUND");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_gets_the_time_that_was_asked_for() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.image("stubborn", &[("SIM_IGNORE_TERM", "1")]);
    for (name, image, busy, period, most_s) in [
        ("hello", "hello", 1, Some(Duration::from_secs(2)), 3),
        ("stubborn", "stubborn", 0, Some(Duration::from_secs(4)), 5),
        ("quick", "hello", 1, Some(Duration::ZERO), 1),
    ] {
        world.deploy_ready(name, image).await;
        let revision = format!("{name}-00001");
        world.load(&revision, 0, 1);
        pass(1).await;
        let pods = world.pods().await;
        let of =
            |pod: &&Pod| pod.metadata.name.as_deref().is_some_and(|n| n.starts_with(&revision));
        let pod = pods.iter().find(of).unwrap();
        let pod_name = pod.metadata.name.clone().unwrap();
        let (id, _) = world.handle.instance_of_pod(NS, &pod_name).unwrap();
        world.plane.state().busy.insert(id.clone(), busy);
        let stale = world.handle.stop_pod(NS, &pod_name, Some("another"), period).await;
        assert_eq!(stale.unwrap_err().code, "POD_NOT_FOUND", "it is not the one that was meant");
        let uid = pod.metadata.uid.as_deref();
        // The revision's own time is long: its requests may take five minutes.
        world.handle.stop_pod(NS, &pod_name, uid, None).await.unwrap();
        world.handle.stop_pod(NS, &pod_name, uid, period).await.unwrap();
        if period == Some(Duration::ZERO) {
            assert_eq!(world.handle.instance_of_pod(NS, &pod_name), None, "gone at once");
        }
        let began = tokio::time::Instant::now();
        until("ended", || async {
            let listed = world.engine.list().await.unwrap();
            listed.iter().all(|status| status.id != id || status.state == State::Exited)
        })
        .await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(most_s), "{name}: {took:?}");
        until("gone", || async {
            world.pods().await.iter().all(|p| p.metadata.name.as_ref() != Some(&pod_name))
        })
        .await;
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn there_is_a_node() {
    let world = World::new().await;
    until("written", || async { world.list_live::<Node>("nodes").await.len() == 1 }).await;
    let node = world.list_live::<Node>("nodes").await.remove(0);
    assert_eq!(node.metadata.name.as_deref(), Some("ebb"));
    let status = node.status.unwrap();
    assert_eq!(status.conditions.unwrap()[0].type_, "Ready");
    assert_eq!(status.capacity.unwrap()["memory"].0, "1Gi");
    world.stop().await;
}
