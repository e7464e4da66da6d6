//! The part itself: its workers, its start and its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ebb_engine::{Engine, Events};
use ebb_images::ImageStore;
use ebb_kit::{Clock, Shutdown, Tasks};
use ebb_model::RevisionKey;
use ebb_store::Store;

use crate::config::Config;
use crate::error::Error;
use crate::events::expiry;
use crate::fleet::effects::{keep_stopping, perform};
use crate::handle::Handle;
use crate::keys::ServiceKey;
use crate::shared::Shared;
use crate::{DataPlane, changes, nodes, reconcile, resync, revision, watch};

/// Names that are reconciled at the same time. Their commits share the store's fsyncs.
const WORKERS: usize = 16;
/// Objects that garbage collection looks at, and namespaces that are emptied, at the same time.
const COLLECTORS: usize = 4;
/// Conflicts in a row after which the start does not wait for a name any more.
const CONFLICTS: u32 = 5;
/// Time beyond its grace that an instance gets to be gone at shutdown.
const SLACK: Duration = Duration::from_secs(5);

/// What control works with.
pub struct Deps {
    /// Durable store of the declared resources. Sealed values must come out of it in the clear.
    pub store: Arc<dyn Store>,
    /// Store of what mirrors the running machine: Pod, Event, Node.
    pub live: Arc<dyn Store>,
    /// Images.
    pub images: Arc<dyn ImageStore>,
    /// Runs instances.
    pub engine: Arc<dyn Engine>,
    /// The gateway.
    pub data_plane: Arc<dyn DataPlane>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Runs tasks. Control's end with the shutdown that [`Control::run`] is given.
    pub tasks: Tasks,
}

/// The reconcilers.
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    /// Wires control. Nothing happens before [`Control::run`].
    pub fn new(config: Config, deps: Deps) -> (Self, Handle) {
        let shared = Arc::new(Shared::new(config, deps));
        (Self { shared: shared.clone() }, Handle::new(shared))
    }

    /// Runs until `shutdown` is called, then stops every instance (all at once, each within its
    /// grace), ends its tasks and returns. Requests that still run in an instance are not waited
    /// for: the gateway has to be done before.
    pub async fn run(self, shutdown: Shutdown) {
        let shared = self.shared;
        tokio::select! {
            biased;
            () = shutdown.wait() => {}
            () = start(&shared) => shutdown.wait().await,
        }
        stop_all(&shared).await;
        shared.shutdown.call();
    }
}

/// Starts from nothing but the store: whatever the engine still runs is not known, and is stopped.
async fn start(shared: &Arc<Shared>) {
    let events = follow_engine(shared).await;
    spawn(shared, "control-engine-events", engine_events(shared.clone(), events));
    for _ in 0..2 {
        spawn(shared, "control-pods", pods(shared.clone()));
        spawn(shared, "control-events", events_writer(shared.clone()));
    }
    spawn(shared, "control-fleet", fleet(shared.clone()));
    spawn(shared, "control-replicas", replicas(shared.clone()));
    spawn(shared, "control-secrets", watch::sources(shared.clone(), "secrets"));
    spawn(shared, "control-configmaps", watch::sources(shared.clone(), "configmaps"));
    let since = first_pass(shared).await;
    spawn(shared, "control-watch", watch::run(shared.clone(), since));
    everything(shared);
    for _ in 0..WORKERS {
        spawn(shared, "control-reconcile", names(shared.clone()));
    }
    shared.routes.open();
    shared.ready.send_replace(true);
    let mut tries = 0;
    let write = || nodes::write(&*shared.live, &shared.config, shared.clock.now());
    while let Err(error) = write().await {
        shared.pause(&error, &mut tries).await;
    }
}

/// What treats all kinds of objects alike.
fn everything(shared: &Arc<Shared>) {
    spawn(shared, "control-changes", changes::follow_durable(shared.clone()));
    spawn(shared, "control-live-changes", changes::follow_live(shared.clone()));
    for _ in 0..COLLECTORS {
        spawn(shared, "control-garbage", changes::collect(shared.clone()));
        spawn(shared, "control-namespaces", changes::empty_namespaces(shared.clone()));
    }
    spawn(shared, "control-resync", resync::garbage(shared.clone()));
    spawn(shared, "control-event-expiry", expiry::run(shared.clone()));
}

