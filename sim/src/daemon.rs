//! One life of the daemon: control, gateway and door, wired as the composition root does.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ebb_api::{Api, Direct, Explanation};
use ebb_control::{Config, Control, Deps};
use ebb_kit::{Clock, Shutdown, Tasks};
use ebb_model::{Fault, InstanceId};
use ebb_store::Store;
use ebb_store::memory::Memory;
use ebb_store::{Options, Retention};
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value as Json;
use tokio::sync::{Notify, oneshot};

use crate::chance::Which;
use crate::gate::{self, Cut};
use crate::gateway::{self, Plane};
use crate::lock;
use crate::store::SimStore;
use crate::world::World;

/// Time for a rollout: shorter than by default, so that a run need not be as long.
const PROGRESS: Duration = Duration::from_mins(2);
/// Time for the start of an instance.
const START: Duration = Duration::from_mins(1);
/// Time that requests get to end when the doors close.
const DRAIN: Duration = Duration::from_secs(10);
/// Time that a client waits for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon that runs.
#[derive(Clone)]
pub(crate) struct Daemon {
    pub(crate) cut: Arc<Cut>,
    pub(crate) tasks: Tasks,
    pub(crate) plane: Arc<Plane>,
    pub(crate) live: Arc<SimStore>,
    door: Arc<Mutex<Option<Direct>>>,
    opened: Arc<Notify>,
    token: String,
}

/// What the door answered. No status: the connection was lost, and nothing is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: Option<u16>,
    pub(crate) body: Json,
}

impl Reply {
    /// Whether it was done.
    pub(crate) fn ok(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Status, and the reason where it was refused.
    pub(crate) fn brief(&self) -> String {
        let Some(status) = self.status else { return "no answer".to_owned() };
        if self.ok() {
            return status.to_string();
        }
        let text = |path| self.body.pointer(path).and_then(Json::as_str).unwrap_or_default();
        let cause = text("/details/causes/0/reason");
        format!("{status} {} {cause}", text("/reason")).trim_end().to_owned()
    }
}

/// Control, as the door needs it.
struct Platform(ebb_control::Handle);

#[async_trait]
impl ebb_api::Platform for Platform {
    async fn explain(&self, namespace: &str, service: &str) -> Option<Explanation> {
        let explanation = self.0.explain(namespace, service)?;
        Some(Explanation { decisions: explanation.decisions, cold_starts: explanation.cold_starts })
    }

    async fn stop_pod(
        &self,
        namespace: &str,
        pod: &str,
        uid: Option<&str>,
        period: Option<std::time::Duration>,
    ) -> Result<(), Fault> {
        self.0.stop_pod(namespace, pod, uid, period).await
    }

    async fn instance_of_pod(&self, namespace: &str, pod: &str) -> Option<(InstanceId, String)> {
        self.0.instance_of_pod(namespace, pod)
    }
}

impl Daemon {
    /// Starts on what the world has; `seed` is for this life alone.
    ///
    /// # Errors
    /// When the files of the door cannot be used.
    pub(crate) fn start(world: &World, seed: u64, dir: &Path) -> Result<Self, ebb_api::Error> {
        let cut = Arc::new(Cut::new());
        let shutdown = Shutdown::new();
        let tasks = Tasks::gated(shutdown.clone(), cut.clone());
        let clock: Arc<dyn Clock> = world.clock.clone();
        let options = Options { clock: clock.clone(), ..Options::new(Retention::MEMORY) };
        let (chance, trace) = (world.chance.clone(), world.trace.clone());
        let live = SimStore::new(Memory::with(options), Which::Live, chance, trace, None);
        let live = Arc::new(live);
        let store: Arc<dyn Store> = world.store.clone();
        let deps = gateway::Deps {
            engine: world.engine.clone(),
            store: world.store.clone(),
            clock: clock.clone(),
            trace: world.trace.clone(),
            tasks: tasks.clone(),
        };
        let plane = Arc::new(Plane::new(deps, world.defect.careless()));
        let config = Config {
            progress_deadline: PROGRESS,
            start_timeout: START,
            seed: Some(seed),
            resources: ebb_api::resources(),
            ..Config::default()
        };
        let deps = Deps {
            store: store.clone(),
            live: live.clone(),
            images: world.images.clone(),
            engine: world.engine.clone(),
            data_plane: plane.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        };
        let (control, handle) = Control::new(config, deps);
        let _ = plane.control.set(handle.clone());
        let deps = ebb_api::Deps {
            store,
            live: live.clone(),
            images: world.images.clone(),
            engine: world.engine.clone(),
            platform: Arc::new(Platform(handle.clone())),
            clock,
            hooks: ebb_api::admission::hooks::Hooks::default(),
        };
        ebb_api::seed_this_thread(seed);
        let config = ebb_api::Config { dir: dir.to_owned(), ..ebb_api::Config::default() };
        let (api, api_handle) = Api::new(config, deps)?;
        let token = api_handle.token().to_owned();
        tasks.spawn_essential("control", control.run(shutdown.clone()));
        let (door, opened) = (Arc::new(Mutex::new(None)), Arc::new(Notify::new()));
        let daemon = Self { cut, tasks, plane, live, door, opened, token };
        daemon.open(api, handle);
        Ok(daemon)
    }

