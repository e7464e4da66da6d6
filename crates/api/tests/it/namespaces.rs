//! Namespaces own what is in them. A controller empties them; here it is the test.

use ebb_model::key;
use ebb_store::{Commit, Write};
use reqwest::Method;
use serde_json::json;

use crate::world::{World, code, config_map, service};

const NAMESPACES: &str = "/api/v1/namespaces";

fn namespace(name: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

#[tokio::test]
async fn a_deleted_namespace_is_marked_and_closed() {
    let world = World::new();
    assert_eq!(world.get(&format!("{NAMESPACES}/default")).await.1["status"]["phase"], "Active");
    let (status, made) = world.post(NAMESPACES, &namespace("team")).await;
    assert_eq!((status.as_u16(), &made["status"]["phase"]), (201, &json!("Active")));
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    let maps = format!("{NAMESPACES}/team/configmaps");
    let services = "/apis/serving.knative.dev/v1/namespaces/team/services";
    assert_eq!(world.post(&maps, &config_map("a", "1")).await.0, 201);
    assert_eq!(world.post(services, &service("hello")).await.0, 201);

    let one = format!("{NAMESPACES}/team");
    let (status, dry) = world.delete(&one, &json!({"dryRun": ["All"]})).await;
    assert_eq!((status.as_u16(), &dry["status"]["phase"]), (200, &json!("Terminating")));
    assert_eq!(world.get(&one).await.1["status"]["phase"], "Active");
    for _ in 0..2 {
        let (status, marked) = world.delete(&one, &json!({})).await;
        assert_eq!((status.as_u16(), &marked["kind"]), (200, &json!("Namespace")), "{marked}");
        assert!(marked["metadata"]["deletionTimestamp"].is_string());
        assert_eq!(marked["status"]["phase"], "Terminating");
    }
    // What is in it is there until the controller comes, and can be read and deleted.
    assert_eq!(world.get(&format!("{maps}/a")).await.0, 200);
    let (status, refused) = world.post(&maps, &config_map("b", "1")).await;
    assert_eq!((status.as_u16(), code(&refused)), (403, "NAMESPACE_TERMINATING"));
    let causes = refused["details"]["causes"].as_array().unwrap();
    assert!(causes.iter().any(|c| c["reason"] == "NamespaceTerminating"), "{refused}");
    assert_eq!(world.delete(&format!("{maps}/a"), &json!({})).await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn no_client_makes_a_namespace_go_before_it_is_empty() {
    let world = World::new();
    assert_eq!(world.post(NAMESPACES, &namespace("team")).await.0, 201);
    let one = format!("{NAMESPACES}/team");
    assert_eq!(world.delete(&one, &json!({})).await.0, 200);
    let release = json!({"spec": {"finalizers": []}, "metadata": {"labels": {"a": "b"}}});
    let (status, kept) = world.merge(&one, &release).await;
    assert_eq!((status.as_u16(), &kept["spec"]["finalizers"]), (200, &json!(["kubernetes"])));
    assert_eq!(kept["metadata"]["labels"]["a"], "b");
    assert_eq!(world.get(&one).await.0, 200);
    // A controller has emptied it, and somebody else holds it.
    let mut emptied = world.get(&one).await.1;
    emptied["spec"]["finalizers"] = json!([]);
    emptied["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let stored = key::object("", "namespaces", "", "team");
    world.put_stored(&world.store, &stored, &emptied).await;
    let release = json!({"metadata": {"finalizers": null}});
    assert_eq!(world.merge(&one, &release).await.0, 200);
    assert_eq!(world.get(&one).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn what_is_gone_takes_nothing_and_lists_nothing() {
    let world = World::new();
    let maps = format!("{NAMESPACES}/nowhere/configmaps");
    assert_eq!(world.get(&maps).await.1["items"], json!([]));
    let (status, refused) = world.post(&maps, &config_map("a", "1")).await;
    assert_eq!((status.as_u16(), code(&refused)), (404, "NOT_FOUND"));
    // It goes between the look at it and the commit: the commit holds only if it is there.
    assert_eq!(world.post(NAMESPACES, &namespace("team")).await.0, 201);
    let writes = vec![Write::Delete { key: key::object("", "namespaces", "", "team") }];
    world.store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
    let maps = format!("{NAMESPACES}/team/configmaps");
    assert_eq!(world.post(&maps, &config_map("a", "1")).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn the_default_namespace_stays() {
    let world = World::new();
    let (status, refused) = world.delete(&format!("{NAMESPACES}/default"), &json!({})).await;
    assert_eq!((status.as_u16(), code(&refused)), (403, "PERMISSION_DENIED"));
    for name in ["a.b", "A", &"a".repeat(64)] {
        assert_eq!(
            code(&world.post(NAMESPACES, &namespace(name)).await.1),
            "INVALID_NAME",
            "{name}"
        );
    }
    let all = world.ask(world.request(Method::DELETE, NAMESPACES)).await;
    assert_eq!((all.0.as_u16(), code(&all.1)), (405, "METHOD_NOT_ALLOWED"));
    world.end().await;
}