/// Reconciles every name once, several at a time: reading is waiting, and decoding is work for
/// every processor.
async fn first_pass(shared: &Arc<Shared>) -> u64 {
    let mut tries = 0;
    let (names, since) = loop {
        match watch::names(shared).await {
            Ok(found) => break found,
            Err(error) => shared.pause(&error, &mut tries).await,
        }
    };
    let left = Arc::new(Mutex::new(names));
    let (at_work, mut all_done) = tokio::sync::mpsc::channel::<()>(1);
    for _ in 0..WORKERS {
        let (shared_, left, at_work) = (shared.clone(), left.clone(), at_work.clone());
        let next = move || left.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
        spawn(shared, "control-first-look", async move {
            while let Some(name) = next() {
                first_look(&shared_, name).await;
            }
            drop(at_work);
        });
    }
    drop(at_work);
    // Nothing is ever sent: it ends when the last of them has dropped its end.
    all_done.recv().await;
    since
}

/// Reconciles a name until that works. One that meets nothing but conflicts, as where an object
/// that cannot be read is in the way, is left to the workers: no start may wait for ever for it.
async fn first_look(shared: &Arc<Shared>, name: ServiceKey) {
    let mut tries = 0;
    let mut wait = resync::next(&name.to_string());
    while let Err(error) = Box::pin(reconcile::name(shared, &name)).await {
        if matches!(error, Error::Corrupt { .. }) {
            tracing::error!(%name, %error, "left as it is");
            break;
        }
        if error.is_conflict() && tries >= CONFLICTS {
            tracing::error!(%name, %error, "not reconciled yet");
            wait = Duration::ZERO;
            break;
        }
        shared.pause(&error, &mut tries).await;
    }
    shared.services.add_after(name, wait);
}

fn spawn(shared: &Shared, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let shutdown = shared.shutdown.clone();
    shared.tasks.spawn_essential(name, async move {
        tokio::select! {
            biased;
            () = shutdown.wait() => {}
            () = work => {}
        }
    });
}

async fn names(shared: Arc<Shared>) {
    loop {
        let name = shared.services.next().await;
        match Box::pin(reconcile::name(&shared, &name)).await {
            Ok(there) => {
                if there {
                    let wait = resync::next(&name.to_string());
                    shared.services.add_after(name.clone(), wait);
                }
                shared.services.done(&name);
            }
            Err(error) => {
                if !error.is_conflict() {
                    tracing::warn!(%name, %error, "reconciling failed, trying again");
                }
                shared.services.retry(&name, |tries| shared.wait(tries));
            }
        }
    }
}

async fn fleet(shared: Arc<Shared>) {
    loop {
        let revision = shared.fleet.queue.next().await;
        if let Some(outstanding) = shared.fleet.evaluate(&revision) {
            perform(&shared, outstanding);
        }
        shared.fleet.queue.done(&revision);
    }
}

async fn pods(shared: Arc<Shared>) {
    loop {
        let pod = shared.pods.next().await;
        match shared.pods.write(&*shared.live, &pod).await {
            Ok(()) => shared.pods.done(&pod),
            Err(error) => {
                tracing::warn!(?pod, %error, "a pod could not be written, trying again");
                shared.pods.retry(&pod, |tries| shared.wait(tries));
            }
        }
        for id in shared.pods.forgotten() {
            // It has ended: this only lets the engine drop what it kept of it.
            if let Err(error) = shared.engine.stop(&id, Duration::ZERO).await {
                tracing::warn!(instance = %id, %error, "an ended instance could not be removed");
            }
        }
    }
}

async fn events_writer(shared: Arc<Shared>) {
    loop {
        let event = shared.events.next().await;
        match shared.events.write(&*shared.live, &event).await {
            Ok(()) => shared.events.done(&event),
            Err(error) => {
                tracing::warn!(event, %error, "an event could not be written, trying again");
                shared.events.retry(&event, |tries| shared.wait(tries));
            }
        }
    }
}

