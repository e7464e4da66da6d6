//! Lists: selectors, versions, pages of one version, tables, and what is too large for one page.

use std::io::Read as _;
use std::sync::Arc;

use ebb_store::fault::{Call, Faulty};
use ebb_store::memory::Memory;
use ebb_store::{Commit, Options, Retention, Store};
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
async fn a_read_is_never_older_than_what_the_client_saw() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "x")).await.0, 201);
    let (_, list) = world.get(MAPS).await;
    let version: u64 = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let one = format!("{MAPS}/a");
    for path in [MAPS, one.as_str()] {
        for fine in [version, 0] {
            assert_eq!(world.get(&format!("{path}?resourceVersion={fine}")).await.0, 200);
        }
        let ahead = version + 1_000_000_000;
        let (status, refused) = world.get(&format!("{path}?resourceVersion={ahead}")).await;
        assert_eq!((status.as_u16(), &refused["reason"]), (504, &json!("Timeout")));
        let message = refused["message"].as_str().unwrap();
        let start = format!("Timeout: Too large resource version: {ahead}, current: ");
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(refused["details"]["causes"][1]["reason"], "ResourceVersionTooLarge");
        assert_eq!(refused["details"]["retryAfterSeconds"], 1);
        assert_eq!(code(&refused), "VERSION_IN_FUTURE");
        assert_eq!(world.get(&format!("{path}?resourceVersion=x")).await.0, 400);
    }
    let missing = format!("{MAPS}/none?resourceVersion={version}");
    assert_eq!(world.get(&missing).await.0, 404);
    let exact = format!("{MAPS}?resourceVersion=1&resourceVersionMatch=Exact");
    let (status, gone) = world.get(&exact).await;
    assert_eq!((status.as_u16(), &gone["reason"]), (410, &json!("Expired")));
    world.end().await;
}

#[tokio::test]
async fn which_version_is_shown() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "x")).await.0, 201);
    let version = world.get(MAPS).await.1["metadata"]["resourceVersion"].clone();
    let version = version.as_str().unwrap();
    assert_eq!(world.post(MAPS, &config_map("b", "x")).await.0, 201);
    let now = vec!["a", "b"];
    for (query, want) in [
        (format!("resourceVersion={version}"), now.clone()),
        (format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan"), now.clone()),
        (
            format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan&limit=9"),
            now.clone(),
        ),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan".to_owned(), now.clone()),
        ("resourceVersion=0&limit=9".to_owned(), now),
        (format!("resourceVersion={version}&resourceVersionMatch=Exact"), vec!["a"]),
        (format!("resourceVersion={version}&limit=9"), vec!["a"]),
    ] {
        let (status, list) = world.get(&format!("{MAPS}?{query}")).await;
        assert_eq!(status, 200, "{query}: {list}");
        assert_eq!(names(&list), want, "{query}");
    }
    for (query, why) in [
        ("resourceVersionMatch=Exact", "forbidden unless resourceVersion is provided"),
        (
            "resourceVersion=1&resourceVersionMatch=Some",
            "resourceVersionMatch: Unsupported value: \"Some\"",
        ),
        (
            "resourceVersion=0&resourceVersionMatch=Exact",
            "\"exact\" is forbidden for resourceVersion \"0\"",
        ),
        (
            "resourceVersion=1&resourceVersionMatch=Exact&continue=x",
            "forbidden when continue is provided",
        ),
        ("sendInitialEvents=true", "sendInitialEvents is forbidden for list"),
    ] {
        let (status, refused) = world.get(&format!("{MAPS}?{query}")).await;
        assert_eq!((status.as_u16(), code(&refused)), (422, "INVALID_PARAMETER"), "{query}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.starts_with("ListOptions.meta.k8s.io \"\" is invalid: "), "{message}");
        assert!(message.contains(why), "{message}");
    }
    let (status, refused) = world.get(&format!("{MAPS}?continue=x&resourceVersion=7")).await;
    assert_eq!(status, 400);
    assert!(refused["message"].as_str().unwrap().contains("not allowed when using continue"));
    for bad in ["limit=-1", "limit=x", "timeoutSeconds=soon"] {
        assert_eq!(world.get(&format!("{MAPS}?{bad}")).await.0, 400, "{bad}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_page_that_came_too_late_can_still_be_gone_on_with() {
    let retention = Retention { versions: 5, ..Retention::MEMORY };
    let world = World::over(Arc::new(Memory::with(Options::new(retention))));
    for n in 0..4 {
        assert_eq!(world.post(MAPS, &config_map(&format!("m{n}"), "old")).await.0, 201);
    }
    let (_, first) = world.get(&format!("{MAPS}?limit=2")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    for n in 0..10 {
        let patch = json!({"metadata": {"labels": {"n": n.to_string()}}});
        assert_eq!(world.merge(&format!("{MAPS}/m3"), &patch).await.0, 200);
        assert_eq!(world.post(SECRETS, &json!({"metadata": {"generateName": "s-"}})).await.0, 201);
    }
    let (status, gone) = world.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((status.as_u16(), &gone["reason"]), (410, &json!("Expired")));
    assert!(
        gone["message"].as_str().unwrap().starts_with("The provided continue parameter is too")
    );
    let token = gone["metadata"]["continue"].as_str().unwrap();
    let (status, rest) = world.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((status.as_u16(), names(&rest)), (200, vec!["m2", "m3"]), "from now, not from then");
    let version = |list: &Value| -> u64 {
        list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    };
    assert!(version(&rest) > version(&first));
    let ahead =
        json!({"version": version(&rest) + 1_000_000_000, "after": "/core/configmaps/default/m0"});
    let forged = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        ahead.to_string(),
    );
    let (status, refused) = world.get(&format!("{MAPS}?limit=2&continue={forged}")).await;
    assert_eq!((status.as_u16(), code(&refused)), (400, "INVALID_CONTINUE"));
    world.end().await;
}

/// Stores many ConfigMaps at once, as `m0000` and so on.
pub(crate) async fn many(store: &Arc<dyn Store>, count: usize) {
    for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
        let write = |n: &usize| {
            let mut map = config_map(&format!("m{n:04}"), &format!("v{}", n % 7));
            map["metadata"]["namespace"] = json!("default");
            ebb_store::json::put(&format!("/core/configmaps/default/m{n:04}"), &map).unwrap()
        };
        let commit = Commit { writes: chunk.iter().map(write).collect(), ..Commit::default() };
        store.commit(commit).await.unwrap();
    }
}

