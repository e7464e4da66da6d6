//! Create, read, change and remove objects.

use ebb_model::key;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{MAPS, SECRETS, World, code, config_map};

#[tokio::test]
async fn an_object_lives_and_dies() {
    let world = World::new();
    let (status, made) = world.post(MAPS, &config_map("a", "1")).await;
    assert_eq!(status, 201, "{made}");
    let metadata = &made["metadata"];
    assert_eq!(metadata["namespace"], "default");
    assert!(metadata["uid"].is_string() && metadata["creationTimestamp"].is_string());
    assert!(metadata["resourceVersion"].is_string());
    let one = format!("{MAPS}/a");
    assert_eq!(world.get(&one).await, (200.try_into().unwrap(), made.clone()));

    let (status, taken) = world.post(MAPS, &config_map("a", "2")).await;
    assert_eq!((status.as_u16(), code(&taken)), (409, "ALREADY_EXISTS"));
    assert_eq!(taken["message"], "configmaps \"a\" already exists");

    let mut changed = made.clone();
    changed["data"]["key"] = json!("2");
    let (status, changed) = world.put(&one, &changed).await;
    assert_eq!((status.as_u16(), &changed["data"]["key"]), (200, &json!("2")));
    assert_eq!(changed["metadata"]["uid"], made["metadata"]["uid"]);
    assert_ne!(changed["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);

    let (status, stale) = world.put(&one, &made).await;
    assert_eq!((status.as_u16(), code(&stale)), (409, "CONFLICT"));

    let (_, same) = world.put(&one, &config_map("a", "2")).await;
    let (_, again) = world.put(&one, &config_map("a", "2")).await;
    assert_eq!(same, again, "a change that changes nothing writes nothing");

    let (status, patched) = world.merge(&one, &json!({"data": {"key": null, "b": "3"}})).await;
    assert_eq!((status.as_u16(), &patched["data"]), (200, &json!({"b": "3"})));

    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1",
        "preconditions": {"uid": "another"}});
    assert_eq!(world.delete(&one, &options).await.0, 409);
    let (status, gone) = world.delete(&one, &json!({"propagationPolicy": "Background"})).await;
    assert_eq!((status.as_u16(), &gone["status"]), (200, &json!("Success")));
    let (status, missing) = world.get(&one).await;
    assert_eq!((status.as_u16(), code(&missing)), (404, "NOT_FOUND"));
    assert_eq!(missing["message"], "configmaps \"a\" not found");
    assert_eq!(world.delete(&one, &json!({})).await.0, 404);
    assert_eq!(world.put(&one, &config_map("a", "1")).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn secrets_are_sealed_and_string_data_becomes_data() {
    let world = World::new();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "stringData": {"a": "text"}, "data": {"b": "AAE="},
    });
    let (status, made) = world.post(SECRETS, &secret).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["data"], json!({"a": "dGV4dA==", "b": "AAE="}));
    assert_eq!((&made["type"], &made["stringData"]), (&json!("Opaque"), &Value::Null));
    let record = world.store.get(&key::object("", "secrets", "default", "s")).await.unwrap();
    assert!(record.unwrap().value.sealed);
    let map = world.post(MAPS, &config_map("m", "1")).await;
    assert_eq!(map.0, 201);
    let record = world.store.get(&key::object("", "configmaps", "default", "m")).await.unwrap();
    let record = record.unwrap();
    assert!(!record.value.sealed);
    let stored: Value = serde_json::from_slice(&record.value.data).unwrap();
    assert_eq!(stored["metadata"]["resourceVersion"], Value::Null);
    assert_eq!(stored["kind"], "ConfigMap");

    let patch = json!({"type": "other"});
    let (status, refused) = world.merge(&format!("{SECRETS}/s"), &patch).await;
    assert_eq!((status.as_u16(), code(&refused)), (422, "IMMUTABLE_FIELD"));
    let bad = json!({"data": {"a": "not base64!"}});
    let (status, refused) = world.merge(&format!("{SECRETS}/s"), &bad).await;
    assert_eq!((status.as_u16(), code(&refused)), (400, "INVALID_VALUE"));
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("data.a cannot be read: it is not base64: wrong offset 3"),
        "{message}"
    );
    world.end().await;
}

