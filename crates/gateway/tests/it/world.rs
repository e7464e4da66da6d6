//! A running gateway, and a recorder of what it asks for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ebb_gateway::{Activator, Config, Gateway, Handle};
use ebb_kit::{Shutdown, SystemClock, Tasks};
use ebb_model::routing::{
    ColdRequest, Endpoint, Load, RequestPolicy, RouteEntry, RouteTable, RouteTarget,
};
use ebb_model::{InstanceId, RevisionKey};
use tokio::sync::Notify;

use crate::client::Client;

/// Remembers what the gateway reported.
#[derive(Default)]
pub(crate) struct Recorder {
    activated: Mutex<Vec<RevisionKey>>,
    cold: Mutex<Vec<ColdRequest>>,
    changed: Notify,
}

impl Activator for Recorder {
    fn activate(&self, revision: &RevisionKey) {
        self.activated.lock().unwrap().push(revision.clone());
        self.changed.notify_waiters();
    }

    fn cold_request(&self, request: ColdRequest) {
        self.cold.lock().unwrap().push(request);
        self.changed.notify_waiters();
    }
}

impl Recorder {
    pub(crate) fn activations(&self) -> usize {
        self.activated.lock().unwrap().len()
    }

    pub(crate) fn cold(&self) -> Vec<ColdRequest> {
        self.cold.lock().unwrap().clone()
    }

    /// Waits until so many activations were asked for in all.
    pub(crate) async fn activated(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            if self.activations() >= count {
                return;
            }
            changed.await;
        }
    }
}

pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) address: SocketAddr,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) tasks: Tasks,
    pub(crate) shutdown: Shutdown,
    pub(crate) ended: Arc<Notify>,
}

pub(crate) const HOST: &str = "hello.default.test";

pub(crate) fn key() -> RevisionKey {
    RevisionKey::new("default", "hello-00001")
}

pub(crate) fn policy() -> RequestPolicy {
    RequestPolicy { concurrency: 0, timeout_ms: 30_000, hold_limit: 10_000 }
}

pub(crate) fn id(n: usize) -> InstanceId {
    InstanceId::parse(&format!("{n:026}")).unwrap()
}

pub(crate) fn routes(targets: &[(RevisionKey, u8)], policy: RequestPolicy) -> RouteTable {
    let targets = targets.iter().map(|(revision, percent)| RouteTarget {
        revision: revision.clone(),
        percent: *percent,
        policy,
    });
    let entry = RouteEntry {
        namespace: "default".into(),
        service: "hello".into(),
        stopped: false,
        targets: targets.collect(),
    };
    RouteTable { hosts: [(HOST.to_owned(), Arc::new(entry))].into() }
}

impl World {
    /// A gateway with one route, from [`HOST`] to the revision [`key`].
    pub(crate) async fn new(policy: RequestPolicy) -> Self {
        Self::with(Config::default(), policy).await
    }

    #[allow(clippy::unused_async)] // needs the runtime
    pub(crate) async fn with(config: Config, policy: RequestPolicy) -> Self {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(Shutdown::new());
        let recorder = Arc::new(Recorder::default());
        let (gateway, handle) = Gateway::new(
            config,
            Arc::clone(&recorder) as _,
            tasks.clone(),
            Arc::new(SystemClock::new()),
        );
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ended, running) = (Arc::new(Notify::new()), shutdown.child());
        let done = Arc::clone(&ended);
        tasks.spawn("gateway", async move {
            gateway.run(listener, running).await.unwrap();
            done.notify_one();
        });
        handle.set_routes(routes(&[(key(), 100)], policy));
        Self { handle, address, recorder, tasks, shutdown, ended }
    }

    pub(crate) fn add(&self, n: usize, address: SocketAddr) {
        self.handle.add_endpoint(&key(), Endpoint { id: id(n), address });
    }

    pub(crate) fn load(&self) -> Load {
        self.handle.load(&key())
    }

    /// Waits until the load is as `wanted`. The gateway has no event for it; the state that is
    /// waited for decides the test, the time does not.
    pub(crate) async fn until(&self, wanted: impl Fn(Load) -> bool) {
        while !wanted(self.load()) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.call();
        self.tasks.shutdown().call();
    }
}
