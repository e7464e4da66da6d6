//! Output of containers, Pods, and images.

use ebb_engine::Engine as _;
use ebb_model::engine::{ContainerSpec, InstanceSpec, RestartPolicy};
use ebb_model::image::{ImageConfig, RootFsLayout};
use ebb_model::{InstanceId, key};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, code};

pub(crate) const POD: &str = "/api/v1/namespaces/default/pods/hello-00001-0abcdefg";

/// Starts a simulated instance that writes, and shows its Pod.
pub(crate) async fn pod(world: &World) {
    let id = InstanceId::parse("01j0000000000000000abcdefg").unwrap();
    let name = id.pod_name("hello-00001");
    let rootfs = RootFsLayout { lowers: Vec::new(), config: ImageConfig::default() };
    let container = ContainerSpec {
        name: "user-container".to_owned(),
        rootfs,
        argv: vec!["/hello".to_owned()],
        env: vec![("SIM_STDOUT".to_owned(), "first line|second line".to_owned())],
        working_dir: "/".to_owned(),
        user: String::new(),
        port: Some(8080),
        limits: std::collections::BTreeMap::new(),
        read_only: false,
    };
    let spec = InstanceSpec {
        namespace: "default".to_owned(),
        name: name.clone(),
        init: Vec::new(),
        containers: vec![container],
        restart_policy: RestartPolicy::Never,
        runtime: "ebb".to_owned(),
        grace_ms: 1_000,
        start_timeout_ms: 10_000,
        labels: std::collections::BTreeMap::new(),
    };
    let mut events = world.engine.events(0).await.unwrap();
    world.engine.start(&id, spec).await.unwrap();
    // Started, then Ready: from then on there is output.
    events.recv().await.unwrap();
    events.recv().await.unwrap();
    let object = json!({
        "metadata": {"name": name, "namespace": "default",
            "uid": "00000000-0000-4000-8000-000000000001",
            "creationTimestamp": "2023-11-14T22:13:20Z"},
        "spec": {"containers": [{"name": "user-container", "image": "hello"}], "nodeName": "n"},
        "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "user-container", "ready": true, "restartCount": 0,
                "image": "hello", "imageID": "", "state": {"running": {}}}]},
    });
    world.put_stored(&world.live, &key::object("", "pods", "default", &name), &object).await;
    let mut instances = world.platform.instances.lock().unwrap();
    instances.insert(("default".to_owned(), name), (id, "user-container".to_owned()));
}

