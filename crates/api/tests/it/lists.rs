//! Lists: selectors, pages of one version, tables.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{MAPS, SECRETS, World, code, config_map};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn selectors_select() {
    let world = World::new();
    for (name, app) in [("a", "x"), ("b", "y"), ("b2", "z")] {
        assert_eq!(world.post(MAPS, &config_map(name, app)).await.0, 201);
    }
    for (query, want) in [
        ("", vec!["a", "b", "b2"]),
        ("?labelSelector=app%3Dx", vec!["a"]),
        ("?labelSelector=app%20in%20(y,z)", vec!["b", "b2"]),
        ("?labelSelector=app%20notin%20(y),app", vec!["a", "b2"]),
        ("?labelSelector=!app", vec![]),
        ("?fieldSelector=metadata.name%3Db", vec!["b"]),
        ("?fieldSelector=metadata.name!%3Db,metadata.namespace%3Ddefault", vec!["a", "b2"]),
        ("?fieldSelector=metadata.name%3Dnone", vec![]),
    ] {
        let (status, list) = world.get(&format!("{MAPS}{query}")).await;
        assert_eq!(status, 200, "{query}: {list}");
        assert_eq!(names(&list), want, "{query}");
        assert_eq!(list["kind"], "ConfigMapList");
    }
    let everywhere = world.get("/api/v1/configmaps?fieldSelector=metadata.name%3Db").await.1;
    assert_eq!(names(&everywhere), ["b"]);
    for bad in ["labelSelector=a%20in", "fieldSelector=data.key%3Dx"] {
        let (status, refused) = world.get(&format!("{MAPS}?{bad}")).await;
        assert_eq!((status.as_u16(), code(&refused)), (400, "INVALID_SELECTOR"));
    }
    world.end().await;
}

#[tokio::test]
async fn pages_show_one_version_while_others_write() {
    let world = World::new();
    for n in 0..10 {
        assert_eq!(world.post(MAPS, &config_map(&format!("m{n}"), "old")).await.0, 201);
    }
    let (_, first) = world.get(&format!("{MAPS}?limit=4")).await;
    assert_eq!(names(&first).len(), 4);
    for n in 4..8 {
        let one = format!("{MAPS}/m{n}");
        assert_eq!(world.merge(&one, &json!({"data": {"key": "new"}})).await.0, 200);
    }
    assert_eq!(world.delete(&format!("{MAPS}/m9"), &json!({})).await.0, 200);
    assert_eq!(world.post(MAPS, &config_map("m5a", "new")).await.0, 201);
    let mut all: Vec<Value> = first["items"].as_array().unwrap().clone();
    let mut next = first["metadata"]["continue"].as_str().map(str::to_owned);
    while let Some(token) = next {
        let (status, page) = world.get(&format!("{MAPS}?limit=4&continue={token}")).await;
        assert_eq!(status, 200, "{page}");
        let version = &page["metadata"]["resourceVersion"];
        assert_eq!(version, &first["metadata"]["resourceVersion"]);
        all.extend(page["items"].as_array().unwrap().clone());
        next = page["metadata"]["continue"].as_str().map(str::to_owned);
    }
    assert_eq!(all.len(), 10);
    assert!(all.iter().all(|item| item["data"]["key"] == "old"));
    let token = first["metadata"]["continue"].as_str().unwrap();
    for (path, token) in [(SECRETS, token), (MAPS, "forged"), (MAPS, "e30")] {
        let (status, refused) = world.get(&format!("{path}?limit=4&continue={token}")).await;
        assert_eq!((status.as_u16(), code(&refused)), (400, "INVALID_CONTINUE"));
    }
    world.end().await;
}

#[tokio::test]
async fn a_list_is_never_older_than_what_the_client_saw() {
    let world = World::new();
    let (_, list) = world.get(MAPS).await;
    let version: u64 = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.get(&format!("{MAPS}?resourceVersion={version}")).await.0, 200);
    assert_eq!(world.get(&format!("{MAPS}?resourceVersion=0")).await.0, 200);
    let ahead = format!("{MAPS}?resourceVersion={}", version + 1_000_000_000);
    assert_eq!(world.get(&ahead).await.0, 504);
    assert_eq!(world.get(&format!("{MAPS}?resourceVersion=x")).await.0, 400);
    let exact = format!("{MAPS}?resourceVersion=1&resourceVersionMatch=Exact");
    let (status, gone) = world.get(&exact).await;
    assert_eq!((status.as_u16(), &gone["reason"]), (410, &json!("Expired")));
    world.end().await;
}

#[tokio::test]
async fn tables_have_columns_and_rows() {
    let world = World::new();
    let mut made = config_map("a", "x");
    made["binaryData"] = json!({"blob": "AA=="});
    assert_eq!(world.post(MAPS, &made).await.0, 201);
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let request = world.request(Method::GET, MAPS).header("accept", accept);
    let (_, table) = world.ask(request).await;
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["cells"][1], 2);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "a");
    let request = world.request(Method::GET, &format!("{MAPS}/a?includeObject=None"));
    let (_, table) = world.ask(request.header("accept", accept)).await;
    assert_eq!(table["rows"].as_array().unwrap().len(), 1);
    assert_eq!(table["rows"][0]["object"], Value::Null);
    world.end().await;
}
