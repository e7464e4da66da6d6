//! What is too much, malformed or not available.

use std::sync::Arc;

use ebb_store::memory::Memory;
use ebb_store::{Commit, Error, Record, Scan, Store, Watcher};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{MAPS, World, code, config_map};

#[tokio::test]
async fn bodies_are_bounded_and_malformed_ones_are_named() {
    let world = World::new();
    let send = |body: String| {
        let request = world.request(Method::POST, MAPS).body(body);
        world.ask(request.header("content-type", "application/json"))
    };
    let (status, refused) = send("x".repeat((3 << 20) + 1)).await;
    assert_eq!((status.as_u16(), code(&refused)), (413, "BODY_TOO_LARGE"));
    let (status, refused) = send("{\"a\":\n x}".to_owned()).await;
    assert_eq!((status.as_u16(), code(&refused)), (400, "INVALID_JSON"));
    assert!(refused["message"].as_str().unwrap().contains("line 2 column"), "{refused}");
    let (_, refused) = send("[".repeat(10_000)).await;
    assert_eq!(code(&refused), "JSON_TOO_DEEP");
    let (_, refused) = send("[]".to_owned()).await;
    assert_eq!(code(&refused), "INVALID_JSON");
    let mut big = config_map("big", "1");
    big["data"]["big"] = json!("x".repeat(1 << 20));
    let (status, refused) = world.post(MAPS, &big).await;
    assert_eq!((status.as_u16(), code(&refused)), (422, "OBJECT_TOO_LARGE"));
    let request = world.request(Method::POST, MAPS).body("{}");
    let (_, refused) = world.ask(request).await;
    assert_eq!(code(&refused), "INVALID_NAME", "read as JSON without a content type");
    let (status, refused) = world.post(crate::world::SERVICES, &json!({})).await;
    assert_eq!((status.as_u16(), code(&refused)), (400, "UNSUPPORTED_VERSION"));
    let request = world.request(Method::POST, MAPS).body("{}").header("content-type", "text/plain");
    assert_eq!(code(&world.ask(request).await.1), "UNSUPPORTED_MEDIA_TYPE");
    let long = format!("{MAPS}?x={}", "x".repeat(70 << 10));
    let response = world.request(Method::GET, &long).send().await;
    assert!(response.is_err() || response.unwrap().status().is_client_error());
    world.end().await;
}

#[tokio::test]
async fn whoever_does_not_speak_tls_is_let_go() {
    let world = World::new();
    let mut plain = TcpStream::connect(world.address).await.unwrap();
    plain.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is an answer too.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    let _silent = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(world.get("/version").await.0, 200, "others are served meanwhile");
    world.end().await;
}

/// A store whose writes fail, as on a full disk.
struct Full(Memory);

#[async_trait::async_trait]
impl Store for Full {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        self.0.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        if prefix.contains("secrets") {
            return Err(Error::Unavailable("on purpose".to_owned()));
        }
        self.0.scan(prefix, at, after, limit).await
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        self.0.count(prefix, at, after).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        if commit.actor == "admin" {
            return Err(Error::DiskFull("on purpose".to_owned()));
        }
        self.0.commit(commit).await
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        self.0.watch(prefix, since).await
    }
}

#[tokio::test]
async fn a_store_that_fails_says_when_to_come_back() {
    let world = World::over(Arc::new(Full(Memory::new())));
    let response =
        world.request(Method::POST, MAPS).json(&config_map("a", "1")).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(code(&response.json().await.unwrap()), "DISK_FULL");
    let (status, refused) = world.get("/api/v1/secrets").await;
    assert_eq!((status.as_u16(), code(&refused)), (503, "STORAGE_UNAVAILABLE"));
    world.end().await;
}