/// Writes how many instances a revision has, some time after that changed.
async fn replicas(shared: Arc<Shared>) {
    loop {
        let key = shared.replicas.next().await;
        write_replicas(&shared, &key).await;
        shared.replicas.done(&key);
    }
}

async fn write_replicas(shared: &Shared, key: &RevisionKey) {
    let (counts, now) = (shared.fleet.counts(key), shared.clock.now());
    revision::write_status(shared, key, |status| revision::set_replicas(status, counts, now)).await;
}

/// Begins to follow the engine, and stops what it runs that nobody here knows.
async fn follow_engine(shared: &Arc<Shared>) -> Events {
    let (mut since, mut tries) = (0, 0);
    loop {
        let events = shared.engine.events(since).await;
        let listed = shared.engine.list().await;
        match (events, listed) {
            (Ok(events), Ok(listed)) => {
                for stray in listed {
                    if let Err(error) = shared.engine.stop(&stray.id, Duration::ZERO).await {
                        tracing::warn!(instance = %stray.id, %error, "could not be stopped yet");
                        keep_stopping(shared, stray.id);
                    }
                }
                return events;
            }
            // What happened before now does not matter: everything is stopped.
            (Err(ebb_engine::Error::EventsLost { oldest }), _) => since = oldest.saturating_sub(1),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "the engine does not answer, trying again");
                tokio::time::sleep(shared.wait(tries)).await;
                tries += 1;
            }
        }
    }
}

/// Takes in what happens to instances.
async fn engine_events(shared: Arc<Shared>, mut events: Events) {
    let mut seen = 0;
    // Streams in a row that ended before they told anything.
    let mut empty = 0;
    loop {
        while let Some(event) = events.recv().await {
            (seen, empty) = (event.seq, 0);
            if let Some(outstanding) = shared.fleet.on_event(&event.id, event.what) {
                perform(&shared, outstanding);
            }
        }
        if empty > 0 {
            tokio::time::sleep(shared.wait(empty - 1)).await;
        }
        empty += 1;
        events = resume(&shared, &mut seen).await;
    }
}

/// Follows the engine's events after `seen`. When some are no longer kept, the engine's list says
/// what became of each instance.
async fn resume(shared: &Arc<Shared>, seen: &mut u64) -> Events {
    let mut tries = 0;
    loop {
        match shared.engine.events(*seen).await {
            Ok(events) => return events,
            Err(ebb_engine::Error::EventsLost { oldest }) if oldest.saturating_sub(1) != *seen => {
                *seen = oldest.saturating_sub(1);
                catch_up(shared).await;
            }
            Err(error) => {
                tracing::warn!(%error, "the engine's events ended, trying again");
                tokio::time::sleep(shared.wait(tries)).await;
                tries += 1;
            }
        }
    }
}

/// Takes in what the engine's list says, however often it has to be asked: what it does not say is
/// never told again.
async fn catch_up(shared: &Arc<Shared>) {
    let mut tries = 0;
    let (taken, listed) = loop {
        let taken = shared.fleet.taken();
        match shared.engine.list().await {
            Ok(listed) => break (taken, listed),
            Err(error) => {
                tracing::warn!(%error, "the engine does not list its instances, trying again");
                tokio::time::sleep(shared.wait(tries)).await;
                tries += 1;
            }
        }
    };
    for (id, what) in shared.fleet.missed(&taken, &listed) {
        if let Some(outstanding) = shared.fleet.on_event(&id, what) {
            perform(shared, outstanding);
        }
    }
}

/// Stops every instance, all at once.
async fn stop_all(shared: &Arc<Shared>) {
    let stops = shared.fleet.close().into_iter().map(|(id, grace)| {
        let (done, was_done) = tokio::sync::oneshot::channel::<()>();
        let engine = shared.engine.clone();
        shared.tasks.spawn("control-stop-all", async move {
            let stop = tokio::time::timeout(grace.saturating_add(SLACK), engine.stop(&id, grace));
            match stop.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(instance = %id, %error, "could not be stopped"),
                Err(_) => tracing::warn!(instance = %id, "did not stop in time"),
            }
            drop(done);
        });
        was_done
    });
    for stopped in stops.collect::<Vec<_>>() {
        // Only that it has ended matters, which the dropped sender says.
        let _ = stopped.await;
    }
}