async fn log(world: &World, query: &str) -> (u16, String) {
    let response = world.request(Method::GET, &format!("{POD}/log{query}")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn logs_are_read() {
    let world = World::new();
    assert_eq!(log(&world, "").await.0, 404);
    pod(&world).await;
    let (status, text) = log(&world, "").await;
    assert_eq!(status, 200);
    assert!(text.ends_with('\n') && !text.is_empty(), "{text:?}");
    let lines = text.lines().count();
    let last = text.lines().last().unwrap();
    assert_eq!(log(&world, "?tailLines=1").await.1, format!("{last}\n"));
    assert_eq!(log(&world, "?tailLines=0").await.1, "");
    let stamped = log(&world, "?timestamps=true&tailLines=1").await.1;
    let (time, line) = stamped.trim_end().split_once(' ').unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(line, last);
    assert_eq!(log(&world, "?limitBytes=3").await.1, text[..3]);
    assert_eq!(log(&world, "?sinceSeconds=3600").await.1.lines().count(), lines);
    assert_eq!(log(&world, "?sinceTime=2100-01-01T00:00:00Z").await.1, "");
    let accepted = "?insecureSkipTLSVerifyBackend=true&container=user-container&stream=All";
    assert_eq!(log(&world, accepted).await, (200, text.clone()));
    assert_eq!(log(&world, "?stream=Stdout").await.1, text, "it writes to one output only");
    assert_eq!(log(&world, "?stream=Stderr").await, (200, String::new()));
    assert_eq!(log(&world, "?sinceTime=1969-01-01T00:00:00Z").await.1, text);
    for (bad, status, message) in [
        (
            "?previous=true",
            400,
            "previous terminated container \"user-container\" in pod \"hello-00001-0abcdefg\" not \
             found",
        ),
        ("?container=other", 400, "container other is not valid for pod hello-00001-0abcdefg"),
        ("?sinceTime=yesterday", 400, "is not an RFC 3339 time"),
        ("?tailLines=few", 400, "is not a whole number"),
        ("?follow=maybe", 400, "neither true nor false"),
        ("?insecureSkipTLSVerifyBackend=maybe", 400, "neither true nor false"),
        ("?stream=Other", 422, "stream: Unsupported value: \"Other\""),
        ("?stream=Stdout&tailLines=1", 422, "mutually exclusive"),
        (
            "?sinceSeconds=1&sinceTime=2100-01-01T00:00:00Z",
            422,
            "at most one of `sinceTime` or `sinceSeconds`",
        ),
        (
            "?tailLines=-1",
            422,
            "PodLogOptions \"hello-00001-0abcdefg\" is invalid: tailLines: Invalid value: -1: must \
             be greater than or equal to 0",
        ),
        ("?limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("?sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
    ] {
        let (got, refused) = log(&world, bad).await;
        assert_eq!(got, status, "{bad}: {refused}");
        let refused: Value = serde_json::from_str(&refused).unwrap();
        assert!(refused["message"].as_str().unwrap().contains(message), "{bad}: {refused}");
    }
    let follow = format!("{POD}/log?follow=true&tailLines=1");
    let mut response = world.request(Method::GET, &follow).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), format!("{last}\n"));
    world.shutdown.call();
    assert!(response.chunk().await.unwrap().is_none(), "the end of the door ends it");
    world.end().await;
}

#[tokio::test]
async fn a_deleted_pod_is_stopped_and_answered_as_a_pod() {
    let world = World::new();
    pod(&world).await;
    let (status, answered) = world.delete(POD, &json!({"gracePeriodSeconds": 5})).await;
    assert_eq!((status.as_u16(), &answered["kind"]), (200, &json!("Pod")));
    assert!(answered["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(*world.platform.stopped.lock().unwrap(), ["default/hello-00001-0abcdefg"]);
    assert_eq!(world.get(POD).await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn images_are_loaded_listed_and_removed() {
    const IMAGES: &str = "/apis/ebb.dev/v1/images";
    let world = World::new();
    let archive = vec![7u8; 5 << 20];
    let request = world.request(Method::POST, &format!("{IMAGES}/load?name=hello:1"));
    let request = request.header("content-type", "application/x-tar").body(archive);
    let (status, loaded) = world.ask(request).await;
    assert_eq!((status.as_u16(), &loaded["kind"]), (201, &json!("ImageList")));
    let image = &loaded["items"][0];
    assert_eq!(image["reference"], "docker.io/library/hello:1");
    assert_eq!(image["sizeBytes"], 5 << 20, "larger than other bodies may be");
    assert_eq!(world.get(IMAGES).await.1["items"].as_array().unwrap().len(), 1);
    let uploads = world.dir.path().join("api/uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0, "no upload is left");
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let request = world.request(Method::GET, IMAGES).header("accept", accept);
    let table: Value = world.ask(request).await.1;
    assert_eq!(table["rows"][0]["cells"][0], "docker.io/library/hello:1");
    let remove = |query: &str| world.request(Method::DELETE, &format!("{IMAGES}{query}"));
    assert_eq!(world.ask(remove("")).await.0, 400);
    assert_eq!(code(&world.ask(remove("?reference=UPPER")).await.1), "IMAGE_REFERENCE_INVALID");
    let (status, removed) = world.ask(remove("?reference=hello:1")).await;
    assert_eq!((status.as_u16(), &removed["freedBytes"]), (200, &json!(42)));
    let (status, missing) = world.ask(remove("?reference=hello:1")).await;
    assert_eq!((status.as_u16(), code(&missing)), (404, "IMAGE_NOT_FOUND"));

    // A digest alone means the image, whatever it is called.
    let request = world.request(Method::POST, &format!("{IMAGES}/load?name=hello:2"));
    let request = request.header("content-type", "application/x-tar").body(vec![7u8; 10]);
    let (_, loaded) = world.ask(request).await;
    let digest = loaded["items"][0]["digest"].as_str().unwrap();
    let (status, removed) = world.ask(remove(&format!("?reference={digest}"))).await;
    assert_eq!((status.as_u16(), &removed["details"]["name"]), (200, &json!(digest)));
    world.end().await;
}
