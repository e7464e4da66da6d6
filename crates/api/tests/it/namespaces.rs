//! Namespaces own what is in them.

use ebb_model::key;
use serde_json::json;

use crate::world::{World, code, config_map, service};

const NAMESPACES: &str = "/api/v1/namespaces";

#[tokio::test]
async fn a_namespace_takes_its_contents_with_it() {
    let world = World::new();
    assert_eq!(world.get(&format!("{NAMESPACES}/default")).await.1["status"]["phase"], "Active");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    let (status, made) = world.post(NAMESPACES, &namespace).await;
    assert_eq!((status.as_u16(), &made["status"]["phase"]), (201, &json!("Active")));
    let maps = format!("{NAMESPACES}/team/configmaps");
    let services = "/apis/serving.knative.dev/v1/namespaces/team/services";
    assert_eq!(world.post(&maps, &config_map("a", "1")).await.0, 201);
    assert_eq!(world.post(services, &service("hello")).await.0, 201);
    let event = json!({"metadata": {"name": "e", "namespace": "team"}});
    world.put_stored(&world.live, &key::object("", "events", "team", "e"), &event).await;
    let (status, gone) = world.delete(&format!("{NAMESPACES}/team"), &json!({})).await;
    assert_eq!(status, 200, "{gone}");
    assert_eq!(world.get(&format!("{NAMESPACES}/team")).await.0, 404);
    for path in [maps.clone(), services.to_owned(), format!("{NAMESPACES}/team/events")] {
        assert_eq!(world.get(&path).await.1["items"], json!([]), "{path}");
    }
    assert_eq!(world.post(&maps, &config_map("a", "1")).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn what_holds_a_namespace_is_said_and_the_deletion_goes_on_later() {
    let world = World::new();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "held"}});
    assert_eq!(world.post(NAMESPACES, &namespace).await.0, 201);
    let maps = format!("{NAMESPACES}/held/configmaps");
    let mut held = config_map("a", "1");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(world.post(&maps, &held).await.0, 201);
    let one = format!("{NAMESPACES}/held");
    assert_eq!(world.delete(&one, &json!({})).await.0, 409);
    assert_eq!(world.get(&one).await.1["status"]["phase"], "Terminating");
    let (status, refused) = world.post(&maps, &config_map("b", "1")).await;
    assert_eq!((status.as_u16(), code(&refused)), (403, "NAMESPACE_TERMINATING"));
    let release = json!({"metadata": {"finalizers": null}});
    assert_eq!(world.merge(&format!("{maps}/a"), &release).await.0, 200);
    assert_eq!(world.delete(&one, &json!({})).await.0, 200);
    assert_eq!(world.get(&one).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn the_default_namespace_stays() {
    let world = World::new();
    let (status, refused) = world.delete(&format!("{NAMESPACES}/default"), &json!({})).await;
    assert_eq!((status.as_u16(), code(&refused)), (403, "PERMISSION_DENIED"));
    for name in ["a.b", "A", &"a".repeat(64)] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        assert_eq!(code(&world.post(NAMESPACES, &namespace).await.1), "INVALID_NAME", "{name}");
    }
    world.end().await;
}