#[tokio::test]
async fn what_does_not_fit_a_page_is_sent_as_it_is_read() {
    let world = World::new();
    many(&world.store, 1_300).await;
    let (_, all) = world.get(MAPS).await;
    let want: Vec<String> = (0..1_300).map(|n| format!("m{n:04}")).collect();
    assert_eq!(names(&all), want);
    assert_eq!(all["kind"], "ConfigMapList");
    let newest = world.store.scan("/", None, None, 1).await.unwrap().version.to_string();
    assert_eq!(all["metadata"], json!({ "resourceVersion": newest }));
    assert!(all["items"].as_array().unwrap().iter().all(|item| item["kind"] == "ConfigMap"
        && item["apiVersion"] == "v1"
        && item["metadata"]["resourceVersion"].is_string()));
    let (_, some) = world.get(&format!("{MAPS}?labelSelector=app%3Dv3")).await;
    assert_eq!(names(&some).len(), (0..1_300).filter(|n| n % 7 == 3).count());

    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let request = world.request(Method::GET, MAPS).header("accept", accept);
    let (_, table) = world.ask(request).await;
    assert_eq!(table["rows"].as_array().unwrap().len(), 1_300);
    assert_eq!(table["columnDefinitions"].as_array().unwrap().len(), 3);
    assert_eq!(table["rows"][1_299]["object"]["metadata"]["name"], "m1299");

    for (limit, sizes) in [(700, vec![700, 600]), (500, vec![500, 500, 300]), (1_300, vec![1_300])]
    {
        let (mut got, mut next) = (Vec::new(), Some(String::new()));
        while let Some(token) = next {
            let (_, page) = world.get(&format!("{MAPS}?limit={limit}&continue={token}")).await;
            assert_eq!(page["metadata"]["resourceVersion"], newest.as_str());
            got.push(names(&page).len());
            next = page["metadata"]["continue"].as_str().map(str::to_owned);
        }
        assert_eq!(got, sizes, "{limit}");
    }
    let (_, page) = world.get(&format!("{MAPS}?limit=3&labelSelector=app%3Dv3")).await;
    assert_eq!(names(&page), ["m0003", "m0010", "m0017"]);
    let token = page["metadata"]["continue"].as_str().unwrap();
    let next = format!("{MAPS}?limit=3&labelSelector=app%3Dv3&continue={token}");
    assert_eq!(names(&world.get(&next).await.1), ["m0024", "m0031", "m0038"]);
    world.end().await;
}

