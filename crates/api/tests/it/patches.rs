//! Changing parts of objects: the four forms of a patch, and what they share.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{MAPS, SERVICES, World, code, config_map, service};

const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

async fn patch(world: &World, path: &str, form: &str, body: &Value) -> (StatusCode, Value) {
    let request = world.request(Method::PATCH, path).header("content-type", form);
    world.ask(request.body(body.to_string())).await
}

#[tokio::test]
async fn json_patch() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    let one = format!("{MAPS}/a");
    let change = json!([
        {"op": "test", "path": "/data/key", "value": "1"},
        {"op": "add", "path": "/data/b", "value": "2"},
        {"op": "replace", "path": "/metadata/labels/app", "value": "x"},
        {"op": "copy", "from": "/data/b", "path": "/data/c"},
        {"op": "remove", "path": "/data/key"},
    ]);
    let (status, changed) = patch(&world, &one, JSON, &change).await;
    assert_eq!((status.as_u16(), &changed["data"]), (200, &json!({"b": "2", "c": "2"})));
    assert_eq!(changed["metadata"]["labels"]["app"], "x");
    let (status, failed) = patch(&world, &one, JSON, &change).await;
    assert_eq!((status.as_u16(), code(&failed)), (422, "PATCH_FAILED"));
    assert_eq!(failed["reason"], "Invalid");
    assert_eq!(world.get(&one).await.1, changed, "all or nothing");
    for (bad, status, why) in [
        (json!({"op": "add"}), 400, "INVALID_PATCH"),
        (json!([{"op": "grow", "path": "/data"}]), 400, "INVALID_PATCH"),
        (json!([{"op": "remove", "path": "/data/none"}]), 422, "PATCH_FAILED"),
        (json!([{"op": "add", "path": "/data/x", "value": 1}]), 400, "INVALID_VALUE"),
        (json!([{"op": "replace", "path": "", "value": 1}]), 400, "INVALID_JSON"),
        (json!([{"op": "remove", "path": "/metadata"}]), 200, ""),
        (json!([{"op": "replace", "path": "/metadata/name", "value": "b"}]), 400, "NAME_MISMATCH"),
        (json!([{"op": "replace", "path": "/metadata/uid", "value": "b"}]), 409, "CONFLICT"),
        (
            json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}]),
            409,
            "CONFLICT",
        ),
        (json!([{"op": "replace", "path": "/kind", "value": "Pod"}]), 400, "UNSUPPORTED_VERSION"),
    ] {
        let (got, answer) = patch(&world, &one, JSON, &bad).await;
        assert_eq!((got.as_u16(), code(&answer)), (status, why), "{bad}: {answer}");
    }
    assert_eq!(patch(&world, &format!("{MAPS}/none"), JSON, &json!([])).await.0, 404);
    let bomb =
        vec![json!({"op": "copy", "from": "/data", "path": "/metadata/annotations"}); 10_001];
    let (status, refused) = patch(&world, &one, JSON, &Value::Array(bomb)).await;
    assert_eq!((status.as_u16(), code(&refused)), (413, "PATCH_TOO_LARGE"));
    let strict = format!("{one}?fieldValidation=Strict");
    let unknown = json!([{"op": "add", "path": "/dta", "value": {}}]);
    let (status, refused) = patch(&world, &strict, JSON, &unknown).await;
    assert_eq!((status.as_u16(), code(&refused)), (400, "UNKNOWN_FIELD"));
    let member = json!([{"op": "remove", "path": "/data", "form": "x"}]);
    let (status, refused) = patch(&world, &strict, JSON, &member).await;
    assert_eq!((status.as_u16(), code(&refused)), (400, "UNKNOWN_FIELD"));
    world.end().await;
}

