//! A platform in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ebb_control::{Config, Control, DataPlane, Deps, Handle};
use ebb_engine::Engine;
use ebb_engine::sim::{Behaviour, Script, Sim, SimConfig};
use ebb_images::sim::SimImages;
use ebb_kit::{Clock, Shutdown, Tasks};
use ebb_model::engine::{InstanceStatus, State};
use ebb_model::image::ImageConfig;
use ebb_model::k8s::api::core::v1::{Event, Pod};
use ebb_model::knative::{Condition, Revision, Service};
use ebb_model::routing::{Endpoint, Load, RouteTable};
use ebb_model::{InstanceId, Resource, RevisionKey, Timestamp, key};
use ebb_store::memory::Memory;
use ebb_store::{Commit, Store, Value, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

pub(crate) const GROUP: &str = "serving.knative.dev";
pub(crate) const NS: &str = "default";

/// A clock that follows tokio's time, which the tests pause.
pub(crate) struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000).plus(self.0.elapsed())
    }
}

/// A gateway that does nothing but keep what it is told.
#[derive(Default)]
pub(crate) struct Plane {
    state: Mutex<PlaneState>,
}

#[derive(Default)]
pub(crate) struct PlaneState {
    pub(crate) routes: RouteTable,
    pub(crate) published: u32,
    pub(crate) loads: BTreeMap<RevisionKey, Load>,
    pub(crate) endpoints: BTreeMap<RevisionKey, BTreeSet<InstanceId>>,
    pub(crate) busy: BTreeMap<InstanceId, u32>,
    pub(crate) drained: Vec<InstanceId>,
    pub(crate) removed: Vec<InstanceId>,
    pub(crate) failed: Vec<(RevisionKey, String, String)>,
}

impl Plane {
    pub(crate) fn state(&self) -> MutexGuard<'_, PlaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn targets(&self, service: &str) -> Option<Vec<(String, u8)>> {
        let state = self.state();
        let entry = state.routes.hosts.get(&format!("{service}.{NS}.localhost"))?;
        Some(entry.targets.iter().map(|t| (t.revision.name.clone(), t.percent)).collect())
    }

    pub(crate) fn endpoints(&self, revision: &str) -> usize {
        self.state().endpoints.get(&RevisionKey::new(NS, revision)).map_or(0, BTreeSet::len)
    }
}

#[async_trait]
impl DataPlane for Plane {
    fn set_routes(&self, routes: RouteTable) {
        let mut state = self.state();
        state.routes = routes;
        state.published += 1;
    }

    fn add_endpoint(&self, revision: &RevisionKey, endpoint: Endpoint) {
        self.state().endpoints.entry(revision.clone()).or_default().insert(endpoint.id);
    }

    async fn drain_endpoint(&self, revision: &RevisionKey, id: &InstanceId, limit: Duration) {
        let busy = {
            let mut state = self.state();
            state.endpoints.entry(revision.clone()).or_default().remove(id);
            state.drained.push(id.clone());
            state.busy.get(id).copied().unwrap_or(0)
        };
        if busy > 0 {
            tokio::time::sleep(limit).await;
        }
    }

    fn remove_endpoint(&self, revision: &RevisionKey, id: &InstanceId) {
        let mut state = self.state();
        state.endpoints.entry(revision.clone()).or_default().remove(id);
        state.removed.push(id.clone());
    }

    fn fail_held(&self, revision: &RevisionKey, code: &str, message: &str) {
        self.state().failed.push((revision.clone(), code.to_owned(), message.to_owned()));
    }

    fn load(&self, revision: &RevisionKey) -> Load {
        self.state().loads.get(revision).copied().unwrap_or_default()
    }

    fn in_flight(&self, _: &RevisionKey, id: &InstanceId) -> u32 {
        self.state().busy.get(id).copied().unwrap_or(0)
    }
}

/// What runs instances, and what control takes for it.
pub(crate) struct Machine {
    clock: Arc<TokioClock>,
    behaviour: Arc<Mutex<Option<Behaviour>>>,
    pub(crate) sim: Sim,
    pub(crate) engine: Arc<dyn Engine>,
}

impl Machine {
    /// A machine on which nothing runs.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(TokioClock(tokio::time::Instant::now()));
        let behaviour: Arc<Mutex<Option<Behaviour>>> = Arc::default();
        let told = behaviour.clone();
        let script: Script = Arc::new(move |_, spec| {
            let told = told.lock().unwrap().clone();
            told.unwrap_or_else(|| Behaviour::from_env(spec))
        });
        let config = SimConfig { script: Some(script), ..SimConfig::default() };
        let sim = Sim::new(config, clock.clone());
        Self { clock, behaviour, engine: Arc::new(sim.clone()), sim }
    }
}

