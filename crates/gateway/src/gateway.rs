//! The gateway itself: accepts connections, and the handle by which it is told what to do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use ebb_kit::{Clock, Shutdown, Tasks};
use ebb_model::routing::{Endpoint, Load, RouteTable};
use ebb_model::{InstanceId, RevisionKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::answer::Answer;
use crate::config::Config;
use crate::connection;
use crate::error::Error;
use crate::ids::Ids;
use crate::route::Table;
use crate::seam::Activator;
use crate::shared::Shared;

/// How often idle connections to instances are looked through.
const SWEEP: Duration = Duration::from_secs(10);
/// Pause after `accept` failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes requests and sends them to instances.
pub struct Gateway {
    shared: Arc<Shared>,
}

/// Tells the gateway about routes and instances, and asks it about load. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Gateway {
    /// A gateway without routes. It takes requests when it runs.
    pub fn new(
        config: Config,
        activator: Arc<dyn Activator>,
        tasks: Tasks,
        clock: Arc<dyn Clock>,
    ) -> (Self, Handle) {
        let shared = Arc::new(Shared {
            config,
            table: ArcSwap::from_pointee(Table::default()),
            revisions: Mutex::new(HashMap::new()),
            routing: Mutex::new(()),
            activator,
            clock,
            tasks,
            ids: Ids::new(),
            stopping: AtomicBool::new(false),
        });
        (Self { shared: Arc::clone(&shared) }, Handle { shared })
    }

    /// Serves until `shutdown` is called; then takes no more connections, lets requests in flight
    /// end within `drain_ms`, and answers.
    pub async fn run(
        self,
        listener: std::net::TcpListener,
        shutdown: Shutdown,
    ) -> Result<(), Error> {
        listener.set_nonblocking(true).map_err(Error::Listener)?;
        let listener = TcpListener::from_std(listener).map_err(Error::Listener)?;
        let most = self.shared.config.max_connections.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        // Called after `stopping` is set, so that whoever it wakes sees that.
        let closing = Shutdown::new();
        self.spawn_sweeper(&closing);
        loop {
            let accepted = tokio::select! {
                () = shutdown.wait() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, &places, &closing),
                Err(error) => {
                    tracing::warn!(%error, "accepting a client connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.shared.stopping.store(true, Ordering::Release);
        closing.call();
        self.drain(&places, most).await;
        Ok(())
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        places: &Arc<Semaphore>,
        closing: &Shutdown,
    ) {
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            let refusal = Answer::too_many_connections(self.shared.config.max_connections);
            let id = self.shared.ids.fresh();
            // A socket just accepted has room for it; a client that cannot take it is not waited
            // for, that is the point of the limit.
            let _ = stream.try_write(&refusal.raw(id.to_str().unwrap_or_default()));
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a client connection was gone at once");
            return;
        }
        let (shared, closing) = (Arc::clone(&self.shared), closing.clone());
        self.shared.tasks.spawn("gateway-connection", async move {
            connection::serve(shared, stream, peer, closing).await;
            drop(place);
        });
    }

    fn spawn_sweeper(&self, closing: &Shutdown) {
        let (shared, closing) = (Arc::clone(&self.shared), closing.clone());
        self.shared.tasks.spawn("gateway-sweeper", async move {
            let mut ticks = tokio::time::interval(SWEEP);
            loop {
                tokio::select! {
                    () = closing.wait() => return,
                    _ = ticks.tick() => shared.sweep(),
                }
            }
        });
    }

    async fn drain(&self, places: &Semaphore, most: usize) {
        let all = u32::try_from(most).unwrap_or(u32::MAX);
        let limit = Duration::from_millis(self.shared.config.drain_ms) + Duration::from_secs(2);
        if tokio::time::timeout(limit, places.acquire_many(all)).await.is_err() {
            tracing::warn!("client connections were left at shutdown");
        }
    }
}

impl Handle {
    /// Replaces every route.
    pub fn set_routes(&self, routes: RouteTable) {
        self.shared.set_routes(routes);
    }

    /// An instance takes requests from now on; held requests are given to it at once. Adding one
    /// again changes nothing.
    pub fn add_endpoint(&self, revision: &RevisionKey, endpoint: Endpoint) {
        self.shared.add(revision, endpoint);
    }

    /// The instance gets no more requests. Answers when those it works on have ended, or after
    /// `limit`.
    pub async fn drain_endpoint(&self, revision: &RevisionKey, id: &InstanceId, limit: Duration) {
        if let Some(revision) = self.shared.find(revision) {
            revision.drain(id, limit).await;
        }
    }

    /// The instance is gone: it gets no more requests, and those it works on fail, at once.
    pub fn remove_endpoint(&self, revision: &RevisionKey, id: &InstanceId) {
        if let Some(revision) = self.shared.find(revision) {
            revision.remove(id);
        }
    }

    /// Fails every held request of the revision with 503 and this code and sentence.
    pub fn fail_held(&self, revision: &RevisionKey, code: &str, message: &str) {
        if let Some(revision) = self.shared.find(revision) {
            revision.fail_held(code, message);
        }
    }

    /// What happens at the revision now.
    pub fn load(&self, revision: &RevisionKey) -> Load {
        self.shared.find(revision).map_or_else(Load::default, |revision| revision.load())
    }

    /// Requests that the instance works on now.
    pub fn in_flight(&self, revision: &RevisionKey, id: &InstanceId) -> u32 {
        self.shared.find(revision).map_or(0, |revision| revision.in_flight(id))
    }
}
