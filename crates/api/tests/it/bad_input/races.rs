//! Requests that are right by themselves and come too late, twice or at once.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::refusal;
use crate::world::{MAPS, SERVICES, World, config_map, service};

#[tokio::test]
async fn too_late() {
    let world = World::new();
    let one = format!("{MAPS}/a");
    let (_, first) = world.post(MAPS, &config_map("a", "1")).await;
    assert_eq!(world.merge(&one, &json!({"data": {"key": "2"}})).await.0, 200);
    let stale = refusal(409, "CONFLICT");
    world.refused("PUT", world.request(Method::PUT, &one).json(&first), stale).await;
    let patch = json!({"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]},
        "data": {"key": "3"}});
    let request = world.request(Method::PATCH, &one).body(patch.to_string());
    let request = request.header("content-type", "application/merge-patch+json");
    world.refused("PATCH", request, stale).await;
    for (what, condition) in [
        ("version", json!({"resourceVersion": first["metadata"]["resourceVersion"]})),
        ("uid", json!({"uid": "00000000-0000-4000-8000-000000000000"})),
    ] {
        let request =
            world.request(Method::DELETE, &one).json(&json!({"preconditions": condition}));
        world.refused(what, request, stale).await;
    }
    let mut other = first.clone();
    other["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    other["metadata"]["resourceVersion"] = json!("");
    world.refused("another uid", world.request(Method::PUT, &one).json(&other), stale).await;
    for version in ["0", "999999999", "abc", "-1", "1.0", "18446744073709551616"] {
        let mut object = first.clone();
        object["metadata"]["resourceVersion"] = json!(version);
        let before = world.versions().await;
        let (status, refused) = world.put(&one, &object).await;
        assert!(matches!(status.as_u16(), 400 | 409 | 422), "{version}: {refused}");
        assert_eq!(world.versions().await, before, "{version}");
    }
    world.end().await;
}

#[tokio::test]
async fn twice() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    let request = world.request(Method::POST, MAPS).json(&config_map("a", "1"));
    world.refused("the same again", request, refusal(409, "ALREADY_EXISTS")).await;
    let path = format!("{MAPS}?dryRun=All");
    let request = world.request(Method::POST, &path).json(&config_map("a", "1"));
    world.refused("as a rehearsal", request, refusal(409, "ALREADY_EXISTS")).await;
    let made = join_all((0..20).map(|_| async { world.post(MAPS, &config_map("b", "1")).await.0 }));
    let made = made.await;
    assert_eq!(made.iter().filter(|status| **status == 201).count(), 1, "{made:?}");
    assert!(made.iter().all(|status| *status == 201 || *status == 409), "{made:?}");
    let gone =
        join_all((0..20).map(|_| async { world.delete(&format!("{MAPS}/b"), &json!({})).await.0 }));
    let gone = gone.await;
    assert!(gone.contains(&StatusCode::OK), "{gone:?}");
    assert!(gone.iter().all(|status| matches!(status.as_u16(), 200 | 404 | 409)), "{gone:?}");
    world.end().await;
}

/// Patches that are small and make something large or deep, or that fail half-way.
#[tokio::test]
async fn patches_that_explode() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
    let doubling = |n| vec![json!({"op": "copy", "from": "", "path": "/metadata/x"}); n];
    let many = vec![json!({"op": "test", "path": "/kind", "value": "x"}); 10_001];
    let undone = json!([
        {"op": "replace", "path": "/metadata/name", "value": false},
        {"op": "move", "from": "/metadata/name", "path": "/kind/-"},
    ]);
    let deep = (0..63).fold(json!(1), |inner, _| json!({"a": inner}));
    let deeper = json!([
        {"op": "add", "path": "/metadata/x", "value": deep}, {"op": "copy", "from": "/metadata", "path": "/metadata/x/a"},
    ]);
    for path in
        [format!("{MAPS}/a"), format!("{SERVICES}/hello"), format!("{SERVICES}/hello/scale")]
    {
        for (what, patch) in [
            ("doubling", json!(doubling(40))),
            ("doubling often", json!(doubling(9_000))),
            ("too many", json!(many)),
            ("what cannot be undone", undone.clone()),
            ("deep", deeper.clone()),
        ] {
            let before = world.versions().await;
            let request = world.request(Method::PATCH, &path).body(patch.to_string());
            let request = request.header("content-type", "application/json-patch+json");
            let asked = tokio::time::timeout(super::WATCHDOG, world.ask(request)).await;
            let (status, refused) = asked.unwrap_or_else(|_| panic!("{what}: no answer"));
            assert!(
                matches!(status.as_u16(), 400 | 413 | 422),
                "{path}: {what}: {status} {refused}"
            );
            assert!(!crate::world::code(&refused).is_empty(), "{path}: {what}: {refused}");
            assert_eq!(world.versions().await, before, "{path}: {what}: something was written");
        }
    }
    world.end().await;
}

/// A table that cannot be made is refused before anything is done, not after.
#[tokio::test]
async fn an_answer_that_cannot_be_given() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    let one = format!("{MAPS}/a?includeObject=Everything");
    for (method, path) in [
        (Method::DELETE, one.clone()),
        (Method::PUT, one),
        (Method::POST, format!("{MAPS}?includeObject=x")),
    ] {
        let request = world.request(method.clone(), &path).json(&config_map("a", "2"));
        let request =
            if method == Method::DELETE { world.request(method.clone(), &path) } else { request };
        let request = request.header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
        world.refused(method.as_str(), request, refusal(400, "INVALID_PARAMETER")).await;
    }
    world.end().await;
}

/// A deletion between two deploys: whatever comes first, nothing is left that nobody asked for.
#[tokio::test]
async fn a_deletion_while_deploying() {
    let world = World::new();
    let one = format!("{SERVICES}/hello");
    for _ in 0..10 {
        assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
        let patch = json!({"spec": {"template": {"spec": {"timeoutSeconds": 7}}}});
        let nothing = json!({});
        let deploys = join_all((0..8).map(|_| world.merge(&one, &patch)));
        let (deploys, deleted) = tokio::join!(deploys, world.delete(&one, &nothing));
        assert!(matches!(deleted.0.as_u16(), 200 | 202 | 409), "{deleted:?}");
        assert!(deploys.iter().all(|(status, _)| matches!(status.as_u16(), 200 | 404 | 409)));
        if deleted.0 == 409 {
            assert_eq!(world.delete(&one, &nothing).await.0, 200);
        }
        assert_eq!(world.get(&one).await.0, 404, "a late deploy does not bring it back");
    }
    world.end().await;
}
