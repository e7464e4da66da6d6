//! Policy and quota of the configuration, at the door.

use std::sync::Arc;

use ebb_api::admission::Capacity;
use ebb_store::memory::Memory;
use serde_json::json;

use crate::world::{World, code, config_map, service};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/apis/serving.knative.dev/v1/namespaces/default/services";

#[tokio::test]
async fn no_more_objects_than_allowed_whoever_comes_at_once() {
    let world = World::configured(Arc::new(Memory::new()), |config| config.max_objects = 5);
    let path = format!("{MAPS}?dryRun=All");
    assert_eq!(world.post(&path, &config_map("tried", "1")).await.0, 201);
    let names: Vec<String> = (0..20).map(|n| format!("map-{n}")).collect();
    let bodies: Vec<_> = names.iter().map(|name| config_map(name, "1")).collect();
    let asked = futures_util::future::join_all(bodies.iter().map(|body| world.post(MAPS, body)));
    let answers = asked.await;
    let made = answers.iter().filter(|(status, _)| *status == 201).count();
    // Who comes at once may be refused too early, never too late.
    assert!((1..=5).contains(&made), "{made}");
    for n in made..5 {
        assert_eq!(world.post(MAPS, &config_map(&format!("more-{n}"), "1")).await.0, 201);
    }
    let (status, said) = world.post(MAPS, &config_map("last", "1")).await;
    assert_eq!((status.as_u16(), code(&said)), (429, "QUOTA_EXCEEDED"), "{said}");
    assert_eq!(said["details"]["retryAfterSeconds"], 1);
    let (status, said) = world.post(&path, &config_map("tried", "1")).await;
    assert_eq!((status.as_u16(), code(&said)), (429, "QUOTA_EXCEEDED"), "a dry run says the same");
    assert_eq!(world.get(MAPS).await.1["items"].as_array().unwrap().len(), 5);
    // Others are counted by themselves, and room that was made can be used.
    assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
    let name = world.get(MAPS).await.1["items"][0]["metadata"]["name"].clone();
    let path = format!("{MAPS}/{}", name.as_str().unwrap());
    assert_eq!(world.delete(&path, &json!({})).await.0, 200);
    assert_eq!(world.post(MAPS, &config_map("last", "1")).await.0, 201);
    world.end().await;
}

#[tokio::test]
async fn images_of_other_places_are_refused_and_nothing_is_stored() {
    let world = World::configured(Arc::new(Memory::new()), |config| {
        config.image_registries = vec!["ghcr.io/acme".to_owned()];
    });
    let mut body = service("hello");
    let (status, said) = world.post(SERVICES, &body).await;
    assert_eq!((status.as_u16(), code(&said)), (403, "IMAGE_POLICY_DENIED"), "{said}");
    assert_eq!(world.get(&format!("{SERVICES}/hello")).await.0, 404);
    body["spec"]["template"]["spec"]["containers"][0]["image"] = json!("ghcr.io/acme/hello:1");
    assert_eq!(world.post(SERVICES, &body).await.0, 201);
    let other = json!({"spec": {"template": {"spec": {"containers": [{"image": "nginx"}]}}}});
    let (status, said) = world.merge(&format!("{SERVICES}/hello"), &other).await;
    assert_eq!((status.as_u16(), code(&said)), (403, "IMAGE_POLICY_DENIED"), "{said}");
    world.end().await;
}

#[tokio::test]
async fn more_than_the_machine_has_is_not_valid() {
    let world = World::configured(Arc::new(Memory::new()), |config| {
        config.capacity = Some(Capacity { cpu_milli: 2000, memory_bytes: 24 << 30 });
    });
    let mut body = service("hello");
    let resources = json!({"limits": {"memory": "900Gi"}});
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = resources;
    let (status, said) = world.post(SERVICES, &body).await;
    assert_eq!((status.as_u16(), code(&said)), (422, "CAPACITY"), "{said}");
    assert_eq!(said["reason"], "Invalid");
    let field = "spec.template.spec.containers[0].resources.limits.memory";
    assert_eq!(said["details"]["causes"][0]["field"], field);
    let message = said["message"].as_str().unwrap();
    assert!(message.contains("900Gi") && message.contains("24Gi"), "{message}");
    body["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": 3}});
    let (status, said) = world.post(SERVICES, &body).await;
    assert_eq!((status.as_u16(), code(&said)), (422, "CAPACITY"), "{said}");
    assert_eq!(world.get(&format!("{SERVICES}/hello")).await.0, 404);
    world.end().await;
}