#[tokio::test]
async fn names_are_made_and_checked() {
    let world = World::new();
    let generated = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"generateName": "a-"}});
    let (status, made) = world.post(MAPS, &generated).await;
    assert_eq!(status, 201);
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("a-") && name.len() == 7, "{name}");
    let long = json!({"metadata": {"generateName": "b".repeat(250)}});
    let (status, made) = world.post(MAPS, &long).await;
    assert_eq!(status, 201);
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("bbb") && name.len() == 63, "{name}");
    for name in ["..", "A", "a_b", "-a", "", "ä", &"a".repeat(300)] {
        let (status, refused) = world.post(MAPS, &config_map(name, "1")).await;
        assert_eq!((status.as_u16(), code(&refused)), (422, "INVALID_NAME"), "{name}");
    }
    let mut elsewhere = config_map("a", "1");
    elsewhere["metadata"]["namespace"] = json!("other");
    assert_eq!(code(&world.post(MAPS, &elsewhere).await.1), "NAMESPACE_MISMATCH");
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    let renamed = world.put(&format!("{MAPS}/a"), &config_map("b", "1")).await;
    assert_eq!(code(&renamed.1), "NAME_MISMATCH");
    let (status, missing) =
        world.post("/api/v1/namespaces/none/configmaps", &config_map("a", "1")).await;
    assert_eq!(status, 404);
    assert_eq!(missing["message"], "namespaces \"none\" not found");
    let wrong_kind = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
    assert_eq!(code(&world.post(MAPS, &wrong_kind).await.1), "UNSUPPORTED_VERSION");
    world.end().await;
}

#[tokio::test]
async fn unknown_and_duplicate_fields() {
    let world = World::new();
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","nope":1},
        "data":{"k":"1","k":"2"},"dta":{}}"#;
    let ask = |query: &str| {
        let request = world.request(Method::POST, &format!("{MAPS}?dryRun=All&{query}"));
        request.header("content-type", "application/json").body(body).send()
    };
    let strict = ask("fieldValidation=Strict").await.unwrap();
    assert_eq!(strict.status(), 400);
    let status: Value = strict.json().await.unwrap();
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("strict decoding error: unknown field \"dta\""), "{message}");
    assert!(message.contains("duplicate field \"data.k\""), "{message}");
    assert_eq!(code(&status), "UNKNOWN_FIELD");
    let warned = ask("fieldValidation=Warn").await.unwrap();
    assert_eq!(warned.status(), 201);
    let warnings: Vec<_> =
        warned.headers().get_all("warning").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings.contains(&"299 - \"unknown field \\\"dta\\\"\""), "{warnings:?}");
    let ignored = ask("fieldValidation=Ignore").await.unwrap();
    assert_eq!(ignored.status(), 201);
    assert!(ignored.headers().get("warning").is_none());
    let made: Value = ignored.json().await.unwrap();
    assert_eq!((&made["dta"], &made["data"]["k"]), (&Value::Null, &json!("2")));
    assert_eq!(ask("fieldValidation=Other").await.unwrap().status(), 400);
    assert_eq!(world.get(&format!("{MAPS}/a")).await.0, 404, "dryRun writes nothing");
    world.end().await;
}