    /// Opens the door once control is ready. A store that fails ends the daemon, as in the
    /// composition root.
    fn open(&self, api: Api, control: ebb_control::Handle) {
        let daemon = self.clone();
        self.tasks.spawn_essential("main", async move {
            control.ready().await;
            match api.direct(daemon.tasks.shutdown()).await {
                Ok(direct) => {
                    *lock(&daemon.door) = Some(direct);
                    daemon.opened.notify_waiters();
                }
                Err(_) => daemon.cut.now(),
            }
        });
    }

    /// Whether the door is open.
    pub(crate) fn is_up(&self) -> bool {
        !self.cut.is_dead() && lock(&self.door).is_some()
    }

    /// Answers when the door is open, or the daemon has ended.
    pub(crate) async fn until_up(&self) {
        loop {
            let opened = self.opened.notified();
            if self.is_up() || self.cut.is_dead() {
                return;
            }
            tokio::select! {
                biased;
                () = opened => {}
                () = self.cut.ended() => {}
            }
        }
    }

    /// The doors close: what is under way gets some time.
    pub(crate) async fn close(&self) {
        lock(&self.door).take();
        let end = tokio::time::Instant::now() + DRAIN;
        while self.plane.busy() && tokio::time::Instant::now() < end && !self.cut.is_dead() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.plane.close();
        tokio::task::yield_now().await;
    }

    /// Nothing of it goes on any more.
    pub(crate) fn kill(&self) {
        self.cut.now();
        self.tasks.kill();
        // What the door shares with the tasks goes too.
        lock(&self.door).take();
    }

    fn request(&self, method: &str, path: &str, body: &Json) -> Option<Request<Bytes>> {
        let (method, kind) = match method {
            "APPLY" => ("PATCH", "application/apply-patch+yaml"),
            "PATCH" => ("PATCH", "application/merge-patch+json"),
            _ => (method, "application/json"),
        };
        let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("authorization", format!("Bearer {}", self.token));
        if !bytes.is_empty() {
            request = request.header("content-type", kind);
        }
        request.body(bytes).ok()
    }

    /// Asks the door. The work is the daemon's: it ends with it. A client that goes away after so
    /// many `polls` of it ends it, too, as the server does when a connection is closed.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: &Json,
        polls: Option<u64>,
    ) -> Reply {
        let Some(direct) = lock(&self.door).clone() else { return Reply::default() };
        let Some(request) = self.request(method, path, body) else { return Reply::default() };
        let (send, receive) = oneshot::channel();
        let work = async move {
            let response = direct.call(request).await;
            let status = response.status().as_u16();
            let bytes =
                response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            let body = bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            // Nobody waits for it when the client went away.
            let _ = send.send(Reply { status: Some(status), body: body.unwrap_or_default() });
        };
        self.tasks.spawn("api-request", async move {
            // Dropped, it sends no answer.
            let _ = gate::for_polls(polls.unwrap_or(u64::MAX), work).await;
        });
        match tokio::time::timeout(PATIENCE, receive).await {
            Ok(Ok(reply)) => reply,
            _ => Reply::default(),
        }
    }

    /// Opens a watch, whose body goes on. None: refused, or the daemon is gone.
    pub(crate) async fn watch(&self, path: &str) -> Option<ebb_api::Body> {
        let direct = lock(&self.door).clone()?;
        let request = self.request("GET", path, &Json::Null)?;
        let response = direct.call(request).await;
        response.status().is_success().then(|| response.into_body())
    }
}