#[tokio::test]
async fn large_lists_are_compressed_for_those_who_ask() {
    let world = World::new();
    many(&world.store, 1_300).await;
    for (path, compressed) in [(MAPS, true), ("/api/v1/namespaces/default/configmaps/m0000", false)]
    {
        let plain = world.request(Method::GET, path).send().await.unwrap();
        assert!(plain.headers().get("content-encoding").is_none());
        assert_eq!(plain.headers().contains_key("vary"), compressed);
        let plain = plain.bytes().await.unwrap();
        let request = world.request(Method::GET, path).header("accept-encoding", "gzip");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers().contains_key("content-encoding"), compressed, "{path}");
        let mut bytes = response.bytes().await.unwrap().to_vec();
        if compressed {
            assert!(bytes.len() < plain.len() / 4, "{} of {}", bytes.len(), plain.len());
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut read).unwrap();
            bytes = read;
        }
        assert!(bytes == plain, "{path}");
    }
    let head = world.request(Method::HEAD, MAPS).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(head.bytes().await.unwrap().is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_list_that_fails_half_way_is_not_taken_for_whole() {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let world = World::over(store.clone());
    many(&world.store, 1_300).await;
    // The first page is there when the answer begins.
    let gone = ebb_store::Error::Unavailable("on purpose".to_owned());
    store.fail(Call::Scan, 3, gone.clone());
    let response = world.request(Method::GET, MAPS).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "the answer is broken off");
    store.fail(Call::Scan, 1, gone);
    assert_eq!(world.get(MAPS).await.0, 503);
    assert_eq!(names(&world.get(MAPS).await.1).len(), 1_300);
    world.end().await;
}

#[tokio::test]
async fn a_name_is_looked_up_and_not_searched_for() {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let world = World::over(store.clone());
    many(&world.store, 1_300).await;
    for namespace in ["a", "b", "zz"] {
        let made = json!({"metadata": {"name": namespace}});
        assert_eq!(world.post("/api/v1/namespaces", &made).await.0, 201);
    }
    for (namespace, name) in [("a", "m1"), ("b", "m1"), ("b", "m"), ("b", "m1000"), ("zz", "m2")] {
        let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
        assert_eq!(world.post(&maps, &config_map(name, "x")).await.0, 201);
    }
    for (path, want, most) in [
        (format!("{MAPS}?fieldSelector=metadata.name%3Dm1000"), 1, 1),
        (format!("{MAPS}?fieldSelector=metadata.name%3Dm1"), 0, 1),
        (format!("{MAPS}?fieldSelector=metadata.name%3Dm1000,metadata.namespace%3Db"), 0, 1),
        ("/api/v1/configmaps?fieldSelector=metadata.name%3Dm1000".to_owned(), 2, 9),
        ("/api/v1/configmaps?fieldSelector=metadata.name%3Dm1".to_owned(), 2, 9),
        ("/api/v1/configmaps?fieldSelector=metadata.name%3Dnone".to_owned(), 0, 9),
    ] {
        let before = store.calls(Call::Scan);
        let (status, list) = world.get(&path).await;
        assert_eq!((status.as_u16(), names(&list).len()), (200, want), "{path}: {list}");
        let reads = store.calls(Call::Scan) - before;
        assert!(reads <= most, "{path}: {reads} reads");
    }
    let everywhere = "/api/v1/configmaps?fieldSelector=metadata.name%3Dm1&limit=1";
    let (_, first) = world.get(everywhere).await;
    assert_eq!(first["items"][0]["metadata"]["namespace"], "a");
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = world.get(&format!("{everywhere}&continue={token}")).await;
    assert_eq!(second["items"][0]["metadata"]["namespace"], "b");
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

#[tokio::test]
async fn a_page_says_how_many_objects_follow() {
    let world = World::new();
    for n in 0..5 {
        assert_eq!(world.post(MAPS, &config_map(&format!("m-{n}"), "x")).await.0, 201);
    }
    let page =
        async |query: &str| world.get(&format!("{MAPS}?{query}")).await.1["metadata"].clone();
    let first = page("limit=2").await;
    assert_eq!(first["remainingItemCount"], 3, "{first}");
    // They are those of the version that is shown, whatever happens meanwhile.
    assert_eq!(world.delete(&format!("{MAPS}/m-4"), &json!({})).await.0, 200);
    assert_eq!(world.post(MAPS, &config_map("m-9", "x")).await.0, 201);
    assert_eq!(world.post(MAPS, &config_map("m-99", "x")).await.0, 201);
    let token = first["continue"].as_str().unwrap();
    let second = page(&format!("limit=2&continue={token}")).await;
    assert_eq!(second["remainingItemCount"], 1, "{second}");
    let token = second["continue"].as_str().unwrap();
    let last = page(&format!("limit=2&continue={token}")).await;
    assert!(last.get("remainingItemCount").is_none() && last.get("continue").is_none(), "{last}");
    for all in ["", "limit=6", "limit=0"] {
        assert!(page(all).await.get("remainingItemCount").is_none(), "{all}: nothing follows");
    }
    for some in ["limit=1&labelSelector=app%3Dx", "limit=1&fieldSelector=metadata.name!%3Dz"] {
        let metadata = page(some).await;
        assert!(metadata["continue"].is_string() && metadata.get("remainingItemCount").is_none());
    }
    world.end().await;
}
