//! A client that lists everything does not starve a deploy.

use std::sync::Arc;

use bytes::Bytes;
use ebb_api::{Body, Direct};
use ebb_store::memory::Memory;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use reqwest::Method;
use serde_json::Value;

use crate::lists::many;
use crate::world::{MAPS, World, code, config_map};

/// A door without a network: a body that is not asked for is a client that does not read.
struct Door {
    direct: Direct,
    token: String,
}

impl Door {
    async fn call(&self, method: Method, path: &str, body: String) -> Response<Body> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Bytes::from(body));
        self.direct.call(request.unwrap()).await
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.call(Method::GET, path, String::new()).await
    }
}

async fn json(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn lists_that_nobody_reads_delay_no_deploy() {
    let store = Arc::new(Memory::new());
    let world = World::configured(store, |config| {
        (config.list_seats, config.queue_length) = (2, 1);
    });
    many(&world.store, 1_300).await;
    let direct = world.direct().await;
    let door = Door { direct, token: world.handle.token().to_owned() };

    // Two lists have begun and are not read: they have the seats.
    let first = door.get(MAPS).await;
    let second = door.get(MAPS).await;
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let mut third = Box::pin(door.get(MAPS));
    assert!((&mut third).now_or_never().is_none(), "a third waits for its turn");
    let fourth = door.get(&format!("{MAPS}?limit=1")).await;
    assert_eq!(fourth.status(), 429);
    assert_eq!(fourth.headers()["retry-after"], "1");
    let refused = json(fourth).await;
    assert_eq!((code(&refused), &refused["reason"]), ("OVERLOADED", &"TooManyRequests".into()));
    assert!(refused["message"].as_str().unwrap().contains("1 requests wait already"), "{refused}");
    let watch = door.get(&format!("{MAPS}?watch=true")).await;
    assert_eq!(watch.status(), 429, "a watch begins with a list");

    // Everything else is served, with none of these moving.
    let made = door.call(Method::POST, MAPS, config_map("new", "x").to_string()).await;
    assert_eq!(made.status(), 201);
    let version = json(made).await["metadata"]["resourceVersion"].clone();
    assert_eq!(door.get(&format!("{MAPS}/new")).await.status(), 200);
    let named = door.get(&format!("{MAPS}?fieldSelector=metadata.name%3Dnew")).await;
    assert_eq!(named.status(), 200, "one object is one object");
    let from = version.as_str().unwrap();
    let watch = door.get(&format!("{MAPS}?watch=true&resourceVersion={from}")).await;
    assert_eq!(watch.status(), 200, "a watch that goes on has nothing to list");
    for open in ["/version", "/readyz", "/api", "/openapi/v2"] {
        assert_eq!(door.get(open).await.status(), 200, "{open}");
    }
    assert!((&mut third).now_or_never().is_none());

    // The first is given up, so the third is served; and whole.
    drop(first);
    let third = json(third.await).await;
    assert_eq!(third["items"].as_array().unwrap().len(), 1_301);
    let second = json(second).await;
    assert_eq!(second["items"].as_array().unwrap().len(), 1_300, "as of when it began");
    assert_eq!(door.get(MAPS).await.status(), 200, "every seat is given back");
    world.end().await;
}

/// A watch gives its seats back when it has sent what is there.
#[tokio::test]
async fn watches_keep_no_seats() {
    let world = World::configured(Arc::new(Memory::new()), |config| {
        (config.list_seats, config.queue_length) = (1, 0);
    });
    many(&world.store, 700).await;
    let direct = world.direct().await;
    let door = Door { direct, token: world.handle.token().to_owned() };
    let mut watch = door.get(&format!("{MAPS}?watch=true")).await.into_body();
    assert_eq!(door.get(MAPS).await.status(), 429, "it is still listing");
    let mut lines = 0;
    while lines < 700 {
        let chunk = watch.frame().await.unwrap().unwrap().into_data().unwrap();
        lines += chunk.split(|byte| *byte == b'\n').count() - 1;
    }
    assert_eq!(door.get(MAPS).await.status(), 200);
    drop(watch);
    world.end().await;
}