/// What outlives a daemon: the disk. And the parts around control.
pub(crate) struct World {
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) live: Arc<dyn Store>,
    pub(crate) images: Arc<SimImages>,
    pub(crate) engine: Sim,
    /// What instances do from now on, instead of what their image says.
    pub(crate) behaviour: Arc<Mutex<Option<Behaviour>>>,
    pub(crate) plane: Arc<Plane>,
    pub(crate) handle: Handle,
    pub(crate) tasks: Tasks,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Arc::new(Memory::new()), Config::default()).await
    }

    pub(crate) async fn with(store: Arc<dyn Store>, config: Config) -> Self {
        let images = Arc::new(SimImages::new());
        Self::on(store, images, config).await
    }

    /// A daemon on what an earlier one left on disk.
    pub(crate) async fn on(store: Arc<dyn Store>, images: Arc<SimImages>, config: Config) -> Self {
        Self::begin(store, images, config, Machine::new()).await
    }

    /// A daemon over empty stores that finds this machine.
    pub(crate) async fn on_machine(images: Arc<SimImages>, machine: Machine) -> Self {
        Self::begin(Arc::new(Memory::new()), images, Config::default(), machine).await
    }

    async fn begin(
        store: Arc<dyn Store>,
        images: Arc<SimImages>,
        config: Config,
        machine: Machine,
    ) -> Self {
        let Machine { clock, behaviour, sim, engine } = machine;
        let live: Arc<dyn Store> = Arc::new(Memory::new());
        let plane = Arc::new(Plane::default());
        let tasks = Tasks::new(Shutdown::new());
        let deps = Deps {
            store: store.clone(),
            live: live.clone(),
            images: images.clone(),
            engine,
            data_plane: plane.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        };
        let config = Config { seed: Some(1), resources: resources(), ..config };
        let (control, handle) = Control::new(config, deps);
        tasks.spawn("control", control.run(tasks.shutdown().clone()));
        handle.ready().await;
        Self { clock, store, live, images, engine: sim, behaviour, plane, handle, tasks }
    }

    pub(crate) async fn stop(&self) {
        self.tasks.shutdown().call();
        self.tasks.join().await;
    }

    /// Publishes an image whose instances behave as this environment says.
    pub(crate) fn image(&self, name: &str, env: &[(&str, &str)]) {
        let config = ImageConfig {
            entrypoint: vec!["/app".to_owned()],
            env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..ImageConfig::default()
        };
        self.images.publish(&name.parse().unwrap(), config);
    }

    pub(crate) async fn put<T: Serialize>(&self, key: String, object: &T) {
        let data = serde_json::to_vec(object).unwrap().into();
        let value = Value { storage_version: 1, sealed: false, data };
        let writes = vec![Write::Put { key, value }];
        self.store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, resource: &str, name: &str) -> Option<T> {
        let record = self.store.get(&key::object(GROUP, resource, NS, name)).await.unwrap()?;
        Some(serde_json::from_slice(&record.value.data).unwrap())
    }

    pub(crate) async fn service(&self, name: &str) -> Service {
        self.get("services", name).await.unwrap()
    }

    pub(crate) async fn revision(&self, name: &str) -> Revision {
        self.get("revisions", name).await.unwrap()
    }

    /// Creates the service with this template, or gives it this template.
    pub(crate) async fn deploy(&self, name: &str, template: Json) {
        let before: Option<Service> = self.get("services", name).await;
        let mut service: Service = serde_json::from_value(json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": name, "namespace": NS, "generation": 1,
                         "uid": format!("uid-{name}-{}", self.clock.now().as_micros())},
            "spec": {"template": template},
        }))
        .unwrap();
        if let Some(before) = before {
            service.metadata = before.metadata;
            service.metadata.generation = service.metadata.generation.map(|g| g + 1);
            service.spec.traffic = before.spec.traffic;
            service.status = before.status;
        }
        self.put(key::object(GROUP, "services", NS, name), &service).await;
    }

    /// Creates or changes a Configuration or Route, as the API does for a client.
    pub(crate) async fn declare(&self, resource: &str, name: &str, spec: Json) {
        let key = key::object(GROUP, resource, NS, name);
        let record = self.store.get(&key).await.unwrap();
        let mut object: Json = match record {
            Some(record) => serde_json::from_slice(&record.value.data).unwrap(),
            None => json!({
                "apiVersion": "serving.knative.dev/v1",
                "kind": if resource == "routes" { "Route" } else { "Configuration" },
                "metadata": {"name": name, "namespace": NS, "generation": 0,
                             "uid": format!("uid-{name}-{}", self.clock.now().as_micros())},
            }),
        };
        object["spec"] = spec;
        let generation = object["metadata"]["generation"].as_i64().unwrap() + 1;
        object["metadata"]["generation"] = json!(generation);
        self.put(key, &object).await;
    }

    /// `Ready` of a Configuration or Route, once its newest generation was looked at.
    pub(crate) async fn until_says(&self, resource: &str, name: &str, want: (&str, &str)) -> Json {
        for _ in 0..100_000 {
            let object: Json = self.get(resource, name).await.unwrap_or_default();
            let observed = &object["status"]["observedGeneration"];
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().find(|c| c["type"] == "Ready").cloned();
            let ready = ready.unwrap_or_default();
            let reason = ready["reason"].as_str().unwrap_or_default();
            let says = (ready["status"].as_str().unwrap_or_default(), reason);
            if says == want && *observed == object["metadata"]["generation"] {
                return object;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let object: Option<Json> = self.get(resource, name).await;
        panic!("{resource}/{name} never was {want:?}: {object:#?}");
    }

    /// Deploys an image and waits until the service is ready.
    pub(crate) async fn deploy_ready(&self, name: &str, image: &str) {
        self.deploy(name, template(image)).await;
        self.until_ready(name, "True").await;
    }

    pub(crate) async fn delete(&self, resource: &str, name: &str) {
        let key = key::object(GROUP, resource, NS, name);
        let writes = vec![Write::Delete { key }];
        self.store.commit(Commit { writes, ..Commit::default() }).await.unwrap();
    }

    /// Waits until `Ready` of the service has this status for its newest generation.
    pub(crate) async fn until_ready(&self, name: &str, status: &str) -> Condition {
        for _ in 0..100_000 {
            let service = self.service(name).await;
            let observed = service.status.as_ref().map(|s| s.observed_generation);
            let ready = condition(&service, "Ready");
            if observed == service.metadata.generation && ready.status == status {
                return ready;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} never was {status}: {:?}", self.service(name).await.status);
    }

    pub(crate) async fn instances(&self, state: State) -> Vec<InstanceStatus> {
        let all = self.engine.list().await.unwrap();
        all.into_iter().filter(|instance| instance.state == state).collect()
    }

    pub(crate) async fn running(&self) -> usize {
        self.engine.list().await.unwrap().iter().filter(|i| i.state != State::Exited).count()
    }

    pub(crate) async fn pods(&self) -> Vec<Pod> {
        self.list_live("pods").await
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        self.list_live("events").await
    }

    pub(crate) async fn list_live<T: DeserializeOwned>(&self, resource: &str) -> Vec<T> {
        let scan = self.live.scan(&key::all("", resource), None, None, 10_000).await.unwrap();
        let decode = |r: ebb_store::Record| serde_json::from_slice(&r.value.data).unwrap();
        scan.records.into_iter().map(decode).collect()
    }

    pub(crate) async fn keys(&self, resource: &str) -> Vec<String> {
        let scan = self.store.scan(&key::all(GROUP, resource), None, None, 1000).await.unwrap();
        scan.records.into_iter().map(|r| r.key.rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// So many requests wait for the revision, which just asked for instances.
    pub(crate) fn hold(&self, revision: &str, held: u32) {
        self.load(revision, held, 0);
        self.handle.activate(&RevisionKey::new(NS, revision));
    }

    pub(crate) fn load(&self, revision: &str, held: u32, in_flight: u32) {
        let load = Load { held, in_flight, last_active: Some(self.clock.now()) };
        self.plane.state().loads.insert(RevisionKey::new(NS, revision), load);
    }
}

/// Kinds as the API serves them.
fn resources() -> Vec<Resource> {
    let kind = |group: &str, kind: &str, plural: &str, durable: bool| Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced: kind != "Namespace" && kind != "Node",
        durable,
    };
    vec![
        kind("", "ConfigMap", "configmaps", true),
        kind("", "Event", "events", false),
        kind("", "Namespace", "namespaces", true),
        kind("", "Node", "nodes", false),
        kind("", "Pod", "pods", false),
        kind("", "Secret", "secrets", true),
        kind("coordination.k8s.io", "Lease", "leases", true),
        kind(GROUP, "Configuration", "configurations", true),
        kind(GROUP, "Revision", "revisions", true),
        kind(GROUP, "Route", "routes", true),
        kind(GROUP, "Service", "services", true),
    ]
}

pub(crate) fn template(image: &str) -> Json {
    json!({"spec": {"containers": [{"image": image}]}})
}

pub(crate) fn condition(service: &Service, type_: &str) -> Condition {
    let conditions = service.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().find(|c| c.type_ == type_).cloned().unwrap_or_default()
}

/// Waits, in simulated time, until `holds`.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..100_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
