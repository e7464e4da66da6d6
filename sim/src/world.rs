//! The simulated machine with everything on it: what outlives a daemon, and the daemon of now.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ebb_kit::{Clock, Shutdown, Tasks};
use ebb_store::memory::Memory;
use ebb_store::{Options, Retention};
use serde_json::Value as Json;

use crate::acked::Acked;
use crate::chance::{Chance, Which};
use crate::client::Name;
use crate::clock::SimClock;
use crate::daemon::{Daemon, Reply};
use crate::engine::SimEngine;
use crate::gate;
use crate::images::Registry;
use crate::lock;
use crate::requests::Requests;
use crate::store::SimStore;
use crate::trace::Trace;

/// Polls after which a client that does not wait has gone away.
const HANG_UP: u64 = 25;

/// A deliberate defect, to see that it is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defect {
    /// None.
    #[default]
    None,
    /// The gateway goes on sending to instances that are gone.
    Careless,
    /// The store acknowledges and drops every so manieth commit.
    Forgetful(u64),
    /// The engine never says that an instance has ended, nor lists it so.
    Deaf,
}

impl Defect {
    pub(crate) fn careless(self) -> bool {
        self == Self::Careless
    }
}

/// Everything of one run.
pub(crate) struct World {
    pub(crate) trace: Trace,
    pub(crate) chance: Chance,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) store: Arc<SimStore>,
    pub(crate) images: Arc<Registry>,
    pub(crate) engine: Arc<SimEngine>,
    /// Work that is not a daemon's: clients, the machine.
    pub(crate) tasks: Tasks,
    pub(crate) acked: Acked,
    pub(crate) requests: Arc<Requests>,
    pub(crate) defect: Defect,
    /// Services whose number of instances was ever set by hand: keys in the store.
    by_hand: Mutex<BTreeSet<String>>,
    daemon: Mutex<Option<Daemon>>,
    dir: PathBuf,
    seed: u64,
    lives: Mutex<u64>,
}

impl World {
    /// A machine on which no daemon runs yet. Needs a runtime whose time is paused.
    pub(crate) fn new(seed: u64, dir: &Path, defect: Defect) -> Arc<Self> {
        let (trace, chance) = (Trace::new(), Chance::new(seed));
        let clock = Arc::new(SimClock::new());
        let tasks = Tasks::new(Shutdown::new());
        let shared: Arc<dyn Clock> = clock.clone();
        let memory = Memory::with(Options { clock: shared, ..Options::new(Retention::MEMORY) });
        let drop_every = match defect {
            Defect::Forgetful(every) => Some(every),
            _ => None,
        };
        let store = SimStore::new(memory, Which::Disk, chance.clone(), trace.clone(), drop_every);
        let engine = SimEngine::new(
            clock.clone(),
            chance.clone(),
            trace.clone(),
            tasks.clone(),
            defect == Defect::Deaf,
        );
        Arc::new(Self {
            images: Arc::new(Registry::new(chance.clone(), trace.clone())),
            store: Arc::new(store),
            engine: Arc::new(engine),
            acked: Acked::default(),
            requests: Arc::new(Requests::new(trace.clone())),
            trace,
            chance,
            clock,
            tasks,
            defect,
            by_hand: Mutex::default(),
            daemon: Mutex::new(None),
            dir: dir.to_owned(),
            seed,
            lives: Mutex::new(0),
        })
    }

    /// The daemon of now, dead or alive.
    pub(crate) fn daemon(&self) -> Option<Daemon> {
        lock(&self.daemon).clone()
    }

    /// The number of instances of the Service is about to be set by hand.
    pub(crate) fn by_hand(&self, name: &Name) {
        lock(&self.by_hand).insert(name.key());
    }

    /// Whether the number of instances of the Service was ever set by hand.
    pub(crate) fn was_by_hand(&self, name: &Name) -> bool {
        lock(&self.by_hand).contains(&name.key())
    }

    /// Starts a daemon.
    ///
    /// # Errors
    /// When the files of the door cannot be used.
    pub(crate) fn start(&self) -> Result<Daemon, ebb_api::Error> {
        let life = {
            let mut lives = lock(&self.lives);
            *lives += 1;
            *lives
        };
        self.trace.log(format!("daemon {life} starts"));
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(life);
        let daemon = Daemon::start(self, seed, &self.dir)?;
        *lock(&self.daemon) = Some(daemon.clone());
        Ok(daemon)
    }

