//! Where a watch says it stands, when the store tells its changes slowly.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ebb_store::memory::Memory;
use ebb_store::{Change, Commit, Error, Record, Scan, Source, Store, Watcher, Write};
use serde_json::Value;

use crate::world::{MAPS, World, config_map};

/// A store whose watches tell so many changes, and no more for a long time.
struct Slow(Memory, usize);

struct Stuck {
    inner: Watcher,
    left: usize,
}

#[async_trait]
impl Source for Stuck {
    async fn next(&mut self) -> Option<Result<Arc<Change>, Error>> {
        if self.left == 0 {
            std::future::pending::<()>().await;
        }
        let change = self.inner.next_shared().await;
        self.left -= 1;
        change
    }

    fn progress(&self) -> u64 {
        self.inner.progress()
    }
}

#[async_trait]
impl Store for Slow {
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
        self.0.scan(prefix, at, after, limit).await
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        self.0.count(prefix, at, after).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        self.0.commit(commit).await
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        let inner = self.0.watch(prefix, since).await?;
        Ok(Watcher::new(Stuck { inner, left: self.1 }))
    }
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// Everything that a watch of one second tells.
async fn watch(world: &World, since: u64) -> Vec<Value> {
    let query =
        format!("watch=true&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={since}");
    let request = world.request(reqwest::Method::GET, &format!("{MAPS}?{query}"));
    let text = tokio::time::timeout(Duration::from_secs(20), async {
        request.send().await.unwrap().text().await.unwrap()
    });
    let text = text.await.expect("it ends in time");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_bookmark_is_not_before_the_version_that_a_client_resumed_from() {
    let world = World::over(Arc::new(Slow(Memory::new(), 0)));
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    let (_, second) = world.post(MAPS, &config_map("b", "1")).await;
    let told = watch(&world, version(&second)).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["type"], "BOOKMARK");
    assert!(version(&told[0]["object"]) >= version(&second), "{told:?}");
    world.end().await;
}

/// Such a bookmark would lie before what the client has, and one at its version would skip what
/// the client does not have.
#[tokio::test]
async fn there_is_no_bookmark_in_the_middle_of_a_commit() {
    let world = World::over(Arc::new(Slow(Memory::new(), 2)));
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    let (_, second) = world.post(MAPS, &config_map("b", "1")).await;
    let keys = ["a", "b"].map(|name| ebb_model::key::object("", "configmaps", "default", name));
    let writes = keys.map(|key| Write::Delete { key }).to_vec();
    let both = world.store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
    // The store tells of `b`, which the client has, and of one of the two.
    let told = watch(&world, version(&second)).await;
    let types: Vec<&Value> = told.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["DELETED"], "{told:?}");
    assert_eq!(version(&told[0]["object"]), both);
    world.end().await;
}