#[tokio::test]
async fn forms_of_bodies() {
    let world = World::new();
    let send = |content_type: &'static str, body: &'static str| {
        let request = world.request(Method::POST, MAPS).body(body);
        world.ask(request.header("content-type", content_type))
    };
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata:\n  a: \"1\"\n";
    assert_eq!(send("application/yaml", yaml).await.0, 201);
    let (status, refused) = send("text/plain", "k8s").await;
    assert_eq!((status.as_u16(), code(&refused)), (415, "UNSUPPORTED_MEDIA_TYPE"));
    let one = format!("{MAPS}/y");
    let request = world.request(Method::GET, &one);
    let request = request.header("accept", "application/vnd.kubernetes.protobuf,application/json");
    assert_eq!(world.ask(request).await.1["kind"], "ConfigMap");
    world.end().await;
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let world = World::new();
    let mut held = config_map("f", "1");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(world.post(MAPS, &held).await.0, 201);
    let one = format!("{MAPS}/f");
    let (status, marked) = world.delete(&one, &json!({})).await;
    assert_eq!(status, 200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(world.get(&one).await.0, 200);
    let add = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    assert_eq!(code(&world.merge(&one, &add).await.1), "FORBIDDEN_FIELD");
    let released = world.merge(&one, &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(released.0, 200);
    assert_eq!(world.get(&one).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn parallel_patches_all_count() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("p", "1")).await.0, 201);
    let one = format!("{MAPS}/p");
    let patches = (0..6).map(|n| {
        let (world, one) = (&world, &one);
        async move { world.merge(one, &json!({"data": {format!("k{n}"): "v"}})).await.0 }
    });
    for status in futures_util::future::join_all(patches).await {
        assert_eq!(status, 200);
    }
    let (_, object) = world.get(&one).await;
    assert_eq!(object["data"].as_object().unwrap().len(), 7, "{object}");
    world.end().await;
}

#[tokio::test]
async fn an_answer_is_yaml_for_those_who_ask_and_nothing_for_those_who_take_neither() {
    let world = World::new();
    let mut map = config_map("a", "1");
    map["data"]["on"] = json!("yes");
    assert_eq!(world.post(MAPS, &map).await.0, 201);
    let ask = async |path: &str, accept: &str| {
        let request = world.request(Method::GET, path).header("accept", accept);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let type_ = headers["content-type"].to_str().unwrap().to_owned();
        (status, type_, response.text().await.unwrap())
    };
    let one = format!("{MAPS}/a");
    for (path, want) in [(one.clone(), 200), (MAPS.to_owned(), 200), (format!("{MAPS}/b"), 404)] {
        let (status, type_, text) = ask(&path, "application/yaml").await;
        assert_eq!((status, type_.as_str()), (want, "application/yaml"), "{text}");
        let read: Value = serde_yaml_ng::from_str(&text).unwrap();
        assert_eq!(read, world.get(&path).await.1, "{text}");
    }
    let watch = format!("{MAPS}?watch=1");
    for (path, accept) in [(&one, "text/plain"), (&watch, "application/yaml")] {
        let (status, _, text) = ask(path, accept).await;
        let said: Value = serde_yaml_ng::from_str(&text).unwrap();
        assert_eq!((status, code(&said)), (406, "NOT_ACCEPTABLE"), "{text}");
        assert_eq!(said["reason"], "NotAcceptable");
    }
    let request = world.request(Method::DELETE, &one).header("accept", "text/plain");
    assert_eq!(world.ask(request).await.0, 406);
    assert_eq!(world.get(&one).await.0, 200, "nothing was done");
    world.end().await;
}

#[tokio::test]
async fn health_is_a_word_or_a_line_for_each_check() {
    let world = World::new();
    for path in ["healthz", "livez", "readyz"] {
        for (query, want) in [
            ("", "ok".to_owned()),
            ("/ping", "ok".to_owned()),
            ("?verbose", format!("[+]ping ok\n{path} check passed\n")),
        ] {
            let request = world.request(Method::GET, &format!("/{path}{query}"));
            let response = request.header("accept", "text/plain").send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.text().await.unwrap(), want, "{path}{query}");
        }
        assert_eq!(world.get(&format!("/{path}/other")).await.0, 404);
    }
    world.end().await;
}