    /// Ends the daemon where it is. What it did not write is lost, and so is what it forwarded.
    pub(crate) fn kill(&self, why: &str) {
        let Some(daemon) = lock(&self.daemon).take() else { return };
        self.trace.log(format!("the daemon ends: {why}"));
        self.panics(&daemon);
        daemon.kill();
    }

    /// Ends the daemon as SIGTERM does: it stops every instance first.
    pub(crate) async fn stop(&self) {
        let Some(daemon) = self.daemon() else { return };
        self.trace.log("the daemon is told to stop");
        daemon.close().await;
        daemon.tasks.shutdown().call();
        let ended = async {
            tokio::select! {
                biased;
                () = daemon.cut.ended() => {}
                () = daemon.tasks.join() => {}
            }
        };
        if tokio::time::timeout(Duration::from_mins(2), ended).await.is_err() {
            let what = "the daemon did not stop within 2 minutes".to_owned();
            self.trace.violation("the daemon stops", what);
        }
        self.kill("stopped");
    }

    fn panics(&self, daemon: &Daemon) {
        for panic in daemon.cut.panics() {
            self.trace.violation("nothing panics", panic);
        }
    }

    /// Sees to it that a daemon is up: starts one, again and again, as the spawner does.
    pub(crate) async fn up(&self) {
        for _ in 0..200 {
            let daemon = match self.daemon() {
                Some(daemon) => daemon,
                None => match self.start() {
                    Ok(daemon) => daemon,
                    Err(error) => {
                        self.trace.violation("the daemon starts", error.to_string());
                        return;
                    }
                },
            };
            let up = tokio::time::timeout(Duration::from_mins(10), daemon.until_up()).await;
            self.panics(&daemon);
            if up.is_err() {
                let what = "the daemon was not ready within 10 minutes".to_owned();
                self.trace.violation("the daemon starts", what);
                return;
            }
            if daemon.is_up() {
                return;
            }
            self.kill(&format!("at an await point of {:?}", daemon.cut.at()));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.trace.violation("the daemon starts", "200 tries were not enough".to_owned());
    }

    /// After how many polls of its work a client goes away, if it does.
    fn hang_up(&self) -> Option<u64> {
        let goes = self.chance.fault(|rates| rates.hang_up);
        goes.then(|| self.chance.below(HANG_UP))
    }

    /// Asks the door of the daemon of now.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Json) -> Reply {
        let Some(daemon) = self.daemon() else { return Reply::default() };
        let polls = self.hang_up();
        let reply = daemon.call(method, path, body, polls).await;
        self.trace.log(format!("{method} {path}: {}", reply.brief()));
        self.panics(&daemon);
        // A fault of the platform, whatever was asked. 503 and 507 are answers.
        if reply.status == Some(500) {
            let what = format!("{method} {path}: {}", reply.body["message"]);
            self.trace.violation("the door never answers 500", what);
        }
        reply
    }

    /// The objects of the live store of the daemon of now, past the door.
    pub(crate) fn live(&self, resource: &str) -> Vec<Json> {
        let Some(daemon) = self.daemon() else { return Vec::new() };
        let prefix = ebb_model::key::all("", resource);
        let records = daemon.live.peek_all(&prefix);
        let objects = records.iter().filter_map(|r| serde_json::from_slice(&r.value.data).ok());
        objects.collect()
    }

    /// A request of a client comes in. While no daemon is there it waits where the listener is.
    pub(crate) fn request(self: &Arc<Self>, host: String, work: Duration) {
        let world = self.clone();
        let number = self.requests.begin(&host);
        self.tasks.spawn("client", async move {
            let answer = world.serve(&host, work).await;
            world.requests.end(number, answer.map(|answer| answer.status));
        });
    }

    /// Sends one request and waits for its answer; none when the connection was lost.
    pub(crate) async fn serve(&self, host: &str, work: Duration) -> Option<crate::gateway::Answer> {
        let daemon = loop {
            if let Some(daemon) = self.daemon()
                && daemon.is_up()
            {
                break daemon;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let (send, receive) = tokio::sync::oneshot::channel();
        let (plane, host) = (daemon.plane.clone(), host.to_owned());
        let polls = self.hang_up().unwrap_or(u64::MAX);
        daemon.tasks.spawn("gateway-request", async move {
            if let Some(answer) = gate::for_polls(polls, plane.serve(&host, work)).await {
                // The client may have gone away.
                let _ = send.send(answer);
            }
        });
        receive.await.ok()
    }
}
