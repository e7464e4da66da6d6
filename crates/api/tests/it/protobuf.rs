//! Protobuf bodies, as captured from kubectl 1.32, at the door.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::world::{World, code};

macro_rules! captured {
    ($name:literal) => {
        include_bytes!(concat!("captured/protobuf/", $name, ".bin")).to_vec()
    };
}

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const STRICT: &str = "fieldManager=kubectl-create&fieldValidation=Strict";
const DEFAULT: &str = "/api/v1/namespaces/default";

async fn send(world: &World, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let request = world.request(method, path).header("content-type", PROTOBUF);
    world.ask(request.header("accept", format!("{PROTOBUF},application/json")).body(body)).await
}

#[tokio::test]
async fn kubectl_create_makes_what_json_would_make() {
    let world = World::new();
    let secrets = format!("{DEFAULT}/secrets?{STRICT}");
    let body = captured!("create-secret-generic");
    let (status, made) = send(&world, Method::POST, &secrets, body.clone()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!((&made["kind"], &made["type"]), (&"Secret".into(), &"Opaque".into()));
    assert_eq!(made["data"]["blob.bin"], "AP8BYmluYXJ5");
    let (status, again) = send(&world, Method::POST, &secrets, body.clone()).await;
    assert_eq!((status, code(&again)), (StatusCode::CONFLICT, "ALREADY_EXISTS"));
    // An update has the same body.
    let (status, same) = send(&world, Method::PUT, &format!("{DEFAULT}/secrets/keys"), body).await;
    assert_eq!(status, 200, "{same}");
    assert_eq!(same["metadata"]["uid"], made["metadata"]["uid"]);

    let maps = format!("{DEFAULT}/configmaps?{STRICT}&dryRun=All");
    let (status, tried) = send(&world, Method::POST, &maps, captured!("create-configmap")).await;
    assert_eq!((status, &tried["data"]["b"]), (StatusCode::CREATED, &"two words".into()));
    let (status, _) = world.get(&format!("{DEFAULT}/configmaps/settings")).await;
    assert_eq!(status, 404, "it was a dry run");

    let namespaces = format!("/api/v1/namespaces?{STRICT}");
    let (status, made) =
        send(&world, Method::POST, &namespaces, captured!("create-namespace")).await;
    assert_eq!((status, &made["status"]["phase"]), (StatusCode::CREATED, &"Active".into()));
    world.end().await;
}

#[tokio::test]
async fn bodies_that_do_not_belong_are_refused() {
    let world = World::new();
    let secrets = format!("{DEFAULT}/secrets");
    let services = "/apis/serving.knative.dev/v1/namespaces/default/services";
    let keys = captured!("create-secret-generic");
    for (path, body, want) in [
        (secrets.as_str(), b"{}".to_vec(), (400, "INVALID_PROTOBUF")),
        (secrets.as_str(), keys[..40].to_vec(), (400, "INVALID_PROTOBUF")),
        (secrets.as_str(), captured!("create-configmap"), (400, "UNSUPPORTED_VERSION")),
        (services, keys.clone(), (415, "UNSUPPORTED_MEDIA_TYPE")),
    ] {
        let (status, answer) = send(&world, Method::POST, path, body).await;
        assert_eq!((status.as_u16(), code(&answer)), want, "{path}");
    }
    let (status, list) = world.get(&secrets).await;
    assert_eq!((status, list["items"].as_array().map(Vec::len)), (StatusCode::OK, Some(0)));
    world.end().await;
}
