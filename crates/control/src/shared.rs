//! What the parts of control share.

use std::sync::Arc;
use std::time::Duration;

use ebb_engine::Engine;
use ebb_images::ImageStore;
use ebb_kit::{Backoff, Clock, Shutdown, Tasks};
use ebb_model::RevisionKey;
use ebb_store::Store;
use tokio::sync::{Semaphore, watch};

use crate::DataPlane;
use crate::config::Config;
use crate::control::Deps;
use crate::error::Error;
use crate::events::EventBook;
use crate::explain::ExplainBook;
use crate::fleet::Fleet;
use crate::followers::Followers;
use crate::garbage::Garbage;
use crate::ids::Ids;
use crate::keys::ServiceKey;
use crate::namespaces::Namespaces;
use crate::pods::PodBook;
use crate::queue::WorkQueue;
use crate::rollout::Rollouts;
use crate::routes::RouteBook;

/// Waits after a failure of the store, and between tries to write an object.
pub(crate) const RETRY: Backoff =
    Backoff { first: Duration::from_millis(50), most: Duration::from_secs(30) };

/// Revisions whose instance specs are made at the same time.
const PREPARING: usize = 4;

/// How long replica counts may be behind: they are written at most that often per revision.
const REPLICAS: Duration = Duration::from_secs(15);

/// The parts of control, and what they work with.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) live: Arc<dyn Store>,
    pub(crate) images: Arc<dyn ImageStore>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) data_plane: Arc<dyn DataPlane>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    /// Called when every instance was stopped: nothing is left to do.
    pub(crate) shutdown: Shutdown,
    pub(crate) ids: Arc<Ids>,
    pub(crate) routes: RouteBook,
    /// Which Routes look at which objects of others.
    pub(crate) followers: Followers,
    pub(crate) fleet: Fleet,
    pub(crate) pods: PodBook,
    pub(crate) events: EventBook,
    pub(crate) explain: ExplainBook,
    pub(crate) rollouts: Rollouts,
    pub(crate) garbage: Garbage,
    pub(crate) namespaces: Namespaces,
    /// Names to reconcile: each with its Service, Configuration and Route.
    pub(crate) services: WorkQueue<ServiceKey>,
    /// Revisions whose replica counts may have changed.
    pub(crate) replicas: WorkQueue<RevisionKey>,
    pub(crate) preparing: Semaphore,
    pub(crate) ready: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(config: Config, deps: Deps) -> Self {
        let Deps { store, live, images, engine, data_plane, clock, tasks } = deps;
        let ids = Arc::new(Ids::new(config.seed));
        let node = config.node.name.clone();
        Self {
            routes: RouteBook::new(data_plane.clone()),
            followers: Followers::default(),
            fleet: Fleet::new(data_plane.clone(), clock.clone(), ids.clone()),
            pods: PodBook::new(clock.clone(), ids.clone(), &node),
            events: EventBook::new(clock.clone(), ids.clone(), &node),
            explain: ExplainBook::default(),
            rollouts: Rollouts::default(),
            garbage: Garbage::new(clock.clone()),
            namespaces: Namespaces::new(clock.clone()),
            services: WorkQueue::new(clock.clone()),
            replicas: WorkQueue::new(clock.clone()),
            preparing: Semaphore::new(PREPARING),
            ready: watch::Sender::new(false),
            config,
            store,
            live,
            images,
            engine,
            data_plane,
            clock,
            tasks,
            shutdown: Shutdown::new(),
            ids,
        }
    }

    /// Instances of the revision came or went: its counts are written later, off every path that
    /// a request waits for.
    pub(crate) fn replicas_changed(&self, revision: &RevisionKey) {
        self.replicas.add_after(revision.clone(), REPLICAS);
    }

    /// After a failure of the store: logs it and waits, longer each time. A conflict only means
    /// that somebody else was faster.
    pub(crate) async fn pause(&self, error: &Error, tries: &mut u32) {
        if !error.is_conflict() {
            tracing::warn!(%error, tries = *tries, "trying again");
        }
        tokio::time::sleep(self.wait(*tries)).await;
        *tries = tries.saturating_add(1);
    }

    /// Wait before try number `tries` of something that has to succeed at last.
    pub(crate) fn wait(&self, tries: u32) -> Duration {
        RETRY.wait(tries, self.ids.jitter())
    }
}
