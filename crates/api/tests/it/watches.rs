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
    let mut short = Events::open(&world, "timeoutSeconds=1").await;
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

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_list_can_be_streamed() {
    let world = World::new();
    for name in ["a", "b"] {
        assert_eq!(world.post(MAPS, &config_map(name, "1")).await.0, 201);
    }
    let stream =
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = Events::open(&world, stream).await;
    assert_eq!(events.brief().await, "ADDED a 1");
    assert_eq!(events.brief().await, "ADDED b 1");
    let end = events.next().await.unwrap();
    assert_eq!((&end["type"], &end["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    assert_eq!(
        end["object"]["metadata"]["annotations"],
        json!({"k8s.io/initial-events-end": "true"})
    );
    let (_, list) = world.get(MAPS).await;
    assert_eq!(version(&end["object"]), version(&list));
    label(&world, "a", "2").await;
    assert_eq!(events.brief().await, "MODIFIED a 2");

    let from = version(&end["object"]);
    let mut again = Events::open(&world, &format!("{stream}&resourceVersion={from}")).await;
    assert_eq!(again.brief().await, "ADDED a 2");
    let quiet = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut quiet = Events::open(&world, quiet).await;
    let late = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let mut late = Events::open(&world, late).await;
    let since =
        format!("resourceVersion={from}&resourceVersionMatch=NotOlderThan&sendInitialEvents=false");
    let mut since = Events::open(&world, &since).await;
    assert_eq!(since.brief().await, "MODIFIED a 2");
    label(&world, "b", "3").await;
    for want in ["ADDED a 2", "ADDED b 1", "MODIFIED b 3"] {
        assert_eq!(quiet.brief().await, want);
    }
    assert_eq!(late.brief().await, "MODIFIED b 3");
    assert_eq!(since.brief().await, "MODIFIED b 3");
    world.end().await;
}

#[tokio::test]
async fn options_that_do_not_go_together_are_refused() {
    let world = World::new();
    for (query, status) in [
        ("sendInitialEvents=true", 422),
        ("resourceVersionMatch=NotOlderThan&resourceVersion=1", 422),
        ("sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1", 422),
        ("sendInitialEvents=maybe&resourceVersionMatch=NotOlderThan", 400),
        ("resourceVersion=x", 400),
        ("timeoutSeconds=-1", 400),
        ("allowWatchBookmarks=maybe", 400),
        ("labelSelector=a%20in", 400),
        (
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=9000000000000000000",
            504,
        ),
    ] {
        let (got, refused) = world.get(&format!("{MAPS}?watch=true&{query}")).await;
        assert_eq!(got, status, "{query}: {refused}");
        assert_eq!(refused["kind"], "Status");
    }
    assert_eq!(world.get("/api/v1/watch/configmaps").await.0, 404);
    world.end().await;
}

#[tokio::test]
async fn bookmarks_tell_of_all_that_was_seen_though_nothing_was_to_be_shown() {
    let world = World::new();
    let (_, first) = world.post(MAPS, &config_map("a", "1")).await;
    let from = version(&first);
    let query = |from: u64| {
        format!(
            "labelSelector=app%3Dother&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={from}"
        )
    };
    let mut events = Events::open(&world, &query(from)).await;
    // One of the same kind that is not selected, and one of another kind.
    let (_, second) = world.post(MAPS, &config_map("b", "1")).await;
    let secret = json!({"metadata": {"name": "s"}});
    let (_, third) = world.post("/api/v1/namespaces/default/secrets", &secret).await;
    assert!(version(&third) > version(&second));
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    let reached = version(&bookmark["object"]);
    assert!(reached >= version(&third), "{reached}");
    assert!(events.next().await.is_none(), "then it ends");
    label(&world, "a", "other").await;
    label(&world, "b", "other").await;
    let mut resumed = Events::open(&world, &query(reached)).await;
    assert_eq!(resumed.brief().await, "ADDED a other");
    assert_eq!(resumed.brief().await, "ADDED b other");
    world.end().await;
}

#[tokio::test]
async fn one_name_is_watched_and_not_what_begins_like_it() {
    let world = World::new();
    for name in ["a", "a-1"] {
        assert_eq!(world.post(MAPS, &config_map(name, "1")).await.0, 201);
    }
    let path = format!("{MAPS}/a?watch=true");
    let response = world.request(Method::GET, &path).send().await.unwrap();
    let mut by_path = Events { response, rest: Vec::new() };
    let mut by_field = Events::open(&world, "fieldSelector=metadata.name%3Da").await;
    let mut not_it =
        Events::open(&world, "fieldSelector=metadata.name!%3Da&resourceVersion=0").await;
    for name in ["a-1", "a"] {
        label(&world, name, "2").await;
    }
    for events in [&mut by_path, &mut by_field] {
        assert_eq!(events.brief().await, "ADDED a 1");
        assert_eq!(events.brief().await, "MODIFIED a 2");
    }
    assert_eq!(not_it.brief().await, "ADDED a-1 1");
    assert_eq!(not_it.brief().await, "MODIFIED a-1 2");
    world.end().await;
}

/// Many watchers of different sorts, some from the middle, each see exactly what is theirs.
#[tokio::test]
async fn many_watchers_see_the_same_in_the_same_order() {
    let world = World::new();
    crate::lists::many(&world.store, 700).await;
    let mut all = Vec::new();
    for n in 0..24 {
        let query = ["", "labelSelector=app%3Dv1", "fieldSelector=metadata.name%3Dm0001"][n % 3];
        all.push((n % 3, Events::open(&world, query).await));
    }
    for n in 0..20 {
        let app = if n % 2 == 0 { "out" } else { "v1" };
        label(&world, "m0001", app).await;
        label(&world, "m0002", app).await;
    }
    assert_eq!(world.delete(&format!("{MAPS}/m0001"), &json!({})).await.0, 200);
    for (sort, mut events) in all {
        let initial = [700, 100, 1][sort];
        for _ in 0..initial {
            assert!(events.brief().await.starts_with("ADDED m"));
        }
        let changes = |name: &str, types: [&str; 2], apps: [&str; 2]| -> Vec<String> {
            (0..20).map(|n| format!("{} {name} {}", types[n % 2], apps[n % 2])).collect()
        };
        let gone = "DELETED m0001 v1".to_owned();
        let mixed = |one: Vec<String>, two: Vec<String>| -> Vec<String> {
            one.into_iter().zip(two).flat_map(|(one, two)| [one, two]).collect()
        };
        let mut want = match sort {
            0 => mixed(
                changes("m0001", ["MODIFIED"; 2], ["out", "v1"]),
                changes("m0002", ["MODIFIED"; 2], ["out", "v1"]),
            ),
            // One was selected before the first change, the other was not.
            1 => mixed(
                changes("m0001", ["DELETED", "ADDED"], ["v1", "v1"]),
                changes("m0002", ["DELETED", "ADDED"], ["v1", "v1"]),
            ),
            _ => changes("m0001", ["MODIFIED"; 2], ["out", "v1"]),
        };
        if sort == 1 {
            want.remove(1);
        }
        want.push(gone);
        let mut seen = Vec::new();
        while seen.len() < want.len() {
            seen.push(events.brief().await);
        }
        assert_eq!(seen, want, "{sort}");
    }
    world.end().await;
}

/// What waited is sent together, but none of it twice or out of order.
#[tokio::test]
async fn a_reader_that_was_away_gets_everything_at_once() {
    let world = World::new();
    let (_, first) = world.post(MAPS, &config_map("a", "0")).await;
    let from = version(&first);
    let mut events = Events::open(&world, &format!("resourceVersion={from}")).await;
    for n in 1..300 {
        label(&world, "a", &n.to_string()).await;
    }
    for n in 1..300 {
        assert_eq!(events.brief().await, format!("MODIFIED a {n}"));
    }
    world.end().await;
}

/// Objects that one commit changed share a version; a client may break off between them.
#[tokio::test]
async fn a_watch_that_broke_off_within_a_commit_misses_nothing_of_it() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        let made = world.post(MAPS, &config_map(name, "v")).await;
        assert_eq!(made.0, 201);
    }
    let delete = |name: &str| ebb_store::Write::Delete {
        key: ebb_model::key::object("", "configmaps", "default", name),
    };
    let writes = vec![delete("a"), delete("b")];
    let commit = ebb_store::Commit { writes, ..ebb_store::Commit::default() };
    let both = world.store.commit(commit).await.unwrap();
    let mut events = Events::open(&world, &format!("resourceVersion={both}")).await;
    assert_eq!(events.brief().await, "DELETED a v");
    assert_eq!(events.brief().await, "DELETED b v");

    label(&world, "c", "x").await;
    assert_eq!(events.brief().await, "MODIFIED c x");
    let version = version(&world.get(&format!("{MAPS}/c")).await.1);
    let mut events = Events::open(&world, &format!("resourceVersion={version}")).await;
    label(&world, "c", "y").await;
    assert_eq!(events.brief().await, "MODIFIED c y", "one that was seen is not told again");
    world.end().await;
}
