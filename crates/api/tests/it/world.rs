//! A running door with everything around it, and a client for it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ebb_api::{Api, Config, Deps, Direct, Explanation, Handle, Platform};
use ebb_engine::sim::{Sim, SimConfig};
use ebb_images::{Error as ImageError, ImageStore, Pull};
use ebb_kit::{Clock, Shutdown, SystemClock, Tasks};
use ebb_model::image::{ImageSummary, RootFsLayout};
use ebb_model::{Digest, Fault, InstanceId, Kind, Reference};
use ebb_store::memory::Memory;
use ebb_store::{Commit, Store, json};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A running door.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) http: reqwest::Client,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) live: Arc<dyn Store>,
    pub(crate) platform: Arc<Pods>,
    pub(crate) engine: Arc<Sim>,
    pub(crate) shutdown: Shutdown,
    pub(crate) tasks: Tasks,
    parts: (Config, Deps),
}

/// Controllers that know the Pods that a test gave them.
#[derive(Default)]
pub(crate) struct Pods {
    pub(crate) instances: Mutex<BTreeMap<(String, String), (InstanceId, String)>>,
    pub(crate) stopped: Mutex<Vec<String>>,
    /// With which identity and in what time.
    pub(crate) periods: Mutex<Vec<(Option<String>, Option<std::time::Duration>)>>,
    pub(crate) live: Mutex<Option<Arc<dyn Store>>>,
}

#[async_trait]
impl Platform for Pods {
    async fn explain(&self, _namespace: &str, service: &str) -> Option<Explanation> {
        assert_ne!(service, "panics", "on purpose");
        (service == "hello").then(Explanation::default)
    }

    async fn stop_pod(
        &self,
        namespace: &str,
        pod: &str,
        uid: Option<&str>,
        period: Option<std::time::Duration>,
    ) -> Result<(), Fault> {
        self.stopped.lock().unwrap().push(format!("{namespace}/{pod}"));
        self.periods.lock().unwrap().push((uid.map(str::to_owned), period));
        let live = self.live.lock().unwrap().clone();
        if let Some(live) = live {
            let key = ebb_model::key::object("", "pods", namespace, pod);
            let writes = vec![ebb_store::Write::Delete { key }];
            live.commit(Commit { writes, ..Commit::default() }).await.unwrap();
        }
        Ok(())
    }

    async fn instance_of_pod(&self, namespace: &str, pod: &str) -> Option<(InstanceId, String)> {
        let key = (namespace.to_owned(), pod.to_owned());
        self.instances.lock().unwrap().get(&key).cloned()
    }
}

/// Images that remember names only.
#[derive(Default)]
struct Names(Mutex<Vec<ImageSummary>>);

#[async_trait]
impl ImageStore for Names {
    async fn resolve(&self, _pull: &Pull) -> Result<Digest, ImageError> {
        Err(missing())
    }

    async fn pull(&self, _pull: &Pull) -> Result<(), ImageError> {
        Err(missing())
    }

    async fn layout(&self, _ns: &str, _digest: &Digest) -> Result<RootFsLayout, ImageError> {
        Err(missing())
    }

    async fn load(
        &self,
        path: &Path,
        name: Option<&Reference>,
    ) -> Result<Vec<ImageSummary>, ImageError> {
        let image = ImageSummary {
            reference: name.cloned(),
            digest: Digest::from_sha256([7; 32]),
            size_bytes: std::fs::metadata(path).unwrap().len(),
            created: SystemClock::new().now(),
            pins: 0,
        };
        self.0.lock().unwrap().push(image.clone());
        Ok(vec![image])
    }

    async fn list(&self) -> Result<Vec<ImageSummary>, ImageError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn pin(&self, _digest: &Digest, _owner: &str) -> Result<(), ImageError> {
        Ok(())
    }

    async fn unpin(&self, _digest: &Digest, _owner: &str) -> Result<(), ImageError> {
        Ok(())
    }

    async fn prune(&self, reference: Option<&Reference>) -> Result<u64, ImageError> {
        let mut images = self.0.lock().unwrap();
        let before = images.len();
        let digest = reference.and_then(|reference| reference.digest.clone());
        images.retain(|image| {
            image.reference.as_ref() != reference && Some(&image.digest) != digest.as_ref()
        });
        if images.len() == before { Err(missing()) } else { Ok(42) }
    }
}

fn missing() -> ImageError {
    ImageError::new("IMAGE_NOT_FOUND", Kind::NotFound, "there is no such image")
}

impl World {
    /// A door over two in-memory stores.
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(Memory::new()))
    }

    /// A door over `store` for what is declared.
    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        Self::configured(store, |_| {})
    }

    /// The same with other settings than the default.
    pub(crate) fn configured(store: Arc<dyn Store>, set: impl FnOnce(&mut Config)) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let live: Arc<dyn Store> = Arc::new(Memory::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let engine = Arc::new(Sim::new(SimConfig::default(), Arc::clone(&clock)));
        let platform = Arc::new(Pods::default());
        *platform.live.lock().unwrap() = Some(Arc::clone(&live));
        let mut config = Config { dir: dir.path().join("api"), ..Config::default() };
        set(&mut config);
        let deps = Deps {
            store: Arc::clone(&store),
            live: Arc::clone(&live),
            images: Arc::new(Names::default()),
            engine: engine.clone(),
            platform: platform.clone(),
            clock,
            hooks: ebb_api::admission::hooks::Hooks::default(),
        };
        let parts = (config.clone(), deps.clone());
        let (api, handle) = Api::new(config, deps).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        let until = shutdown.clone();
        tasks.spawn("api", async move { api.run(listener, until).await.unwrap() });
        let ca = reqwest::Certificate::from_pem(handle.ca_pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
        Self { dir, address, handle, http, store, live, platform, engine, shutdown, tasks, parts }
    }

    /// A second door over the same parts, without a network.
    pub(crate) async fn direct(&self) -> Direct {
        let (config, deps) = self.parts.clone();
        let (api, _) = Api::new(config, deps).unwrap();
        api.direct(&self.shutdown).await.unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// A request with the token.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(self.handle.token())
    }

    /// Sends and reads JSON.
    pub(crate) async fn ask(&self, request: reqwest::RequestBuilder) -> (StatusCode, Value) {
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.request(Method::PATCH, path).body(body.to_string());
        self.ask(request.header("content-type", "application/merge-patch+json")).await
    }

    pub(crate) async fn delete(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(self.request(Method::DELETE, path).json(body)).await
    }

    /// Writes an object as a controller does.
    pub(crate) async fn put_stored(&self, store: &Arc<dyn Store>, key: &str, object: &Value) {
        let writes = vec![json::put(key, object).unwrap()];
        store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
    }

    /// Ends the door and waits for it.
    pub(crate) async fn end(self) {
        self.shutdown.call();
        self.tasks.join().await;
    }
}

/// Collection of ConfigMaps.
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Collection of Secrets.
pub(crate) const SECRETS: &str = "/api/v1/namespaces/default/secrets";
/// Collection of Services.
pub(crate) const SERVICES: &str = "/apis/serving.knative.dev/v1/namespaces/default/services";

pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "labels": { "app": value } }, "data": { "key": value },
    })
}

pub(crate) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": { "name": name },
        "spec": { "template": { "spec": { "containers": [{ "image": "hello" }] } } },
    })
}

/// Code of the first cause of a Status.
pub(crate) fn code(status: &Value) -> &str {
    status["details"]["causes"][0]["reason"].as_str().unwrap_or_default()
}
