//! What a Service owns is put back; what it does not own it leaves alone.

use ebb_control::Config;
use ebb_model::knative::{Configuration, Route};
use serde_json::{Value, json};

use crate::world::{World, condition, pass, template, until};

fn configuration(image: &str) -> Value {
    json!({"template": template(image)})
}

#[tokio::test(start_paused = true)]
async fn a_service_leaves_the_configuration_of_another_alone() {
    let world = World::new().await;
    world.image("mine", &[]);
    world.image("yours", &[("A", "b")]);
    world.declare("configurations", "hello", configuration("mine")).await;
    world.until_says("configurations", "hello", ("True", "")).await;
    world.deploy("hello", template("yours")).await;
    let ready = world.until_ready("hello", "False").await;
    assert_eq!(ready.reason.as_deref(), Some("NotOwned"));
    let service = world.service("hello").await;
    assert_eq!(condition(&service, "ConfigurationsReady").reason.as_deref(), Some("NotOwned"));
    let kept: Configuration = world.get("configurations", "hello").await.unwrap();
    assert_eq!(kept.spec.template.spec.containers[0].image.as_deref(), Some("mine"));
    assert_eq!(kept.metadata.owner_references, None);
    assert!(world.keys("routes").await.is_empty());
    assert_eq!(world.plane.targets("hello"), None);

    world.delete("configurations", "hello").await;
    world.until_ready("hello", "True").await;
    let made: Configuration = world.get("configurations", "hello").await.unwrap();
    assert_eq!(made.metadata.owner_references.unwrap()[0].kind, "Service");
    world.delete("services", "hello").await;
    until("gone", || async { world.keys("revisions").await.is_empty() }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_leaves_the_route_of_another_alone() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.declare("configurations", "back", configuration("hello")).await;
    let to = json!({"traffic": [{"configurationName": "back", "percent": 100}]});
    world.declare("routes", "hello", to).await;
    world.until_says("routes", "hello", ("True", "")).await;
    world.deploy("hello", template("hello")).await;
    let ready = world.until_ready("hello", "False").await;
    assert_eq!(ready.reason.as_deref(), Some("NotOwned"));
    until("configured", || async {
        condition(&world.service("hello").await, "ConfigurationsReady").status == "True"
    })
    .await;
    assert_eq!(world.plane.targets("hello"), Some(vec![("back-00001".to_owned(), 100)]));
    world.delete("services", "hello").await;
    until("gone", || async { world.keys("revisions").await == ["back-00001"] }).await;
    assert_eq!(world.plane.targets("hello"), Some(vec![("back-00001".to_owned(), 100)]));

    world.deploy("hello", template("hello")).await;
    world.until_ready("hello", "False").await;
    world.delete("routes", "hello").await;
    world.until_ready("hello", "True").await;
    until("its own", || async {
        world.plane.targets("hello") == Some(vec![("hello-00001".to_owned(), 100)])
    })
    .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_client_changes_or_deletes_of_it_is_put_back() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.image("other", &[("A", "b")]);
    world.deploy_ready("hello", "hello").await;
    world.declare("configurations", "hello", configuration("other")).await;
    let image = async || {
        let now: Configuration = world.get("configurations", "hello").await.unwrap_or_default();
        now.spec.template.spec.containers.first().and_then(|c| c.image.clone())
    };
    until("put back", || async { image().await.as_deref() == Some("hello") }).await;
    world.until_ready("hello", "True").await;
    let to = json!({"traffic": [{"revisionName": "x", "percent": 100}]});
    world.declare("routes", "hello", to).await;
    until("put back", || async {
        let route: Route = world.get("routes", "hello").await.unwrap();
        route.spec.traffic[0].configuration_name.as_deref() == Some("hello")
    })
    .await;
    world.until_ready("hello", "True").await;

    let revisions = world.keys("revisions").await;
    let published = world.plane.state().published;
    let uid = world.service("hello").await.metadata.uid;
    for resource in ["routes", "configurations"] {
        world.delete(resource, "hello").await;
        until("made again", || async { world.keys(resource).await == ["hello"] }).await;
        world.until_ready("hello", "True").await;
    }
    pass(5).await;
    let made: Configuration = world.get("configurations", "hello").await.unwrap();
    assert_eq!(made.metadata.owner_references.unwrap()[0].uid, uid.unwrap());
    assert_eq!(world.keys("revisions").await, revisions, "they are its own now");
    for name in &revisions {
        let owner = world.revision(name).await.metadata.owner_references.unwrap()[0].uid.clone();
        assert_eq!(Some(owner), made.metadata.uid);
    }
    assert_eq!(world.plane.state().published, published, "requests noticed nothing");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_missing_and_came_while_the_daemon_was_away_is_taken() {
    let world = World::new().await;
    world.image("hello", &[]);
    for (kind, source) in [("secret", "secretKeyRef"), ("map", "configMapKeyRef")] {
        let from = json!([{"name": "A", "valueFrom": {source: {"name": "s", "key": "k"}}}]);
        let spec = json!({"spec": {"containers": [{"image": "hello", "env": from}]}});
        world.deploy(kind, spec).await;
        world.until_ready(kind, "False").await;
    }
    world.stop().await;
    for (resource, value) in [("secrets", "eA=="), ("configmaps", "x")] {
        let object = json!({"metadata": {"name": "s", "namespace": "default"},
            "data": {"k": value}});
        world.put(ebb_model::key::object("", resource, "default", "s"), &object).await;
    }
    let next = World::on(world.store.clone(), world.images.clone(), Config::default()).await;
    next.until_ready("secret", "True").await;
    next.until_ready("map", "True").await;
    next.stop().await;
}
