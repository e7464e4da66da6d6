//! A store that cannot be written, and one that does not answer at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use ebb_store::memory::Memory;
use ebb_store::{Commit, Error, Record, Scan, Store, Watcher};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::world::{MAPS, SERVICES, World, code, config_map, service};

const WELL: u8 = 0;
/// As a file system that was mounted anew, for reading only.
const READ_ONLY: u8 = 1;
const FULL: u8 = 2;
const GONE: u8 = 3;

/// A store that is as somebody says.
struct Sick {
    inner: Memory,
    how: AtomicU8,
}

impl Sick {
    fn be(&self, how: u8) {
        self.how.store(how, Ordering::SeqCst);
    }

    fn readable(&self) -> Result<(), Error> {
        match self.how.load(Ordering::SeqCst) {
            GONE => Err(Error::Unavailable("on purpose".to_owned())),
            _ => Ok(()),
        }
    }

    fn writable(&self) -> Result<(), Error> {
        match self.how.load(Ordering::SeqCst) {
            WELL => Ok(()),
            FULL => Err(Error::DiskFull("on purpose".to_owned())),
            _ => Err(Error::Unavailable("on purpose".to_owned())),
        }
    }
}

#[async_trait]
impl Store for Sick {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        self.readable()?;
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        self.readable()?;
        self.inner.scan(prefix, at, after, limit).await
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        self.readable()?;
        self.inner.count(prefix, at, after).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        self.writable()?;
        self.inner.commit(commit).await
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        self.readable()?;
        self.inner.watch(prefix, since).await
    }
}

/// Every way to write.
fn writes(world: &World) -> Vec<(&'static str, RequestBuilder)> {
    let one = format!("{MAPS}/a");
    let patch = |query: &str, type_: &str, body: String| {
        let request = world.request(Method::PATCH, &format!("{one}?fieldManager=me{query}"));
        request.header("content-type", type_).body(body)
    };
    let scale = world.request(Method::PATCH, &format!("{SERVICES}/hello/scale"));
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}});
    vec![
        ("create", world.request(Method::POST, MAPS).json(&config_map("b", "1"))),
        ("create a namespace", world.request(Method::POST, "/api/v1/namespaces").json(&space)),
        ("replace", world.request(Method::PUT, &one).json(&config_map("a", "2"))),
        (
            "merge",
            patch("", "application/merge-patch+json", json!({"data": {"k": "2"}}).to_string()),
        ),
        (
            "apply",
            patch("&force=true", "application/apply-patch+yaml", config_map("a", "3").to_string()),
        ),
        ("delete", world.request(Method::DELETE, &one)),
        ("delete all", world.request(Method::DELETE, MAPS)),
        (
            "scale",
            scale
                .header("content-type", "application/merge-patch+json")
                .body(json!({"spec": {"replicas": 3}}).to_string()),
        ),
    ]
}

#[tokio::test]
async fn that_cannot_be_used() {
    let store = Arc::new(Sick { inner: Memory::new(), how: AtomicU8::new(WELL) });
    let world = World::over(store.clone());
    let (status, before) = world.post(MAPS, &config_map("a", "1")).await;
    assert_eq!(status, 201);
    assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
    let versions = world.versions().await;
    for (how, want) in
        [(READ_ONLY, "STORAGE_UNAVAILABLE"), (FULL, "DISK_FULL"), (GONE, "STORAGE_UNAVAILABLE")]
    {
        store.be(how);
        for (what, request) in writes(&world) {
            let response = request.send().await.unwrap();
            let (status, after) =
                (response.status(), response.headers().get("retry-after").cloned());
            let said = response.text().await.unwrap();
            assert_eq!(status, 503, "{what}: {said}");
            assert_eq!(after.unwrap(), "1", "{what}");
            let said = serde_json::from_str(&said).unwrap();
            assert_eq!(code(&said), want, "{what}: {said}");
            assert!(!said.to_string().contains("on purpose"), "{what}: tells of our insides");
        }
        let (status, read) = world.get(&format!("{MAPS}/a")).await;
        let can_read = how != GONE;
        assert_eq!(status.as_u16(), if can_read { 200 } else { 503 }, "{read}");
        assert_eq!(world.get(MAPS).await.0.as_u16(), if can_read { 200 } else { 503 });
        assert_eq!(world.get("/version").await.0, 200, "the door is there");
    }
    store.be(WELL);
    assert_eq!(world.versions().await, versions, "something was written");
    assert_eq!(world.get(&format!("{MAPS}/a")).await.1, before, "as it was");
    for (what, request) in writes(&world) {
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{what}: {}", response.text().await.unwrap());
    }
    world.end().await;
}
