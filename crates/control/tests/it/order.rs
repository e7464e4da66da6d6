//! What a status says is so when it says it.

use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use ebb_control::Config;
use ebb_store::memory::Memory;
use ebb_store::{Commit, Error, Record, Scan, Store, Watcher, Write};
use serde_json::{Value as Json, json};

use crate::world::{NS, Plane, World};

/// Looks at the gateway's routes at the moment at which an object is committed as ready.
struct Witness {
    inner: Memory,
    plane: OnceLock<Arc<Plane>>,
    /// Resource and name of what was committed as ready, and where its requests went just then.
    seen: Mutex<Vec<(String, Vec<String>)>>,
}

impl Witness {
    fn look(&self, write: &Write) {
        let Write::Put { key, value } = write else { return };
        let object: Json = serde_json::from_slice(&value.data).unwrap();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        let kind = object["kind"].as_str().unwrap_or_default();
        if !is_ready || !["Service", "Route"].contains(&kind) {
            return;
        }
        let name = object["metadata"]["name"].as_str().unwrap();
        let targets = self.plane.get().unwrap().targets(name).unwrap_or_default();
        let targets = targets.into_iter().map(|(revision, _)| revision).collect();
        assert!(key.contains(NS));
        self.seen.lock().unwrap().push((format!("{kind}/{name}"), targets));
    }

    /// Where requests went when `what` was committed as ready, each time.
    fn seen(&self, what: &str) -> Vec<Vec<String>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(of, _)| of == what).map(|(_, targets)| targets.clone()).collect()
    }
}

#[async_trait]
impl Store for Witness {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        self.inner.scan(prefix, at, after, limit).await
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        self.inner.count(prefix, at, after).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        commit.writes.iter().for_each(|write| self.look(write));
        self.inner.commit(commit).await
    }

    async fn watch(&self, prefix: &str, since: u64) -> Result<Watcher, Error> {
        self.inner.watch(prefix, since).await
    }
}

async fn world() -> (Arc<Witness>, World) {
    let witness =
        Arc::new(Witness { inner: Memory::new(), plane: OnceLock::new(), seen: Mutex::default() });
    let world = World::with(witness.clone(), Config::default()).await;
    assert!(witness.plane.set(world.plane.clone()).is_ok());
    (witness, world)
}

#[tokio::test(start_paused = true)]
async fn a_service_is_routed_before_it_is_called_ready() {
    let (witness, world) = world().await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    let seen = witness.seen("Service/hello");
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|targets| targets == &["hello-00001"]), "{seen:?}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_route_that_stands_alone_is_published_before_it_is_called_ready() {
    let (witness, world) = world().await;
    world.image("hello", &[]);
    let template = json!({"spec": {"containers": [{"image": "hello"}]}});
    world.declare("configurations", "shop", json!({"template": template})).await;
    let traffic = json!([{"configurationName": "shop", "percent": 100}]);
    world.declare("routes", "front", json!({"traffic": traffic})).await;
    world.until_says("routes", "front", ("True", "")).await;
    let seen = witness.seen("Route/front");
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|targets| targets == &["shop-00001"]), "{seen:?}");
    world.stop().await;
}
