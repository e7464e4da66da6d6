//! From a Service to a route, and from one revision to the next.

use ebb_model::knative::{Configuration, Route, TrafficTarget};
use ebb_model::{InstanceId, RevisionKey};
use serde_json::json;

use crate::world::{World, condition, pass, template, until};

#[tokio::test(start_paused = true)]
async fn a_service_becomes_ready_and_gets_its_url() {
    let world = World::new().await;
    world.image("hello", &[("SIM_READY_MS", "2000")]);
    world.deploy("hello", template("hello")).await;
    pass(1).await;
    let service = world.service("hello").await;
    for type_ in ["Ready", "ConfigurationsReady", "RoutesReady"] {
        assert_eq!(condition(&service, type_).status, "Unknown", "{type_}");
    }
    assert_eq!(condition(&service, "ConfigurationsReady").reason.as_deref(), Some("Deploying"));
    assert_eq!(condition(&service, "RoutesReady").reason.as_deref(), Some("RevisionMissing"));
    assert_eq!(world.plane.targets("hello"), Some(vec![]), "known, but no revision yet");
    let early = condition(&service, "Ready").last_transition_time;

    world.until_ready("hello", "True").await;
    let service = world.service("hello").await;
    let status = service.status.clone().unwrap();
    assert_eq!(status.url.as_deref(), Some("http://hello.default.localhost"));
    assert_eq!(status.address.unwrap().url, status.url);
    assert_eq!(status.latest_created_revision_name.as_deref(), Some("hello-00001"));
    assert_eq!(status.latest_ready_revision_name.as_deref(), Some("hello-00001"));
    let share = TrafficTarget {
        revision_name: Some("hello-00001".to_owned()),
        latest_revision: Some(true),
        percent: Some(100),
        ..TrafficTarget::default()
    };
    assert_eq!(status.traffic, [share]);
    for type_ in ["Ready", "ConfigurationsReady", "RoutesReady"] {
        assert_eq!(condition(&service, type_).status, "True", "{type_}");
        assert_eq!(condition(&service, type_).reason, None, "{type_}");
    }
    assert_ne!(condition(&service, "Ready").last_transition_time, early);
    until("routed", || async {
        world.plane.targets("hello") == Some(vec![("hello-00001".to_owned(), 100)])
    })
    .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_objects_belong_to_each_other() {
    let world = World::new().await;
    world.image("hello:1", &[]);
    let annotations = json!({"autoscaling.knative.dev/max-scale": "3"});
    let labels = json!({"team": "a"});
    let template = json!({"metadata": {"annotations": annotations, "labels": labels},
        "spec": {"containers": [{"image": "hello:1"}], "containerConcurrency": 7,
                 "timeoutSeconds": 20}});
    world.deploy("hello", template).await;
    world.until_ready("hello", "True").await;

    let service = world.service("hello").await;
    let configuration: Configuration = world.get("configurations", "hello").await.unwrap();
    let route: Route = world.get("routes", "hello").await.unwrap();
    let revision = world.revision("hello-00001").await;
    let owner = |meta: &ebb_model::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        meta.owner_references.clone().unwrap()[0].clone()
    };
    assert_eq!(Some(owner(&configuration.metadata).uid), service.metadata.uid);
    assert_eq!(Some(owner(&route.metadata).uid), service.metadata.uid);
    assert_eq!(Some(owner(&revision.metadata).uid), configuration.metadata.uid);
    let labels = revision.metadata.labels.clone().unwrap();
    for (name, want) in [
        ("team", "a"),
        ("serving.knative.dev/service", "hello"),
        ("serving.knative.dev/configuration", "hello"),
        ("serving.knative.dev/configurationGeneration", "1"),
    ] {
        assert_eq!(labels[name], want, "{name}");
    }
    let annotations = revision.metadata.annotations.clone().unwrap();
    assert_eq!(annotations["autoscaling.knative.dev/max-scale"], "3");
    let digest = &revision.status.unwrap().container_statuses[0].image_digest;
    assert!(digest.starts_with("docker.io/library/hello@sha256:"), "{digest}");
    let host = world.plane.state().routes.hosts["hello.default.localhost"].clone();
    assert_eq!(
        (host.targets[0].policy.concurrency, host.targets[0].policy.timeout_ms),
        (7, 20_000)
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_old_revision_serves_until_the_new_one_is_ready() {
    let world = World::new().await;
    world.image("hello:1", &[]);
    world.image("hello:2", &[("SIM_READY_MS", "5000")]);
    world.deploy_ready("hello", "hello:1").await;
    world.deploy("hello", template("hello:2")).await;
    pass(2).await;
    assert_eq!(world.plane.targets("hello").unwrap()[0].0, "hello-00001");
    let service = world.service("hello").await;
    assert_eq!(condition(&service, "Ready").status, "Unknown");
    assert_eq!(condition(&service, "RoutesReady").status, "True");
    let status = service.status.unwrap();
    assert_eq!(status.latest_created_revision_name.as_deref(), Some("hello-00002"));
    assert_eq!(status.latest_ready_revision_name.as_deref(), Some("hello-00001"));

    world.until_ready("hello", "True").await;
    until("moved", || async { world.plane.targets("hello").unwrap()[0].0 == "hello-00002" }).await;
    assert_eq!(world.keys("revisions").await, ["hello-00001", "hello-00002"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_traffic_alone_makes_no_revision() {
    let world = World::new().await;
    world.image("hello:1", &[]);
    world.image("hello:2", &[("A", "b")]);
    world.deploy_ready("hello", "hello:1").await;
    world.deploy_ready("hello", "hello:2").await;
    let mut service = world.service("hello").await;
    let share = |name: &str, percent| TrafficTarget {
        revision_name: Some(name.to_owned()),
        percent: Some(percent),
        ..TrafficTarget::default()
    };
    service.spec.traffic = vec![share("hello-00001", 90), share("hello-00002", 10)];
    service.metadata.generation = Some(3);
    world.put("/serving.knative.dev/services/default/hello".to_owned(), &service).await;
    world.until_ready("hello", "True").await;
    until("split", || async {
        let want = vec![("hello-00001".to_owned(), 90), ("hello-00002".to_owned(), 10)];
        world.plane.targets("hello") == Some(want)
    })
    .await;
    assert_eq!(world.keys("revisions").await.len(), 2);

    service = world.service("hello").await;
    service.spec.traffic = vec![share("hello-00009", 100)];
    service.metadata.generation = Some(4);
    world.put("/serving.knative.dev/services/default/hello".to_owned(), &service).await;
    let ready = world.until_ready("hello", "False").await;
    assert_eq!(ready.reason.as_deref(), Some("RevisionMissing"));
    assert_eq!(world.plane.targets("hello").unwrap().len(), 2, "the split before stays");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_given_revision_name_is_used_once() {
    let world = World::new().await;
    world.image("hello", &[]);
    let named = |env: &str| {
        json!({"metadata": {"name": "hello-blue"},
               "spec": {"containers": [{"image": "hello", "env": [{"name": "A", "value": env}]}]}})
    };
    world.deploy("hello", named("1")).await;
    world.until_ready("hello", "True").await;
    assert_eq!(world.keys("revisions").await, ["hello-blue"]);
    world.deploy("hello", named("2")).await;
    let ready = world.until_ready("hello", "False").await;
    assert_eq!(ready.reason.as_deref(), Some("REVISION_NAME_TAKEN"));
    world.deploy("hello", named("1")).await;
    world.until_ready("hello", "True").await;
    assert_eq!(world.keys("revisions").await, ["hello-blue"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_daemon_routes_before_it_is_ready_and_starts_nothing() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    until("validated", || async { world.running().await == 1 }).await;
    world.stop().await;
    assert_eq!(world.running().await, 0, "every instance is stopped at shutdown");

    let next = World::on(world.store.clone(), world.images.clone(), ebb_control::Config::default());
    let next = next.await;
    assert_eq!(next.plane.targets("hello"), Some(vec![("hello-00001".to_owned(), 100)]));
    assert_eq!(next.plane.state().published, 1, "one whole table, never a part of it");
    pass(5).await;
    assert_eq!(next.running().await, 0);
    assert_eq!(next.service("hello").await.status, world.service("hello").await.status);
    next.hold("hello-00001", 1);
    until("woken", || async { next.plane.endpoints("hello-00001") == 1 }).await;
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_rollout_goes_on_after_a_restart() {
    let world = World::new().await;
    world.image("hello", &[("SIM_READY_MS", "30000")]);
    world.deploy("hello", template("hello")).await;
    pass(5).await;
    world.stop().await;
    let next = World::on(world.store.clone(), world.images.clone(), ebb_control::Config::default());
    let next = next.await;
    next.until_ready("hello", "True").await;
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn cold_requests_and_decisions_are_explained() {
    let world = World::new().await;
    world.image("hello", &[]);
    assert_eq!(world.handle.explain("default", "hello"), None);
    world.deploy_ready("hello", "hello").await;
    let instance = world.instances(ebb_model::engine::State::Ready).await[0].id.clone();
    world.handle.cold_request(ebb_model::routing::ColdRequest {
        revision: RevisionKey::new("default", "hello-00001"),
        instance: InstanceId::parse(instance.as_str()).unwrap(),
        arrived: ebb_kit::Clock::now(&*world.clock),
        queue_us: 10,
        held_us: 500,
        first_byte_us: 20,
    });
    let explained = world.handle.explain("default", "hello").unwrap();
    assert_eq!(explained.decisions[0].rule, "initial-start");
    assert_eq!((explained.decisions[0].have, explained.decisions[0].want), (0, 1));
    assert_eq!(explained.cold_starts.len(), 1);
    assert_eq!(explained.cold_starts[0].phases.total_us(), 520);
    world.stop().await;
}