#[tokio::test]
async fn strategic_merge_patch() {
    let world = World::new();
    let owner = |uid: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": format!("o{uid}"), "uid": uid});
    let mut object = config_map("a", "1");
    object["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    object["metadata"]["ownerReferences"] = json!([owner("1")]);
    assert_eq!(world.post(MAPS, &object).await.0, 201);
    let one = format!("{MAPS}/a");
    let change = json!({
        "data": {"b": "2"},
        "metadata": {
            "finalizers": ["example.com/c"],
            "$setElementOrder/finalizers": ["example.com/a", "example.com/b", "example.com/c"],
            "ownerReferences": [owner("2"), {"uid": "1", "blockOwnerDeletion": true}],
        },
    });
    let (status, changed) = patch(&world, &one, STRATEGIC, &change).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["data"], json!({"key": "1", "b": "2"}));
    let finalizers = json!(["example.com/a", "example.com/b", "example.com/c"]);
    assert_eq!(changed["metadata"]["finalizers"], finalizers);
    let owners = changed["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!(owners.len(), 2);
    assert_eq!(
        (&owners[1]["name"], &owners[1]["blockOwnerDeletion"]),
        (&json!("o1"), &json!(true))
    );
    let change = json!({
        "data": {"$patch": "replace", "c": "3"},
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["example.com/b"],
            "ownerReferences": [{"$patch": "delete", "uid": "1"}],
        },
    });
    let (_, changed) = patch(&world, &one, STRATEGIC, &change).await;
    assert_eq!(changed["data"], json!({"c": "3"}));
    assert_eq!(changed["metadata"]["finalizers"], json!(["example.com/a", "example.com/c"]));
    assert_eq!(changed["metadata"]["ownerReferences"], json!([owner("2")]));
    let retain = json!({"data": {"$retainKeys": ["d"], "d": "4"}});
    assert_eq!(patch(&world, &one, STRATEGIC, &retain).await.1["data"], json!({"d": "4"}));
    let (status, refused) = patch(&world, &one, STRATEGIC, &json!({"$patch": "grow"})).await;
    assert_eq!((status.as_u16(), code(&refused)), (400, "INVALID_PATCH"));

    // As in Kubernetes, where it is a custom resource.
    assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
    let hello = format!("{SERVICES}/hello");
    let (status, refused) = patch(&world, &hello, STRATEGIC, &json!({})).await;
    assert_eq!((status.as_u16(), code(&refused)), (415, "UNSUPPORTED_MEDIA_TYPE"));
    world.end().await;
}

#[tokio::test]
async fn what_every_form_shares() {
    let world = World::new();
    let (_, made) = world.post(MAPS, &config_map("a", "1")).await;
    let one = format!("{MAPS}/a");
    for (form, nothing) in [
        (MERGE, json!({"data": {"key": "1"}})),
        (STRATEGIC, json!({"data": {"key": "1"}})),
        (JSON, json!([{"op": "replace", "path": "/data/key", "value": "1"}])),
    ] {
        let (status, same) = patch(&world, &one, form, &nothing).await;
        assert_eq!((status.as_u16(), &same), (200, &made), "{form}");
    }
    for (form, change) in [
        (MERGE, json!({"data": {"key": "2"}})),
        (STRATEGIC, json!({"data": {"key": "2"}})),
        (JSON, json!([{"op": "replace", "path": "/data/key", "value": "2"}])),
    ] {
        let (status, tried) = patch(&world, &format!("{one}?dryRun=All"), form, &change).await;
        assert_eq!((status.as_u16(), &tried["data"]["key"]), (200, &json!("2")), "{form}");
        assert_eq!(world.get(&one).await.1, made, "{form}");
        let forced = patch(&world, &format!("{one}?force=true"), form, &change).await;
        assert_eq!((forced.0.as_u16(), code(&forced.1)), (422, "INVALID_PARAMETER"), "{form}");
    }
    let unknown = json!({"dta": {}});
    let (status, refused) =
        patch(&world, &format!("{one}?fieldValidation=Strict"), MERGE, &unknown).await;
    assert_eq!((status.as_u16(), code(&refused)), (400, "UNKNOWN_FIELD"));
    assert!(refused["message"].as_str().unwrap().contains("strict decoding error"), "{refused}");
    let request = world.request(Method::PATCH, &one).header("content-type", MERGE);
    let warned = request.body(unknown.to_string()).send().await.unwrap();
    assert_eq!(warned.status(), 200);
    assert_eq!(warned.headers()["warning"], "299 - \"unknown field \\\"dta\\\"\"");
    let (status, refused) = patch(&world, &one, "text/plain", &unknown).await;
    assert_eq!((status.as_u16(), code(&refused)), (415, "UNSUPPORTED_MEDIA_TYPE"));
    world.end().await;
}
