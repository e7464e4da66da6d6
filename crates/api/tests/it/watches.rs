//! Watches: resume, selection, bookmarks, and their end.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::world::{MAPS, World, code, config_map};

/// Reads one event after the other from an answer.
struct Events {
    response: Response,
    rest: Vec<u8>,
}

impl Events {
    async fn open(world: &World, query: &str) -> Self {
        Self::open_as(world, query, "application/json").await
    }

    async fn open_as(world: &World, query: &str, accept: &str) -> Self {
        let request = world.request(Method::GET, &format!("{MAPS}?watch=true&{query}"));
        let response = request.header("accept", accept).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, rest: Vec::new() }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk());
            self.rest.extend_from_slice(&chunk.await.expect("an event in time").ok()??);
        }
    }

    /// Type, name and label of the next event.
    async fn brief(&mut self) -> String {
        let event = self.next().await.expect("an event");
        let metadata = &event["object"]["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {}",
            text(&event["type"]),
            text(&metadata["name"]),
            text(&metadata["labels"]["app"])
        )
    }
}

async fn label(world: &World, name: &str, app: &str) {
    let patch = json!({"metadata": {"labels": {"app": app}}});
    assert_eq!(world.merge(&format!("{MAPS}/{name}"), &patch).await.0, 200);
}

#[tokio::test]
async fn a_watch_starts_with_what_is_there_and_resumes() {
    let world = World::new();
    let (_, first) = world.post(MAPS, &config_map("a", "1")).await;
    let mut all = Events::open(&world, "").await;
    assert_eq!(all.brief().await, "ADDED a 1");
    label(&world, "a", "2").await;
    assert_eq!(all.brief().await, "MODIFIED a 2");
    assert_eq!(world.delete(&format!("{MAPS}/a"), &json!({})).await.0, 200);
    let gone = all.next().await.unwrap();
    assert_eq!((&gone["type"], &gone["object"]["kind"]), (&json!("DELETED"), &json!("ConfigMap")));
    let version = |object: &Value| -> u64 {
        object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    };
    let mut resumed = Events::open(&world, &format!("resourceVersion={}", version(&first))).await;
    assert_eq!(resumed.brief().await, "MODIFIED a 2");
    let again = resumed.next().await.unwrap();
    assert_eq!(version(&again["object"]), version(&gone["object"]));
    assert!(version(&again["object"]) > version(&first));
    world.end().await;
}

#[tokio::test]
async fn a_selector_turns_changes_into_coming_and_going() {
    let world = World::new();
    let mut events = Events::open(&world, "labelSelector=app%3Din").await;
    let mut one = Events::open(&world, "fieldSelector=metadata.name%3Da2").await;
    assert_eq!(world.post(MAPS, &config_map("a", "out")).await.0, 201);
    assert_eq!(world.post(MAPS, &config_map("a2", "out")).await.0, 201);
    label(&world, "a", "in").await;
    assert_eq!(events.brief().await, "ADDED a in");
    assert_eq!(one.brief().await, "ADDED a2 out");
    let patch = json!({"data": {"key": "x"}});
    assert_eq!(world.merge(&format!("{MAPS}/a"), &patch).await.0, 200);
    assert_eq!(events.brief().await, "MODIFIED a in");
    label(&world, "a", "out").await;
    assert_eq!(events.brief().await, "DELETED a in");
    label(&world, "a", "other").await;
    label(&world, "a2", "in").await;
    assert_eq!(events.brief().await, "ADDED a2 in");
    assert_eq!(one.brief().await, "MODIFIED a2 in");
    world.end().await;
}

#[tokio::test]
async fn too_old_is_said_as_an_event() {
    let world = World::new();
    let mut events = Events::open(&world, "resourceVersion=1").await;
    let error = events.next().await.unwrap();
    assert_eq!(error["type"], "ERROR");
    assert_eq!(
        (&error["object"]["code"], &error["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert_eq!(code(&error["object"]), "VERSION_TOO_OLD");
    assert!(events.next().await.is_none());
    world.end().await;
}

#[tokio::test]
async fn a_watch_ends_in_time_and_at_shutdown() {
    let world = World::new();
    let mut short = Events::open(&world, "timeoutSeconds=1&allowWatchBookmarks=true").await;
    assert!(short.next().await.is_none());
    let mut long = Events::open(&world, "").await;
    world.shutdown.call();
    assert!(long.next().await.is_none());
    world.end().await;
}

#[tokio::test]
async fn a_watch_as_table_sends_its_columns_once() {
    let world = World::new();
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut events = Events::open_as(&world, "", accept).await;
    for name in ["a", "b"] {
        assert_eq!(world.post(MAPS, &config_map(name, "1")).await.0, 201);
    }
    let (first, second) = (events.next().await.unwrap(), events.next().await.unwrap());
    assert_eq!(first["object"]["kind"], "Table");
    assert_eq!(first["object"]["columnDefinitions"].as_array().unwrap().len(), 3);
    assert_eq!(second["object"]["columnDefinitions"], json!([]));
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
    world.end().await;
}
